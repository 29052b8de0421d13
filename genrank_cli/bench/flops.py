"""FLOPs of attention, from the exact number of visible cells.

A visible cell (row i may see key j) costs, in each of H heads of widths D (q, k) and E (v), with a
multiply-add as two:

    forward            q·k                     2 D
                       weight · v                     2 E
    backward           dk, dq                  4 D
                       dv, the weights' grad          4 E
    recomputed         q·k again               2 D

*Model* FLOPs are forward and backward: the useful work, whoever does it. *Hardware* FLOPs add what
an implementation recomputes in its backward pass, and count the cells that it really visits: a
dense one all of L², the others the visible ones (the padding of their tiles is not counted). The
activation, the bias and the mask are not matrix products and are counted as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flops:
    """Of one run of a row: what is useful, and what is done for it."""

    forward: int
    backward: int
    hardware_forward: int
    hardware_backward: int

    def parts(self) -> dict[str, int]:
        """Model FLOPs of each timed part."""
        return {"forward": self.forward, "backward": self.backward}

    def hardware_parts(self) -> dict[str, int]:
        """Hardware FLOPs of each timed part."""
        return {"forward": self.hardware_forward, "backward": self.hardware_backward}


def attention_flops(
    visible: int, heads: int, width: int, *, visited: int | None = None, recomputes: bool = True
) -> Flops:
    """Of ``visible`` cells (all sequences together), D = E = ``width``.

    ``visited``: cells that are computed (None: the visible ones). ``recomputes``: whether the
    backward pass computes the scores again, as everything does that does not keep L² weights.
    """
    useful, done = (cells * heads * width for cells in (visible, visited or visible))
    return Flops(4 * useful, 8 * useful, 4 * done, (10 if recomputes else 8) * done)


def visible_cells(history: int, candidates: int) -> int:
    """Of one sequence: a causal history, then candidates that see it and themselves.

    n(n+1)/2 + m(n+1)
    """
    return history * (history + 1) // 2 + candidates * (history + 1)
