"""Ranking metrics and their uncertainty: pure functions on numpy arrays, float64 inside.

| module | holds |
|---|---|
| `auc` | area under the ROC curve with mid-ranks |
| `grouped` | AUC inside users or requests (GAUC), nDCG@k |
| `probability` | log loss, normalised entropy, calibration, reliability bins |
| `regression` | RMSE, MAE |
| `lift` | share of the reachable AUC lift |
| `evaluation` | all metrics of one task as a dictionary |
| `intervals` | paired t-interval, sign-flip test, ratio intervals |
| `equivalence` | is a difference too small to matter (TOST) |
| `noninferiority` | is something worse by more than a margin: no, yes, cannot tell |
| `holm` | p-values of several questions, adjusted together |
| `power` | smallest detectable effect and margins, seeds needed |
| `bootstrap` | AUC differences over resampled users |
| `delong` | AUC difference of one pair of models by formula |

Two kinds of uncertainty are kept apart: seeds (would another training give this?) go into the
t-intervals and tests, users (would other people?) into `bootstrap` and `delong`.
"""
