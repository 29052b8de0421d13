"""The fused parts of a block: `cpu` in PyTorch's own operators, `cuda` in Triton.

Imported only where they are used.
"""
