"""The CPU kernels in C++, compiled on first use; the backend `native`."""
