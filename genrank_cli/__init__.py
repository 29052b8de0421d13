"""Measure what generative ranking buys: data, models, ablations, benchmarks, verdicts."""

__version__ = "0.1.0"
