"""Other people's implementations on the same tensors, where they are installed."""
