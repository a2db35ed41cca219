"""The consensus engine interface and the engines behind it."""
