"""The command line `coco`: one module per command group, and what they share."""
