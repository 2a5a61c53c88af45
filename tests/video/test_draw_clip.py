"""The drawn clip holds what its timeline says."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from evfr.errors import ProblemCode, VideoError
from evfr.video.synthetic import ClipTimeline, clip_timeline, draw_clip


def read(path: Path) -> tuple[list[np.ndarray], list[str]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = [frame.to_ndarray(format="gray") for frame in frames]
    return pictures, [av.video.frame.PictureType(frame.pict_type).name for frame in frames]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], list[str], ClipTimeline]:
    path = draw_clip(tmp_path_factory.mktemp("clip") / "demo.mp4", seconds=6.0)
    return *read(path), clip_timeline(6.0)


def steps(pictures: list[np.ndarray]) -> np.ndarray:
    return np.array([cv2.absdiff(a, b).mean() for a, b in itertools.pairwise(pictures)])


def flow(a: np.ndarray, b: np.ndarray) -> float:
    field = cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return float(np.linalg.norm(field, axis=2).mean())


def test_frames_and_picture_types(clip) -> None:
    pictures, types, timeline = clip
    assert len(pictures) == timeline.frame_count == 150
    assert pictures[0].shape == (360, 640)
    assert types.count("B") > 50
    assert types[0] == "I"
    assert types[timeline.cut] == "I"


def test_still_stretch_stands_still(clip) -> None:
    pictures, _, timeline = clip
    middle = pictures[timeline.still[0] : timeline.still[1]]
    assert len(middle) > 10
    early, late = np.mean(middle[1:9], axis=0), np.mean(middle[-9:-1], axis=0)
    assert np.abs(early - late).mean() < 1.0
    assert max(flow(middle[0], later) for later in middle[1::5]) < 0.2
    moving = pictures[timeline.pan[0] : timeline.pan[1]]
    assert min(flow(a, b) for a, b in zip(moving[::8], moving[1::8], strict=False)) > 1.0


def test_cut_and_burst_lie_where_the_timeline_says(clip) -> None:
    pictures, _, timeline = clip
    change = steps(pictures)
    assert int(change.argmax()) == timeline.cut - 1
    second = change[timeline.cut :]
    start, stop = timeline.burst[0] - timeline.cut, timeline.burst[1] - timeline.cut
    assert second[start:stop].max() > 2 * np.median(second)
    assert start - 1 <= int(second.argmax()) <= stop


def test_same_seed_same_pixels_other_seed_others(tmp_path: Path) -> None:
    options = {"seconds": 0.6, "size": (160, 90)}
    one, two, other = (
        draw_clip(tmp_path / f"{name}.mp4", seed=seed, **options).read_bytes()
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert one == two
    assert one != other


@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (0.08, 2), (0.2, 5)])
def test_very_short_clips(tmp_path: Path, seconds: float, count: int) -> None:
    pictures, _ = read(draw_clip(tmp_path / "short.mkv", seconds=seconds, size=(64, 64)))
    assert len(pictures) == count


def test_mpeg4_where_asked_has_b_frames(tmp_path: Path) -> None:
    _, types = read(draw_clip(tmp_path / "clip.mp4", seconds=0.6, size=(96, 64), codec="mpeg4"))
    assert types.count("B") > 5


def test_default_timeline() -> None:
    assert clip_timeline() == ClipTimeline(300, (0, 90), (90, 132), (132, 174), 174, (240, 255))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"seconds": 0}, "seconds must be more than 0"),
        ({"seconds": float("nan")}, "seconds must be more than 0"),
        ({"fps": 0}, "fps must be 1 or more"),
        ({"size": (65, 64)}, "two even numbers of 32 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"codec": "aac"}, "must be a video encoder"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        draw_clip(tmp_path / "clip.mp4", **options)


def test_missing_encoder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="pass codec='mpeg4'") as caught:
        draw_clip(tmp_path / "clip.mp4", codec="libnothing")
    assert caught.value.problem.code is ProblemCode.E_CODEC
