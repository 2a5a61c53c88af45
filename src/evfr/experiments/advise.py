"""`evfr advise`: how many labels reach what score at what cost, from the runs that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr.experiments._advise_result import AdviseResult

__all__ = ["advise"]

SCORES = ("mask_ap", "gscore", "box_ap", "iou", "accuracy")
"""Columns that are taken as the score, the first that has one, where none is named."""
ALTERNATIVE = "evfr propagate VIDEO --labels LABELS --out carried.parquet --min-trust 0.8"


def advise(
    results: str | Path,
    *,
    score: str | None = None,
    target: float | None = None,
    axis: Literal["frames", "clips", "both"] = "frames",
    arms: Sequence[str] = (),
    by: Sequence[str] = (),
    test: str | None = None,
    tolerance: float = 0.01,
    ceiling: float = 1.0,
    confidence: float = 0.95,
    draws: int = 500,
    seed: int = 0,
    seconds_per_frame: float | None = None,
    seconds_per_object: float | None = None,
    seconds_per_clip: float | None = None,
    cost_per_hour: float | None = None,
    cost_per_frame: float | None = None,
) -> AdviseResult:
    """Say how many labels reach what score at what cost, by the curve a - b n^-c through the runs of an experiment.

    Nothing is said beyond twice the largest number of labels that was measured. Where more labels still help, the
    advice is how many to add before measuring again.

    Parameters
    ----------
    results : path
        Folder of an experiment that `evfr experiment report` was run on, or a ``.parquet`` or ``.csv`` table with a row
        for each run: ``arm``, ``seed``, ``n_frames``, ``n_clips`` and scores.
    score : str or None
        Column of the score; leaving it out takes the first of mask_ap, gscore, box_ap, iou, accuracy that has any.
    target : float or None
        Score to reach; leaving it out takes that of the most labels measured, less the tolerance.
    axis : {"frames", "clips", "both"}
        What is counted: labelled frames, labelled clips, or both, which says whether to label other clips or more
        frames of the same.
    arms : sequence of str
        Use only these arms; patterns as in a shell, for example ``S*``.
    by : sequence of str
        One curve for each value of these columns; leaving it out takes what tells models, samplers, signals and
        augmentation apart. Runs on all frames belong to the curve of every sampler and signal.
    test : str or None
        Test set, where the table has several.
    tolerance : float
        Gain of twice the labels that is not worth them, in the score's unit.
    ceiling : float
        Largest possible score: 1, or 100 for per cent.
    confidence : float
        Of the intervals, in (0.5, 1).
    draws : int
        Data sets of the bootstrap, 20 or more.
    seed : int
        Of the bootstrap.
    seconds_per_frame : float or None
        A person's time for each labelled frame.
    seconds_per_object : float or None
        A person's time for each labelled object; the table needs ``n_objects``.
    seconds_per_clip : float or None
        A person's time for each labelled clip, whatever its frames (find it, open it, learn its objects).
    cost_per_hour : float or None
        Price of an hour of that time.
    cost_per_frame : float or None
        Price of a labelled frame, instead of or on top of the time.

    Returns
    -------
    AdviseResult
        Curves, costs and the advice in sentences.

    Raises
    ------
    InputError
        If the table cannot be read, lacks what was asked for, or no group of runs has enough of them for a curve.
    ValueError
        If an option is out of range, or a price per hour has no time to go with.

    Notes
    -----
    See `evfr.experiments.fit_learning_curve`. A score is that of the trained model on the experiment's test clips: the
    curve is about this model, this training and these clips.

    Examples
    --------
    >>> import evfr
    >>> evfr.advise("runs/grid", target=0.3, seconds_per_frame=90)  # doctest: +SKIP
    """
    from evfr.errors import InputError
    from evfr.experiments._advise_group import Prices, advise_both, advise_one, without_advice
    from evfr.experiments._advise_result import AdviseResult
    from evfr.experiments._advise_table import choose_runs, find_table, part_runs, read_table

    options: dict[str, Any] = {
        "seed": seed,
        "draws": draws,
        "tolerance": tolerance,
        "ceiling": ceiling,
        "confidence": confidence,
    }
    prices = Prices(seconds_per_frame, seconds_per_object, seconds_per_clip, cost_per_hour, cost_per_frame)
    counted = {"frames": ("n_frames",), "clips": ("n_clips",), "both": ("n_frames", "n_clips")}
    if axis not in counted:
        raise ValueError(f"axis must be frames, clips or both, got {axis!r}")
    if target is not None and not math.isfinite(target):
        raise ValueError(f"target must be a finite score, got {target}")
    path = find_table(Path(results))
    needed = {"arm", "seed", *counted[axis], *prices.columns, *([score] if score else [])}
    rows = read_table(path, sorted(needed))
    score = score or _first_score(rows, path)
    parts = part_runs(choose_runs(rows, path, test=test, arms=arms), path, score=score, by=by, axis=axis)
    groups = []
    for runs in parts:
        try:
            groups.append(
                advise_both(runs, options)
                if axis == "both"
                else advise_one(runs, axis, options, target=target, prices=prices)
            )
        except InputError as error:
            groups.append(without_advice(runs, str(error)))
    if all(group.curve is None and group.surface is None for group in groups):
        reasons = "; ".join(f"{group.name}: {group.lines[0]}" for group in groups[:3])
        raise InputError(f"{path} has too few runs for a curve ({reasons})")
    return AdviseResult(path, score, axis, test, tuple(groups), ALTERNATIVE)


def _first_score(rows: Sequence[dict[str, Any]], path: Path) -> str:
    from evfr.errors import InputError

    for name in SCORES:
        if any(row.get(name) is not None and row[name] == row[name] for row in rows):
            return name
    raise InputError(f"{path} has no score in {', '.join(SCORES)}; name the column by score")
