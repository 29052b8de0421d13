"""`genrank bench attention`: our backends and biases beside the reference and PyTorch's kernels.

`plan` says what will be timed, without tensors; `inputs` makes them once for all rows of a case;
`rows` and `peers` turn both into steps; `bars` are what the kernels promise; `run` does it all.
"""
