"""The adapter `sawtooth`: Hyperledger Sawtooth's rules, REST API and validator protocol on Coco."""
