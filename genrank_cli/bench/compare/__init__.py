"""Two records of one bench: what changed between them."""
