from __future__ import annotations

import csv
import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr.errors import InputError
from evfr.experiments._advise_result import Effort
from evfr.experiments.advise import advise

STRIDES = (1, 2, 4, 8, 16, 32)


def grid(
    *, seeds: int = 3, samplers: tuple[str, ...] = ("uniform",), noise: float = 0.004
) -> list[dict[str, Any]]:
    """Return runs of 800 frames in 20 clips, reduced; the mean score is .4 - 1.2 n^-.55, .02 more if adaptive."""
    rng = np.random.default_rng(0)
    return [
        {
            "arm": "S1" if stride == 1 else f"S{stride} {sampler}",
            "seed": seed,
            "n_frames": 800 // stride,
            "n_clips": 20,
            "n_objects": 4800 // stride,
            "stride": stride,
            "sampler": sampler,
            "mask_ap": 0.4
            - 1.2 * (800 / stride) ** -0.55
            + 0.02 * (sampler == "adaptive")
            + rng.normal(0, noise),
            "test": "new videos",
        }
        for seed in range(seeds)
        for sampler in samplers
        for stride in STRIDES
        if stride > 1 or sampler == samplers[0]
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as Parquet or CSV."""
    path.parent.mkdir(exist_ok=True, parents=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write(tmp_path / "results.parquet", grid())


def test_advice_in_words_with_its_cost(table: Path) -> None:
    found = advise(
        table, target=0.35, seconds_per_frame=30, seconds_per_object=20, cost_per_hour=25, draws=60
    )
    (group,) = found.groups
    assert (found.score, group.name, group.run_count) == ("mask_ap", "all runs", 18)
    assert [level.n for level in group.levels] == [25, 50, 100, 200, 400, 800, 1600]
    assert [level.is_measured for level in group.levels] == [True] * 6 + [False]
    assert group.levels[5].effort.hours == pytest.approx(800 * (30 + 6 * 20) / 3600)
    assert group.levels[5].effort.money == pytest.approx(800 * 150 / 3600 * 25)
    assert group.advice is not None
    assert group.advice.n is not None
    truth = (1.2 / 0.05) ** (1 / 0.55)
    assert truth / 1.5 < group.advice.n < truth * 1.5
    assert group.lines[1].startswith(f"0.350 is reached with {group.advice.n} frames (95 % interval")
    assert f"{group.advice.n} frames cost" in group.lines[2]
    assert "the 800 measured cost 33.3 h, 833.33" in group.lines[2]
    text = found.text
    assert "   33.3 h, 833.33" in text
    assert "    1600*  0.3" in text
    assert "not measured: the curve" in text


def test_without_a_target_asks_for_what_all_labels_reach(table: Path) -> None:
    (group,) = advise(table, draws=60).groups
    assert group.lines[1].startswith("within 0.01 of all 800: 0.3")
    assert len(group.lines) == 2
    assert group.advice is not None
    assert group.advice.where == "measured"
    assert str(Effort()) == ""


def test_not_saturated_tells_what_more_labels_cost(tmp_path: Path) -> None:
    rows = grid()
    for row in rows:
        row["mask_ap"] = 0.9 - 2.0 * row["n_frames"] ** -0.25
    found = advise(write(tmp_path / "t.parquet", rows), target=0.8, cost_per_frame=0.5, draws=60)
    (group,) = found.groups
    assert group.lines[0].startswith("not saturated: label 800 more and measure again; 1600 frames")
    assert group.lines[1].startswith("0.800 needs more than 1600 frames, twice what was measured")
    assert group.lines[2] == "800 more frames cost 400.00"


def test_the_carry_of_labels_is_offered_as_a_command_that_exists(table: Path) -> None:
    from evfr._core.signature import read_signature
    from evfr.verbs.propagate import propagate

    words = shlex.split(advise(table, draws=30).text.splitlines()[-1])
    assert words[:2] == ["evfr", "propagate"]
    options = {spec.option for spec in read_signature(propagate).parameters}
    assert {word for word in words if word.startswith("--")} <= options


def test_runs_on_all_frames_belong_to_every_sampler(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", grid(samplers=("uniform", "adaptive")))
    found = advise(path, draws=40)
    assert [group.name for group in found.groups] == ["sampler=uniform", "sampler=adaptive"]
    assert [group.run_count for group in found.groups] == [18, 18]
    alone = advise(path, arms=["* adaptive"], draws=40)
    assert [group.run_count for group in alone.groups] == [15]
    with pytest.raises(InputError, match=r"no arm like 'S5\*'; its arms are S1, S16"):
        advise(path, arms=["S5*"])


def test_arms_that_differ_by_more_than_labels_are_not_mixed(tmp_path: Path) -> None:
    rows = grid(samplers=("uniform", "adaptive"))
    for row in rows:
        row["how"] = row.pop("sampler")
    path = write(tmp_path / "t.parquet", rows)
    with pytest.raises(
        InputError, match=r"arms S2 uniform and S2 adaptive both have a run of seed 0 with n_frames 400"
    ):
        advise(path)
    names = [group.name for group in advise(path, by=["how"], arms=["S?* *"], draws=30).groups]
    assert names == ["how=uniform", "how=adaptive"]
    with pytest.raises(InputError, match="no column 'method' to part runs by"):
        advise(path, by=["method"])


def test_csv_and_the_folder_of_an_experiment(tmp_path: Path) -> None:
    rows = grid()
    rows[2]["mask_ap"] = ""
    found = advise(write(tmp_path / "runs.csv", rows), draws=30)
    assert (found.groups[0].run_count, found.groups[0].missing_count) == (17, 1)
    assert "all runs (17 runs, 1 without a score left out)" in found.text
    inside = write(tmp_path / "grid" / "report" / "results.parquet", grid())
    assert advise(tmp_path / "grid", draws=30).table == inside
    with pytest.raises(InputError, match=r"has no results.parquet; make it: evfr experiment report"):
        advise(tmp_path)


def test_one_test_set_at_a_time(tmp_path: Path) -> None:
    rows = grid() + [{**row, "test": "same videos", "mask_ap": row["mask_ap"] + 0.1} for row in grid()]
    path = write(tmp_path / "t.parquet", rows)
    with pytest.raises(InputError, match="several test sets: new videos, same videos; choose one by test"):
        advise(path)
    found = advise(path, test="same videos", draws=30)
    assert found.groups[0].run_count == 18
    assert ", test same videos, from " in found.text
    with pytest.raises(InputError, match="no test set 'old'; it has new videos, same videos"):
        advise(path, test="old")


def test_groups_with_too_few_runs_say_so(tmp_path: Path) -> None:
    rows = [
        row
        for row in grid(samplers=("uniform", "adaptive"))
        if row["sampler"] == "uniform" or row["stride"] == 4
    ]
    rows = [row for row in rows if row["stride"] > 1]
    found = advise(write(tmp_path / "t.parquet", rows), draws=30)
    assert found.groups[0].curve is not None
    assert found.groups[1].lines == (
        "no advice: a curve needs 4 runs at 3 or more numbers of frames, got 3 with a score at 200; run more subsets",
    )
    few = [row for row in rows if row["sampler"] == "adaptive"]
    with pytest.raises(InputError, match="too few runs for a curve"):
        advise(write(tmp_path / "u.parquet", few))


def test_clips_as_the_axis(tmp_path: Path) -> None:
    rows = [{**row, "n_clips": 64 // row["stride"], "stride": 0} for row in grid()]
    found = advise(
        write(tmp_path / "t.parquet", rows), axis="clips", seconds_per_clip=600, seconds_per_frame=9, draws=30
    )
    (group,) = found.groups
    assert [level.n for level in group.levels] == [2, 4, 8, 16, 32, 64, 128]
    assert group.levels[-2].effort.hours == pytest.approx((64 * 600 + 800 * 9) / 3600)
    assert group.levels[-1].effort.hours == pytest.approx((128 * 600 + 1600 * 9) / 3600)
    assert "clips" in group.lines[0]


def test_more_frames_are_of_the_same_clips(table: Path) -> None:
    (group,) = advise(table, seconds_per_clip=600, seconds_per_frame=9, draws=30).groups
    assert group.levels[-1].effort.hours == pytest.approx((20 * 600 + 1600 * 9) / 3600)


def test_both_axes_say_what_to_add(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            "arm": f"{clips}x{frames // clips}",
            "seed": seed,
            "n_clips": clips,
            "n_frames": frames,
            "gscore": 0.6 - 0.5 * clips**-0.5 - 3.0 / frames + rng.normal(0, 0.004),
        }
        for seed in range(2)
        for clips in (4, 8, 16, 32)
        for frames in (100, 200, 400, 800)
    ]
    path = write(tmp_path / "t.parquet", rows)
    found = advise(path, axis="both", draws=20)
    assert found.score == "gscore"
    assert found.groups[0].surface is not None
    assert found.groups[0].lines[0].startswith("not saturated: label other clips rather than more frames")
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(InputError, match="or use axis both"):
        advise(path, axis="frames")


def test_result_is_json(table: Path) -> None:
    values = json.loads(json.dumps(advise(table, target=0.39, draws=30).to_dict(), allow_nan=False))
    assert values["groups"][0]["fit"]["n_max"] == 800
    assert values["groups"][0]["advice"]["where"] == "beyond"
    assert values["alternative"].startswith("evfr propagate")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds_per_frame": -1.0}, "seconds_per_frame must be 0 or more"),
        ({"cost_per_hour": math.inf, "seconds_per_frame": 1.0}, "cost_per_hour must be 0 or more"),
        ({"cost_per_hour": 30.0}, "cost_per_hour needs a time to go with"),
        ({"axis": "objects"}, "axis must be frames, clips or both"),
        ({"target": math.nan}, "target must be a finite score"),
        ({"tolerance": -1.0}, "tolerance must be above 0"),
    ],
)
def test_options_are_refused(table: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        advise(table, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("n_frames"), "has no column n_frames; its columns are arm, seed"),
        (lambda row: row.pop("mask_ap"), "no score in mask_ap, gscore, box_ap, iou, accuracy"),
        (lambda row: row.update(n_frames=None), "a run has no number of frames"),
        (lambda row: row.update(mask_ap="high"), "column mask_ap holds 'high', which is no number"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    rows = grid(seeds=1)
    for row in rows:
        change(row)
    if rows[0].get("n_frames", 0) is None:
        rows = [{**row, "seed": number} for number, row in enumerate(rows)]
    with pytest.raises(InputError, match=message):
        advise(write(tmp_path / "t.parquet", rows))


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"must end in .parquet or .csv"):
        advise(tmp_path / "a.txt")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as a table"):
        advise(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="cannot be read as a table"):
        advise(tmp_path / "none.csv")
    pq.write_table(
        pa.table({name: pa.array([], pa.int64()) for name in ("arm", "seed", "n_frames")}),
        tmp_path / "e.parquet",
    )
    with pytest.raises(InputError, match="has no rows"):
        advise(tmp_path / "e.parquet")
    with pytest.raises(InputError, match="has no column n_objects"):
        advise(
            write(tmp_path / "c.parquet", [{"arm": "a", "seed": 0, "n_frames": 1, "mask_ap": 0.1}]),
            seconds_per_object=1,
        )
