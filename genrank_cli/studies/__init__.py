"""Studies: declare variants and claims, run them, and judge what was claimed."""
