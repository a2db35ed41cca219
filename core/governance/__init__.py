"""The genesis constitution, actors, and signed administrative messages."""
