"""What is minimised: one function per file."""
