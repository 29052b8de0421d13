"""Raw files → canonical events → memory-mapped store → split → samples → batches."""
