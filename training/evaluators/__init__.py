"""What needs the whole model to judge it: one file each."""
