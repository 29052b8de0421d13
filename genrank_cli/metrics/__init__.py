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
| `power` | smallest detectable effect, seeds needed |
| `bootstrap` | AUC difference of two models over resampled users |
"""
