"""A validating node: the manager, executor and gateway roles and the messages between them."""
