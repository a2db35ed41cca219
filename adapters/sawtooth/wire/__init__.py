"""Sawtooth's protobuf messages."""
