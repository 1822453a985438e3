"""What models learn from: one file per family of data; the folder is the registry."""
