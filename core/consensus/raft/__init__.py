"""The built-in Raft engine: a pure state machine behind core/consensus/engine.py. docs/consensus.md is its manual."""
