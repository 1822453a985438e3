"""Codecs: user values to batches and answers back, in Python and inside the exported graph."""
