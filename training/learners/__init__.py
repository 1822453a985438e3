"""How parameters move: one rule per file."""
