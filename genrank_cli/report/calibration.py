"""The calibration's record as tables."""

from __future__ import annotations

from pathlib import Path

from genrank_cli.files import write_text
from genrank_cli.report import render
from genrank_cli.report.table import Column, Interval, Kind, Table
from genrank_cli.studies.calibration import VARIANTS, Rate
from genrank_cli.studies.calibration_record import CalibrationRecord
from genrank_cli.training.environment import one_line

SYMBOLS = {"kept": "+", "not excluded": "~", "broken": "x", "–": " "}


def calibration_table(record: CalibrationRecord) -> Table:
    """One line per promise: what happened how often, with its binomial interval."""
    return Table(
        title="Calibration of the statistics: repeated studies whose answer is known",
        columns=[
            Column("question", "what a study said"),
            Column("truth", "when the truth was"),
            Column("promised", "promised"),
            Column("repetitions", "repetitions", Kind.COUNT),
            Column("hits", "times", Kind.COUNT),
            Column("rate", "rate, 95 % interval", Kind.PERCENT, digits=1),
            Column("verdict", "promise"),
        ],
        rows=[
            [
                rate.question,
                rate.truth,
                _promised(rate),
                rate.n,
                rate.hits,
                Interval(rate.rate, rate.low, rate.high),
                f"{SYMBOLS[rate.verdict]} {rate.verdict}".strip(),
            ]
            for rate in record.rates
        ],
        header=[one_line(record.environment), _runs_line(record)],
        notes=_notes(record),
    )


def write_calibration(record: CalibrationRecord, folder: Path) -> list[Path]:
    """Write calibration.json and calibration.md into ``folder``; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "calibration.json": record.model_dump_json(indent=1) + "\n",
        "calibration.md": render(calibration_table(record), "md"),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _promised(rate: Rate) -> str:
    if rate.bound == "for comparison":
        return "nothing"
    words = {"at most": "≤ ", "at least": "≥ ", "about": ""}
    return f"{words[rate.bound]}{100 * rate.promised:g} %"


def _runs_line(record: CalibrationRecord) -> str:
    mean = sum(record.auc) / len(record.auc)
    return (
        f"{record.seeds} seeds a study · {record.runs:,} trained models · "
        f"feed of {record.feed['options']['users']:,} users, {record.effect.users_of_base} of them "
        f"to learn from · test AUC {mean:.4f} on average"
    )


def _notes(record: CalibrationRecord) -> list[str]:
    effect = record.effect
    half = (effect.high - effect.low) / 2
    share = abs(effect.mean) / effect.detectable
    return [
        f"Planted: the variant learns from {effect.users} users instead of {effect.users_of_base}; "
        f"ΔAUC {_signed(effect.mean)} ± {half:.4f} over all runs, deviation of a seed "
        f"{effect.sd:.4f}. Detectable at {record.seeds} seeds with 80 % power: "
        f"{effect.detectable:.4f}. The planted effect is {share:.2f} times that, which the t-test "
        f"finds with probability {100 * effect.expected_power:.0f} %.",
        f"Holm's promise needs {VARIANTS + 1} groups of runs a study, so it rests on half as many "
        f"repetitions ({record.repetitions // 2}): its interval is the wider one.",
        "No trained model is part of two repetitions of one line; intervals are exact binomial.",
        "promise: + kept; ~ the rate misses it, its interval does not; x broken.",
    ]


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")
