"""Cells are run once, whole or not at all, to the same rows wherever and however often they are started."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from evfr.errors import InputError
from evfr.experiments import Arm, read_plan, run
from evfr.experiments._cell import has_row
from evfr.experiments._plan import load_clips, read_subset
from evfr.experiments._table import read_rows
from evfr.training import visits
from helpers.experiments import clips, echo, planned


def rows(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = read_rows(read_plan(folder), folder).to_pylist()
    return found


def test_a_plan_comes_back_and_holds_the_frames_of_each_cell(tmp_path: Path) -> None:
    made = planned(tmp_path / "e")
    plan = read_plan(tmp_path / "e")
    assert [cell.file_name for cell in plan.cells] == ["all.seed0", "half.seed0", "all.seed1", "half.seed1"]
    assert made.cell_count == 4 and dict(made.frames) == {"all": 12, "half": 6}
    train = load_clips(tmp_path / "e", "train")
    assert [clip.video_id for clip in train] == [clip.video_id for clip in clips(2, first_seed=0)]
    for clip, again in zip(clips(2, first_seed=0), train, strict=True):
        np.testing.assert_array_equal(clip.images, again.images)
        np.testing.assert_array_equal(clip.ids, again.ids)
    chosen = read_subset(tmp_path / "e", plan.cells[1], train)
    assert {row: places.tolist() for row, places in chosen.items()} == {0: [0, 2, 4], 1: [0, 2, 4]}
    assert (tmp_path / "e" / "class_check.json").exists()


def test_cells_have_equal_iterations_rates_and_visits(tmp_path: Path) -> None:
    planned(tmp_path / "e", iterations=7, seeds=1)
    result = run(tmp_path / "e")
    assert (result.done_now, result.left, result.failed_count) == (2, 0, 0)
    found = rows(tmp_path / "e")
    assert {row["iterations"] for row in found} == {7}
    assert len({row["learning_rate_sum"] for row in found}) == 1
    for row in found:
        count = np.bincount(
            np.concatenate([visits(int(str(row["n_frames"])), 2, i, int(str(row["seed"]))) for i in range(7)])
        )
        assert (row["visits_min"], row["visits_max"]) == (count.min(), count.max())
        assert count.max() - count.min() <= 1
    assert len(list((tmp_path / "e" / "work").iterdir())) == 0
    again = run(tmp_path / "e")
    assert (again.done_before, again.done_now) == (2, 0)


@pytest.mark.parametrize("model", ["echo", pytest.param("tiny", marks=pytest.mark.slow)])
def test_workers_shards_and_order_do_not_change_rows(tmp_path: Path, model: str) -> None:
    for name in "abc":
        planned(tmp_path / name, model=echo() if model == "echo" else model)
    run(tmp_path / "a")
    run(tmp_path / "b", workers=4)
    for shard in ("2/3", "1/3", "3/3"):
        run(tmp_path / "c", shard=shard)
    # NaN is no equal of itself, so rows are compared as they are written.
    tables = [str(rows(tmp_path / name)) for name in "abc"]
    assert tables[0] == tables[1] == tables[2]


def test_when_time_is_up_nothing_more_begins(tmp_path: Path) -> None:
    planned(tmp_path / "e", model=echo("sleep0.4"))
    result = run(tmp_path / "e", time_limit=0.2)
    assert 1 <= result.done_now < 4 and result.left == 4 - result.done_now
    # Seed by seed: what is done is as balanced as can be.
    assert rows(tmp_path / "e")[0]["arm"] == "all"
    assert run(tmp_path / "e").left == 0


def test_a_command_is_trained_like_any_model_and_seeds_reach_it(tmp_path: Path) -> None:
    planned(tmp_path / "e", model=echo())
    run(tmp_path / "e")
    found = rows(tmp_path / "e")
    assert all(row["box_ap"] is not None and row["first_loss"] is None for row in found)
    texts = [(tmp_path / "e" / "logs" / f"all.seed{seed}" / "results.json").read_text() for seed in (0, 1)]
    assert texts[0] != texts[1]


def test_cells_that_fail_are_listed_and_the_others_are_done(tmp_path: Path) -> None:
    planned(tmp_path / "e", model=echo("fail"))
    result = run(tmp_path / "e")
    assert (result.done_now, result.left, result.failed_count) == (0, 4, 4)
    assert "no GPU today" in str(result.problems[0]) and "all.seed0" in str(result.problems[0])
    with pytest.raises(InputError, match="no cell is done; run it first"):
        rows(tmp_path / "e")


@pytest.mark.slow
def test_five_kills_leave_the_same_table(tmp_path: Path) -> None:
    """kill -9 at random moments, of the whole group of processes; the rows are those of a run without."""
    arms = (Arm("all", stride=1), Arm("pasted", stride=1, copy_paste=0.5, jitter="large"))
    for name in ("calm", "killed"):
        planned(tmp_path / name, iterations=60, arms=arms, comparisons=(), train=clips(2, first_seed=0))
    run(tmp_path / "calm")
    script = "import sys; from evfr.experiments import run; run(sys.argv[1], workers=2)"
    rng = random.Random(5)
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "killed")], start_new_session=True
        )
        time.sleep(rng.uniform(3.0, 9.0))
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    result = run(tmp_path / "killed", workers=2)
    assert result.left == 0
    assert str(rows(tmp_path / "killed")) == str(rows(tmp_path / "calm"))


@pytest.mark.parametrize("name", ["plan.json", "subsets/all.seed0.parquet", "clips/train-0000.npz"])
def test_damaged_files_are_told(tmp_path: Path, name: str) -> None:
    planned(tmp_path / "e", model=echo(), seeds=1)
    path = tmp_path / "e" / name
    path.write_bytes(path.read_bytes()[:40])
    load_clips.cache_clear()
    if name == "plan.json":
        with pytest.raises(InputError, match=r"plan\.json is no plan of evfr"):
            run(tmp_path / "e")
    else:
        assert str(path.name) in str(run(tmp_path / "e").problems[0])


def test_rows_of_another_make_are_refused(tmp_path: Path) -> None:
    planned(tmp_path / "e", model=echo(), seeds=1)
    run(tmp_path / "e")
    path = tmp_path / "e" / "rows" / "all.seed0.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["blind"]), path)
    with pytest.raises(InputError, match="has other columns than this evfr writes"):
        rows(tmp_path / "e")
    assert has_row(tmp_path / "e", read_plan(tmp_path / "e").cells[0])
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"all.seed0.parquet cannot be read .*; delete it and run again"):
        rows(tmp_path / "e")


def test_wrong_arguments_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no plan.json; make one with: evfr experiment plan"):
        run(tmp_path)
    planned(tmp_path / "e", model=echo(), seeds=1)
    with pytest.raises(InputError, match="holds a plan already"):
        planned(tmp_path / "e", model=echo())
    with pytest.raises(ValueError, match="workers and threads must be 1 or more, got 0 and 1"):
        run(tmp_path / "e", workers=0)
    with pytest.raises(ValueError, match="time_limit must be above 0 seconds"):
        run(tmp_path / "e", time_limit=0.0)
    for shard in ("0/2", "3/2", "1", "a/b"):
        with pytest.raises(ValueError, match="shard must be I/N with I of 1 to N"):
            run(tmp_path / "e", shard=shard)


def test_clips_that_are_not_alike(tmp_path: Path) -> None:
    train = clips(2, first_seed=0)
    with pytest.raises(InputError, match="clips must have one size and one list of classes"):
        planned(tmp_path / "a", train=train, test=clips(1, first_seed=9, side=40))
    with pytest.raises(InputError, match="each clip needs its own name"):
        planned(tmp_path / "b", train=[train[0], train[0]])
    with pytest.raises(InputError, match="has no labelled frame"):
        planned(tmp_path / "c", train=[train[0], train[1].take([])])
    with pytest.raises(ValueError, match="there is no clip to test on"):
        planned(tmp_path / "d", test=[])
    with pytest.raises(ValueError, match="seeds must be 1 or more"):
        planned(tmp_path / "d", seeds=0)
    with pytest.raises(ValueError, match="margin must be 0 or more"):
        planned(tmp_path / "d", margin=-1.0)


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_rows(tmp_path: Path) -> None:
    for name in "ab":
        planned(tmp_path / name, model=echo(), seeds=1)
    run(tmp_path / "a")
    assert run(tmp_path / "b", workers=2, executor="ray").left == 0
    assert str(rows(tmp_path / "a")) == str(rows(tmp_path / "b"))
