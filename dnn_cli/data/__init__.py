"""Datasets and image files: find, download, verify, read, select."""
