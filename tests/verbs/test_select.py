"""The main job end to end, on drawn clips: files, bytes, budgets, constraints, bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import evfr
from evfr import Selection
from evfr.errors import ConstraintError, InputError, SelectionFileError
from evfr.video import frames

Select = Callable[..., Selection]


@pytest.fixture
def select(store: Path) -> Select:
    def run(*args: Any, **options: Any) -> Selection:
        return evfr.select(*args, **{"store": store, "executor": "serial", **options})

    return run


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_main_job_leaves_frames_table_manifest_and_page(
    select: Select, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    chosen = select(clips / "one.mp4", out=out, image_format="png")
    assert len(chosen) == 6  # 10 % of 60
    assert Selection.load(out).table.equals(chosen.table)
    assert chosen.manifest["parameters"]["method"] == "auto"
    assert (out / "report.html").stat().st_size > 10_000
    files = sorted(path.name for path in (out / "frames").iterdir())
    assert len(files) == 6
    truth = {frame.frame_index: frame.image for frame in frames(clips / "one.mp4")}
    for row, name in zip(chosen.table.to_pylist(), files, strict=True):
        assert f"{row['frame_index']:06d}" in name and str(row["pts"]) in name
        image = cv2.cvtColor(cv2.imread(str(out / "frames" / name)), cv2.COLOR_BGR2RGB)
        assert np.array_equal(image, truth[row["frame_index"]])
        assert row["reason"] and row["luma_hash"] and row["weight"] is not None


def test_the_manifest_repeats_the_same_bytes(
    select: Select, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips)
    paths = ["one.mp4", clips / "two.mkv"]
    select(paths, n=9, method="adaptive", seed=5, max_gap_seconds=1.5, out=tmp_path / "a")
    select(from_=tmp_path / "a" / "selection.json", out=tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert len(tree(tmp_path / "a")) == 9 + 3


@pytest.mark.slow
def test_any_executor_and_number_of_workers_gives_the_same_bytes(clips: Path, tmp_path: Path) -> None:
    paths = [clips / "one.mp4", clips / "two.mkv"]
    runs = [("serial", None), ("processes", 1), ("processes", 2)]
    for executor, jobs in runs:
        name = f"{executor}{jobs}"
        evfr.select(
            paths,
            ratio=0.2,
            method="systematic",
            out=tmp_path / name,
            store=tmp_path / f"store-{name}",
            executor=executor,
            jobs=jobs,
        )
    first, *others = (tree(tmp_path / f"{executor}{jobs}") for executor, jobs in runs)
    assert all(other == first for other in others)


def test_spare_cores_change_no_byte(clips: Path, tmp_path: Path) -> None:
    for name, executor, jobs in (("a", "serial", None), ("b", "processes", 2)):
        where: Any = {"out": tmp_path / name, "store": tmp_path / f"store-{name}"}
        # Frames and pages would start more processes for what the measures alone decide.
        evfr.select(
            clips / "one.mp4", n=9, no_frames=True, no_report=True, **where, executor=executor, jobs=jobs
        )
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    stored = [
        {name: data for name, data in tree(tmp_path / f"store-{letter}").items() if name.endswith(".parquet")}
        for letter in "ab"
    ]
    assert stored[0] == stored[1] and len(stored[0]) >= 2


def test_a_second_run_reads_instead_of_decoding(
    select: Select, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = select(clips / "one.mp4", n=5)

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("evfr.video.open_video", refuse)
    assert select(clips / "one.mp4", n=5).table.equals(first.table)


def test_a_damaged_store_entry_is_measured_again(clips: Path, tmp_path: Path) -> None:
    first = evfr.select(clips / "two.mkv", n=3, store=tmp_path, executor="serial")
    for path in tmp_path.rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-30])
    again = evfr.select(clips / "two.mkv", n=3, store=tmp_path, executor="serial")
    assert again.table.equals(first.table)


@pytest.mark.parametrize("method", ["uniform", "random", "adaptive", "systematic", "auto"])
def test_every_method_takes_the_budget_over_several_videos(select: Select, clips: Path, method: str) -> None:
    chosen = select([clips / "one.mp4", clips / "two.mkv"], n=16, method=method, seed=3)
    assert len(chosen) == 16
    per_video = {name: len(chosen.for_video(name)) for name in chosen.sources}
    assert per_video == {"one.mp4": 10, "two.mkv": 6}  # 2.4 s and 1.44 s
    assert chosen.table.equals(
        select([clips / "one.mp4", clips / "two.mkv"], n=16, method=method, seed=3).table
    )


def test_allocation_rules_and_bounds_per_video(select: Select, clips: Path) -> None:
    paths = [clips / "one.mp4", clips / "two.mkv"]

    def counts(**options: Any) -> list[int]:
        chosen = select(paths, n=12, method="uniform", **options)
        return [len(chosen.for_video(name)) for name in chosen.sources]

    assert counts(allocation="equal") == [6, 6]
    assert counts(per_video_max=7) == [7, 5]
    assert counts(per_video_min=6) == [6, 6]
    with pytest.raises(ConstraintError, match=r"minimum|min"):
        counts(per_video_min=7)


def test_constraints_hold_in_true_time(select: Select, clips: Path) -> None:
    chosen = select(
        clips / "one.mp4",
        n=8,
        method="random",
        min_gap=3,
        max_gap_seconds=0.48,
        include=[20],
        exclude=["one.mp4:0", 1],
        labeled=[40],
    )
    indices = chosen.indices
    assert len(indices) == 8 and 20 in indices and not {0, 1, 40} & set(indices.tolist())
    known = np.sort(np.append(indices, 40))
    assert np.diff(known).min() >= 3
    assert np.diff(np.concatenate([[0], known, [59]])).max() <= 12
    assert any("include" in reason for reason in chosen.table["reason"].to_pylist())


def test_the_quality_gate_refuses_blurred_and_dark_frames(select: Select, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(40, 200, (30, 40), dtype=np.uint8), (320, 240))
    (tmp_path / "images").mkdir()
    for i in range(12):
        shown = cv2.GaussianBlur(picture, (0, 0), 9) if i in (3, 4) else picture
        cv2.imwrite(str(tmp_path / "images" / f"{i:03d}.png"), np.zeros_like(shown) if i == 7 else shown)
    options = {"n": 9, "method": "random", "min_sharpness": 0.5, "max_clipped": 0.5}
    chosen = select(tmp_path / "images", **options)
    assert chosen.indices.tolist() == [0, 1, 2, 5, 6, 8, 9, 10, 11]
    with pytest.raises(ConstraintError, match="10"):
        select(tmp_path / "images", **{**options, "n": 10})
    with pytest.raises(ValueError, match="min_sharpness is a share"):
        select(tmp_path / "images", min_sharpness=3.0)


def test_what_cannot_hold_is_named(select: Select, clips: Path) -> None:
    one = clips / "one.mp4"
    with pytest.raises(ConstraintError, match=r"one\.mp4.*max_gap"):
        select(one, n=2, max_gap=5)
    with pytest.raises(ConstraintError, match="there is no frame 60"):
        select(one, n=2, include=[60])
    with pytest.raises(ConstraintError, match=r"no usable video 'x\.mp4'"):
        select(one, n=2, include=["x.mp4:3"])
    with pytest.raises(ConstraintError, match="needs a video when there are several"):
        select([one, clips / "two.mkv"], n=2, include=[3])
    with pytest.raises(ConstraintError, match="61"):
        select(one, n=61)
    with pytest.raises(
        ConstraintError, match="min_gap=30 allow at most 2 frames in all, but the budget is 5"
    ):
        select(one, n=5, min_gap=30)
    with pytest.raises(
        ConstraintError, match="per_video_max=2 allow at most 4 frames in all, but the budget is 5"
    ):
        select([one, clips / "two.mkv"], n=5, per_video_max=2)


def test_one_bad_video_leaves_the_others(select: Select, clips: Path, tmp_path: Path) -> None:
    chosen = select(clips, ratio=0.1, out=tmp_path / "out")
    assert chosen.failed_count == 1
    assert [problem.code for problem in chosen.problems] == ["E_CONTAINER"]
    assert chosen.problems[0].source == "broken.mp4"
    assert {name: len(chosen.for_video(name)) > 0 for name in chosen.sources} == {
        "broken.mp4": False,
        "one.mp4": True,
        "two.mkv": True,
    }
    assert "E_CONTAINER" in (tmp_path / "out" / "report.html").read_text("utf-8")
    with pytest.raises(InputError, match=r"none of the 1 inputs has a usable frame.*broken\.mp4"):
        select(clips / "broken.mp4")


def test_a_changed_file_is_never_mixed_with_an_old_selection(
    select: Select, clips: Path, tmp_path: Path
) -> None:
    video = tmp_path / "clip.mp4"
    shutil.copy(clips / "one.mp4", video)
    select(video, n=4, out=tmp_path / "out", no_report=True)
    shutil.copy(clips / "two.mkv", video)
    with pytest.raises(SelectionFileError, match="has changed since"):
        select(from_=tmp_path / "out" / "selection.json")


def test_the_edits_of_the_page_are_applied_once(select: Select, clips: Path, tmp_path: Path) -> None:
    select(clips / "one.mp4", n=4, out=tmp_path / "a", no_frames=True)
    exported = json.loads((tmp_path / "a" / "selection.json").read_text())
    exported["edits"] = {"n": 7, "pin": [["one.mp4", 33]], "exclude": [["one.mp4", 0]]}
    (tmp_path / "edited.json").write_text(json.dumps(exported))
    chosen = select(from_=tmp_path / "edited.json", out=tmp_path / "b", no_frames=True)
    assert len(chosen) == 7 and 33 in chosen.indices and 0 not in chosen.indices
    assert "edits" not in chosen.manifest
    again = select(from_=tmp_path / "b" / "selection.json", out=tmp_path / "c", no_frames=True)
    assert again.table.equals(chosen.table)
    exported["edits"] = {"colour": 3}
    (tmp_path / "edited.json").write_text(json.dumps(exported))
    with pytest.raises(SelectionFileError, match="edits must hold n, pin and exclude only"):
        select(from_=tmp_path / "edited.json")


def test_a_new_selection_removes_the_images_of_the_old_one(
    select: Select, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    select(clips / "one.mp4", n=9, out=out, no_report=True)
    (out / "frames" / "mine.jpg").write_bytes(b"keep")
    select(clips / "one.mp4", n=3, out=out, no_report=True)
    names = {path.name for path in (out / "frames").iterdir()}
    assert len(names) == 4 and "mine.jpg" in names


def test_strides_write_the_reduced_datasets_with_a_class_check(
    select: Select, clips: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    rows = [f"one.mp4,{i},car" for i in range(60)] + ["one.mp4,7,rider", "two.mkv,3,car"]
    labels.write_text("video_id,frame_index,category\n" + "\n".join(rows) + "\n")
    chosen = select(
        [clips / "one.mp4", clips / "two.mkv"],
        method="uniform",
        strides=[1, 5, 10],
        labels=labels,
        out=tmp_path / "out",
        no_frames=True,
    )
    sizes = {stride: len(part) for stride, part in chosen.reduced}
    assert sizes == {1: 96, 5: 12 + 8, 10: 6 + 4}
    assert len(chosen) == 96
    s5 = Selection.load(tmp_path / "out" / "S5").for_video("one.mp4")
    assert s5.indices.tolist() == list(range(0, 60, 5))
    summary = {row["stride"]: row for row in json.loads((tmp_path / "out" / "reduced.json").read_text())}
    assert summary[1]["total_variation"] == 0.0 and summary[1]["lost"] == []
    assert summary[5]["lost"] == ["rider", "two.mkv"]
    assert summary[5]["class_shares"]["car"] == 1.0
    assert (tmp_path / "out" / "report.html").is_file()
    drawn = select([clips / "one.mp4", clips / "two.mkv"], method="adaptive", strides=[1, 5, 10])
    assert {stride: len(part) for stride, part in drawn.reduced} == sizes


def test_a_dry_run_decodes_nothing_but_says_what_it_would(
    select: Select, clips: Path, tmp_path: Path
) -> None:
    plan = select(clips, dry_run=True, store=tmp_path / "empty").plan
    assert plan is not None
    assert plan["decode_videos"] == 2
    assert plan["decode_frames"] >= 60 and plan["seconds"] > 0
    assert [entry["problem"] is None for entry in plan["videos"]] == [False, True, True]
    select(clips / "one.mp4", n=3)
    cached = select(clips / "one.mp4", dry_run=True).plan
    assert cached is not None and cached["decode_videos"] == 0 and cached["seconds"] == 0.0


def test_without_a_signal_nothing_is_measured(select: Select, clips: Path, tmp_path: Path) -> None:
    chosen = select(clips / "two.mkv", stride=4, method="uniform", signal="none", out=tmp_path / "out")
    assert chosen.indices.tolist() == list(range(0, 36, 4))
    assert chosen.table["weight"].null_count == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "best"}, "method must be one of uniform, random"),
        ({"signal": "sound"}, "signal must be one of flow"),
        ({"signal": "none"}, "method auto needs a signal"),
        (
            {"signal": "none", "method": "uniform", "allocation": "activity"},
            "allocation by activity needs a signal",
        ),
        ({"embedding": "hog"}, "embedding is for methods on embeddings and the signal feature"),
        ({"strides": [1, 1]}, "strides must be different"),
        ({"strides": [2], "n": 3}, "strides are the budgets"),
        ({"labels": Path("x.csv")}, "give strides as well"),
        ({"n": 3, "stride": 2}, "give one of n, ratio and stride"),
        ({"ratio": 1.5}, "ratio must be in"),
        ({"method_options": {"colour": 1}, "method": "uniform"}, "colour"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_wrong_arguments_are_refused(
    select: Select, clips: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        select(clips / "two.mkv", **options)


def test_no_input_and_two_kinds_of_input_are_refused(select: Select, clips: Path) -> None:
    with pytest.raises(ValueError, match="give at least one video"):
        select()
    with pytest.raises(ValueError, match="brings its own inputs"):
        select(clips / "one.mp4", from_=clips / "selection.json")
    with pytest.raises(ValueError, match="leave out n, seed, dry_run"):
        select(from_=clips / "selection.json", n=5, seed=1, dry_run=True)
