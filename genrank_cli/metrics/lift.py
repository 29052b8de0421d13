"""How much of the AUC that the data allows a model has reached."""

from __future__ import annotations


def reachable_lift(auc: float, oracle_auc: float) -> float:
    """(AUC − 0.5) / (AUC of the true probabilities − 0.5): 0 = guessing, 1 = all there is to know.

    nan when the truth itself ranks no better than chance, since there is nothing to reach.
    """
    if not oracle_auc > 0.5:
        return float("nan")
    return (auc - 0.5) / (oracle_auc - 0.5)
