"""Tables, intervals, verdicts and what is said when there is no signal, on rows of known numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr.experiments import Arm, Comparison, read_plan, report, run
from evfr.experiments._cell import SCHEMA, row_path
from evfr.experiments._plan import load_clips
from evfr.experiments._table import read_rows, summarise
from helpers.experiments import clips, echo, planned

ARMS = (Arm("all", stride=1), Arm("half", stride=2), Arm("one", per_clip=1))
PAIRS = (Comparison("half", "all", "like for like"), Comparison("one", "all", "as published"))


def with_rows(folder: Path, scores: dict[str, list[float]], blind: float = 0.1, **extra: Any) -> None:
    """Plan, and write rows of given scores instead of training."""
    seeds = len(next(iter(scores.values())))
    planned(folder, arms=ARMS, comparisons=PAIRS, model=echo(), seeds=seeds, **extra)
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in SCHEMA.items()])
    for cell in read_plan(folder).cells:
        value = scores[cell.arm][cell.seed]
        row = dict.fromkeys(SCHEMA) | {
            "arm": cell.arm,
            "test": "new",
            "model": "m",
            "seed": cell.seed,
            "n_frames": 10,
            "n_objects": 20,
            "n_clips": 2,
            "mask_ap": value,
            "box_ap": value,
            "blind": blind,
        }
        path = row_path(folder, cell)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({name: [row[name]] for name in SCHEMA}, schema=schema), path)


GOOD = {"all": [0.50, 0.54, 0.52], "half": [0.51, 0.55, 0.53], "one": [0.30, 0.35, 0.31]}


def test_means_verdicts_and_kinds(tmp_path: Path) -> None:
    with_rows(tmp_path / "e", GOOD | {"half": [0.501, 0.542, 0.524]})
    found = report(tmp_path / "e", draws=0)
    assert [(arm.arm, round(arm.mean, 3), arm.has_signal) for arm in found.arms] == [
        ("all", 0.52, True),
        ("half", 0.522, True),
        ("one", 0.32, True),
    ]
    assert [item.verdict.word for item in found.verdicts] == ["not worse", "worse"]
    assert found.notices == () and (found.done, found.cell_count) == (9, 9)
    # By hand: mean .52, deviation .02, t(.975, 2 degrees) = 4.3027.
    assert found.arms[0].low == pytest.approx(0.52 - 4.302653 * 0.02 / np.sqrt(3), abs=1e-6)


def test_files_for_people_and_for_programs(tmp_path: Path) -> None:
    with_rows(tmp_path / "e", GOOD)
    folder = report(tmp_path / "e", draws=0).folder
    text = (folder / "report.md").read_text()
    assert "### Like for like: the same augmentation on both sides" in text
    assert "### As the papers compare" in text
    assert "| all | 10 | 20 | 3 | 0.520 | 0.470 to 0.570 |" in text
    assert text.count("(these test clips alone)") == 2
    html = (folder / "report.html").read_text()
    assert "data:image/png;base64," in html and "<script" not in html and html.isascii()
    with (folder / "arms.csv").open() as file:
        (first, *_) = csv.DictReader(file)
    assert float(first["mean"]) == pytest.approx(0.52) and first["low"]
    table = pq.read_table(folder / "results.parquet")
    assert table.column_names == list(SCHEMA) and table.num_rows == 9
    assert (folder / "custom-new.png").stat().st_size > 5000


def test_no_signal_is_said_and_decides_nothing(tmp_path: Path) -> None:
    flat = {"all": [0.10, 0.12, 0.11], "half": [0.11, 0.10, 0.12], "one": [0.2, 0.02, 0.1]}
    with_rows(tmp_path / "e", flat, blind=0.11)
    found = report(tmp_path / "e", draws=0, no_figures=True)
    assert "No signal: no arm is proven to score above" in found.notices[0]
    assert {item.verdict.word for item in found.verdicts} == {"undecided"}
    assert all("neither arm shows a signal" in item.verdict.text for item in found.verdicts)
    assert found.notices[0] in (found.folder / "report.md").read_text()
    assert 'class="notice"' in (found.folder / "report.html").read_text()


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    with_rows(tmp_path / "e", {name: values[:1] for name, values in GOOD.items()})
    found = report(tmp_path / "e", draws=0, no_figures=True)
    assert "One seed shows no signal and no lack of it" in found.notices[0]
    assert "| all | 10 | 20 | 1 | 0.500 | - |" in (found.folder / "report.md").read_text()
    assert {item.verdict.word for item in found.verdicts} == {"undecided"}


def test_an_unfinished_table_says_so(tmp_path: Path) -> None:
    with_rows(tmp_path / "e", GOOD)
    row_path(tmp_path / "e", read_plan(tmp_path / "e").cells[-1]).unlink()
    found = report(tmp_path / "e", draws=0, no_figures=True)
    assert (found.done, found.cell_count) == (8, 9)
    assert "**Unfinished: 8 of 9 cells.**" in (found.folder / "report.md").read_text()
    assert "1 of 3 seeds without a score" in found.verdicts[1].verdict.text


def test_a_margin_chosen_afterwards_is_told(tmp_path: Path) -> None:
    with_rows(tmp_path / "e", GOOD, margin=0.02)
    kept = report(tmp_path / "e", draws=0, no_figures=True)
    assert "- margin: 0.02\n" in (kept.folder / "report.md").read_text()
    changed = report(tmp_path / "e", draws=0, margin=0.3, no_figures=True)
    assert "- margin: 0.3, chosen afterwards; planned 0.02" in (changed.folder / "report.md").read_text()
    assert changed.verdicts[1].verdict.word == "not worse"


def test_test_clips_widen_the_interval(tmp_path: Path) -> None:
    """Matches of real cells: their weighted sums at equal weights are the row's figures, and clips add to the error."""
    planned(
        tmp_path / "e",
        model=echo(),
        test=clips(3, first_seed=0, frames=4),  # the trainer echoes training pictures: it scores on these
        train=clips(3, first_seed=0, frames=4),
    )
    run(tmp_path / "e")
    plan = read_plan(tmp_path / "e")
    table = read_rows(plan, tmp_path / "e")
    alone, _ = summarise(plan, tmp_path / "e", table, score="box_ap", draws=0, margin=0.01)
    whole, judged = summarise(plan, tmp_path / "e", table, score="box_ap", draws=40, margin=0.01)
    for narrow, wide in zip(alone, whole, strict=True):
        assert narrow.mean == wide.mean > 0
        assert np.isfinite(wide.low) and (narrow.low, narrow.high) != (wide.low, wide.high)
    assert {item.clip_count for item in judged} == {3}
    load_clips.cache_clear()


def test_scores_of_the_other_kind_and_wrong_numbers(tmp_path: Path) -> None:
    with_rows(tmp_path / "e", GOOD)
    with pytest.raises(ValueError, match=r"score must be one of mask_ap, box_ap for cmd: .*, got 'gscore'"):
        report(tmp_path / "e", score="gscore")
    with pytest.raises(ValueError, match="draws must be 0 or more, got -1"):
        report(tmp_path / "e", draws=-1)


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>|x"
    arms = (Arm(bad, stride=1), Arm("b", stride=2))
    planned(tmp_path / "e", arms=arms, comparisons=(Comparison("b", bad),), model=echo(), seeds=1)
    run(tmp_path / "e")
    folder = report(tmp_path / "e", draws=0, no_figures=True).folder
    assert "<script" not in (folder / "report.html").read_text()
    assert "\\|x" in (folder / "report.md").read_text()
