"""From videos, labels and a split to a planned experiment; and what is refused before anything is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import evfr
from evfr.errors import InputError
from evfr.experiments import PlanResult, plan, read_plan, run
from evfr.experiments._plan import load_clips


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "toy"
    evfr.synth(folder, clips=2, test_clips=1, frames=14, width=48, height=32)
    return folder


def make(drawn: Path, folder: Path, **options: Any) -> PlanResult:
    kept = {"labels": drawn / "labels.parquet", "split": drawn / "split.json", "width": 48, "height": 32}
    return plan(folder, [drawn / "train", drawn / "test"], **{**kept, "no_timing": True, **options})


def test_the_grid_its_frames_and_its_pictures(drawn: Path, tmp_path: Path) -> None:
    made = make(drawn, tmp_path / "g", strides=(1, 4), samplers=("uniform", "adaptive:ssim"), seeds=2)
    assert dict(made.frames) == {
        "S1": 28,
        "S4 uniform": 8,
        "S4 adaptive:ssim": 8,
        "S1 +cp": 28,
        "S4 uniform +cp": 8,
    }
    assert made.cell_count == 10 and dict(made.tests) == {"new": 14} and np.isnan(made.seconds)
    found = read_plan(tmp_path / "g")
    assert found.arm("S4 adaptive:ssim").signal == "ssim" and found.sources["width"] == 48
    from evfr.video import open_video

    train = load_clips(tmp_path / "g", "train")
    with open_video(drawn / "train" / "train_000.mkv") as reader:
        frames = [frame.rgb() for frame in reader]
    np.testing.assert_array_equal(train[0].images, np.stack(frames))
    check = json.loads((tmp_path / "g" / "class_check.json").read_text())
    assert check["S1"]["total_variation"] == 0 and set(check) == set(made.frames)
    # S1 is the same for every seed, drawn arms are not.
    subsets = [
        pq.read_table(path)["frame_index"].to_pylist()
        for path in sorted((tmp_path / "g" / "subsets").glob("S4_adaptive*"))
    ]
    assert len(subsets) == 2 and subsets[0] != subsets[1]


def test_pertinence_tests_the_rest_of_the_same_videos_too(drawn: Path, tmp_path: Path) -> None:
    made = make(
        drawn,
        tmp_path / "g",
        protocol="pertinence",
        window=2,
        blocks=4,
        model="vgg",
        model_options={"width": 4},
        iterations=100,
        seeds=1,
    )
    # 8 frames are trained on, one window more is left out, the rest is tested.
    assert dict(made.tests) == {"new": 14, "same": 8}
    found = read_plan(tmp_path / "g")
    steps = {arm.name: arm.iterations for arm in found.arms}
    assert steps["1"] == 100 and steps["8"] == round(100 * 8**0.537)
    assert steps["1x2"] == steps["2"]  # noised copies count as frames


def test_equal_iterations_and_two_axes(drawn: Path, tmp_path: Path) -> None:
    make(drawn, tmp_path / "a", protocol="pertinence", window=2, blocks=2, iteration_exponent=0.0, seeds=1)
    assert {arm.iterations for arm in read_plan(tmp_path / "a").arms} == {1000}
    made = make(drawn, tmp_path / "b", protocol="two-axis", clip_counts=(1, 2), frame_counts=(2, 4), seeds=1)
    assert dict(made.frames) == {"1 clips x 2": 2, "1 clips x 4": 4, "2 clips x 2": 4, "2 clips x 4": 8}


def test_models_that_take_pictures_as_they_are(drawn: Path, tmp_path: Path) -> None:
    make(drawn, tmp_path / "a", model="svm", strides=(1, 2), samplers=("uniform",), seeds=1)
    assert all(arm.augmentation.is_identity for arm in read_plan(tmp_path / "a").arms)
    with pytest.raises(ValueError, match=r"svm takes pictures as they are: arm 'S1 .cp' asks for"):
        make(drawn, tmp_path / "b", model="svm", strides=(1, 2), copy_paste="uniform")


@pytest.mark.slow
def test_a_time_is_predicted_and_a_cell_runs(drawn: Path, tmp_path: Path) -> None:
    made = make(
        drawn,
        tmp_path / "g",
        strides=(1,),
        samplers=("uniform",),
        copy_paste="none",
        seeds=1,
        iterations=3,
        model_options={"batch_size": 2},
        no_timing=False,
    )
    assert made.seconds > 0 and "one cell at a time" in str(made)
    assert run(tmp_path / "g").left == 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"protocol": "best"}, "protocol must be one of evfr, pertinence, two-axis, custom, got 'best'"),
        ({"window": 3}, "window belongs to the protocol pertinence, not to evfr"),
        (
            {"protocol": "two-axis", "strides": (1, 2)},
            "strides belongs to the protocol evfr, not to two-axis",
        ),
        ({"protocol": "custom"}, "the protocol custom needs a grid"),
        ({"model": "best"}, "model must be one of tiny, .* or 'cmd: ...', got 'best'"),
        ({"model": "tiny", "kind": "pixels"}, "tiny learns instances, not pixels"),
        ({"model": "tiny", "model_options": {"depth": 3}}, "tiny has no option 'depth'; it has batch_size"),
        ({"model": "cmd: train {train} {val} {iters} {seed} {out}"}, "a command needs kind"),
        ({"model": "cmd: train {train}", "kind": "pixels"}, "the command"),
        (
            {
                "model": "cmd: t {train} {val} {iters} {seed} {out}",
                "kind": "pixels",
                "model_options": {"a": 1},
            },
            "a command has no model_options",
        ),
        ({"labels": None}, "give videos, --labels and --split"),
    ],
)
def test_what_is_refused(drawn: Path, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make(drawn, tmp_path / "g", **options)
    assert not (tmp_path / "g").exists()


def test_a_split_that_leaks_is_refused(drawn: Path, tmp_path: Path) -> None:
    path = tmp_path / "leaky.json"
    name = "train/train_000.mkv"
    path.write_text(
        json.dumps({"version": 1, "by": "video", "train": {name: [[0, 6]]}, "val": {name: [[7, 13]]}})
    )
    with pytest.raises(InputError, match=r"the video 'train/train_000.mkv' is on both sides"):
        make(drawn, tmp_path / "g", split=path)


def test_more_frames_than_clips_have(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"arm '20' wants 20 labelled frames of each clip, and train/train_000\.mkv has 14"
    ):
        make(drawn, tmp_path / "g", protocol="pertinence", seeds=1)


def test_steps_and_their_options(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="action must be one of plan, run, report, got 'walk'"):
        evfr.experiment("walk", tmp_path)
    with pytest.raises(ValueError, match="run has no option 'speed'; it has workers, shard"):
        evfr.experiment("run", tmp_path, action_options={"speed": 3})
    with pytest.raises(ValueError, match=r"run takes the folder alone; videos belong to plan, got a\.mp4"):
        evfr.experiment("run", tmp_path, ["a.mp4"])
