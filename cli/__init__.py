"""The coco command line, one file per command group."""
