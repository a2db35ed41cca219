"""Ledger protocols on Coco."""
