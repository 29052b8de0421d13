"""One dimension of a training step at several sizes: where time and FLOPs go as it grows."""
