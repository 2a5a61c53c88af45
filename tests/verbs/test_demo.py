"""demo: the whole job on the drawn clip, the main job on a video of one's own."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evfr
from evfr import cli
from evfr._cli.printers import print_demo
from evfr.verbs import demo as module
from evfr.verbs.demo import demo
from evfr.video.synthetic import CLIP_OBJECTS, clip_object_maps, draw_clip


@pytest.fixture(autouse=True)
def small_and_serial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Draw a small clip, keep the store apart, start no child processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVFR_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(module, "SECONDS", 1.6)
    monkeypatch.setattr(module, "SIZE", (192, 108))
    real = evfr.distributed.map_videos

    def serial(fn: Any, items: Any, **options: Any) -> Any:
        return real(fn, items, **{**options, "executor": "serial"})

    monkeypatch.setattr(evfr.distributed, "map_videos", functools.wraps(real)(serial))


def known_commands(result: module.DemoResult) -> None:
    """Hold every command that the tour names to what the command line has."""
    for line in [*(step.command for step in result.steps if step.command), *result.following]:
        program, command, *words = shlex.split(line)
        assert (program, command in cli.COMMANDS) == ("evfr", True)
        text = cli.read_signature(cli.load(cli.COMMANDS[command]))
        options = {spec.option for spec in text.parameters if not spec.is_argument}
        assert {word for word in words if word.startswith("--")} <= options | {"--step"}


def test_the_tour(capsys: pytest.CaptureFixture[str]) -> None:
    result = demo()
    folder = Path("evfr-out")
    names = {path.name for path in folder.iterdir()}
    assert {"demo.mp4", "report.html", "selection.json", "selection.parquet", "frames"} <= names
    assert {"labels.parquet", "all.parquet", "truth.parquet", "overlay.mp4", "all-review"} <= names
    assert [step.name for step in result.steps] == [
        "draw",
        "select",
        "label",
        "carry",
        "check",
        "look",
        "worth",
    ]
    assert result.failed_count == 0
    known_commands(result)
    print_demo(result)
    text = capsys.readouterr().out
    assert "4 of 40 frames selected" in text
    assert "$ evfr propagate evfr-out/demo.mp4 --labels evfr-out/labels.parquet" in text
    document = json.loads(json.dumps(result.to_dict()))
    assert [len(document[key]) for key in ("frames", "steps")] == [4, 7]


@pytest.mark.slow
def test_a_second_tour_in_the_same_folder() -> None:
    first, again = demo(), demo()
    assert repr(again).startswith("DemoResult(draw, select, ")
    assert again.selection.indices.tolist() == first.selection.indices.tolist()


def test_a_video_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    clip = draw_clip("my clip.mp4", seconds=0.8, size=(96, 64))
    result = demo([clip], out=Path("mine"))
    assert [step.name for step in result.steps] == ["select"]
    assert {path.name for path in Path("mine").iterdir()} == {
        *("report.html", "selection.json", "selection.parquet", "frames"),
    }
    known_commands(result)
    print_demo(result)
    assert "$ evfr propagate 'my clip.mp4' --labels mine/labels.parquet" in capsys.readouterr().out
    assert (
        demo("my clip.mp4", out=Path("mine")).selection.indices.tolist() == result.selection.indices.tolist()
    )


def test_the_maps_show_the_objects_of_the_clip() -> None:
    shown = clip_object_maps([0, 30, 60, 99], seconds=4.0, size=(192, 108))
    assert shown.shape == (4, 108, 192)
    assert shown.dtype == np.uint8
    seen = [{CLIP_OBJECTS[int(number)] for number in np.unique(part[part > 0])} for part in shown]
    assert "boat" not in set.union(*seen[:2])
    assert {"car", "bus"} <= seen[1]
    assert seen[3] == {"boat"}, "the second scene has boats only"
    with pytest.raises(ValueError, match="the clip has the frames 0 to 99, got 100"):
        clip_object_maps([100], seconds=4.0, size=(192, 108))


@pytest.mark.slow
def test_the_maps_lie_where_the_pixels_change() -> None:
    """Oracle: between two frames of the standing camera only what moves changes, and all that moves is marked."""
    import av

    clip = draw_clip("still.mp4", seconds=12.0, size=(192, 108))
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    # The speedboat enters the second scene, whose camera creeps, at frame 240.
    before, there = frames[239], frames[248]
    boat = clip_object_maps([248], size=(192, 108))[0] == 12
    changed = np.abs(there - before) > 40
    assert boat.sum() > 300
    assert changed[boat].mean() > 5 * changed[~boat].mean()
