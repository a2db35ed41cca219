"""Solidity for `coco deploy`: artifacts of other tools read, sources compiled."""
