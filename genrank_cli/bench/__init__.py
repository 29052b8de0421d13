"""Measuring: rounds, probes of the machine, memory, FLOPs, checks, and the record of them all.

The core (`timing`, `statistics`, `peak`, `memory`, `machine`, `checks`, `record`) knows nothing of
what it measures; a bench such as `attention` hands it steps to time and bars to judge.
"""
