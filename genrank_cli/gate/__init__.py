"""The gate: a small fixed suite, compared with a baseline that a team keeps in its repository.

| module | holds |
|---|---|
| `suite` | what is run and tolerated (`suite.toml`), its version and hash |
| `measurement` | what one run of the suite found; a baseline is a measurement in a file |
| `quality`, `pace` | run the suite: AUC by seed, and times of training steps in rounds |
| `run` | both, on this machine |
| `judge` | a measurement against a baseline: passed, regressed, cannot judge |
| `benchmarks` | files of pytest-benchmark |
| `baseline` | reading, writing and comparing baseline files |
| `junit`, `summary` | the result for CI systems and for people |
"""
