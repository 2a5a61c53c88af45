"""Scoring, inspecting and extracting end to end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import evfr
from evfr.video import frames


def test_one_pass_measures_every_signal(clips: Path, store: Path) -> None:
    names = ("flow", "ssim", "feature", "difference", "motion")
    result = evfr.score([clips / "one.mp4"], signals=names, out=store, executor="serial")
    (video,) = result.videos
    assert tuple(video.fvi) == names
    for name in names:
        assert video.fvi[name].shape == (60,)
        assert video.fvi[name].sum() == pytest.approx(1.0)
        assert video.nan_count[name] == 0
    assert video.frames is not None and len(video.frames) == 60
    assert video.parameters["flow"]["working_width"] == 160
    assert json.dumps(result.to_dict())
    assert evfr.score(clips / "one.mp4", signals=names, out=store, executor="serial").videos[0].is_cached


def test_bad_videos_are_listed_not_raised(clips: Path, store: Path) -> None:
    result = evfr.score(clips, signals=["difference"], out=store, executor="serial")
    assert result.failed_count == 1
    assert [video.status for video in result.videos] == ["failed", "ok", "ok"]
    assert [problem.source for problem in result.problems] == ["broken.mp4"]
    with pytest.raises(ValueError, match="signals must be some of"):
        evfr.score(clips, signals=["sound"])  # type: ignore[list-item]


def test_still_video_and_unmeasured_frames_are_said(tmp_path: Path, store: Path) -> None:
    still = np.full((64, 96), 90, np.uint8)
    (tmp_path / "still").mkdir()
    (tmp_path / "hole").mkdir()
    for i in range(6):
        cv2.imwrite(str(tmp_path / "still" / f"{i}.png"), still)
        cv2.imwrite(
            str(tmp_path / "hole" / f"{i}.png"), np.roll(still + 10 * (np.arange(96) % 9 > 3), i, axis=1)
        )
    (tmp_path / "hole" / "3.png").write_bytes(b"no picture")
    paths = [tmp_path / "still", tmp_path / "hole"]
    result = evfr.score(paths, signals=["difference"], out=store, executor="serial")
    codes = {(problem.source, str(problem.code), problem.count) for problem in result.problems}
    assert ("still", "W_STATIC", 1) in codes
    assert ("hole", "W_SIGNAL", 2) in codes
    chosen = evfr.select(paths, n=4, method="uniform", signal="difference", store=store, executor="serial")
    assert {"W_STATIC", "W_SIGNAL"} <= {str(problem.code) for problem in chosen.problems}
    assert 3 not in chosen.for_video("hole").indices


def test_inspect_counts_what_decodes(clips: Path) -> None:
    result = evfr.inspect(clips, executor="serial")
    assert result.failed_count == 1
    assert [video.frame_count for video in result.videos] == [0, 60, 36]
    one = result.videos[1]
    assert (one.width, one.height, one.codec) == (160, 96, "h264")
    assert one.has_b_frames and one.has_motion_vectors and not one.is_variable_rate
    assert json.dumps(result.to_dict())


def test_extract_writes_exactly_the_selected_frames(clips: Path, store: Path, tmp_path: Path) -> None:
    common: Any = {"store": store, "executor": "serial"}
    evfr.select(clips / "one.mp4", n=5, method="random", out=tmp_path / "s", no_frames=True, **common)
    result = evfr.extract(tmp_path / "s", out=tmp_path / "png", image_format="png", **common)
    (names,) = result.files.values()
    truth = {frame.frame_index: frame.image for frame in frames(clips / "one.mp4")}
    chosen = evfr.Selection.load(tmp_path / "s")
    for index, name in zip(chosen.indices, names, strict=True):
        image = cv2.cvtColor(cv2.imread(str(tmp_path / "png" / name)), cv2.COLOR_BGR2RGB)
        assert np.array_equal(image, truth[int(index)])
    assert result.failed_count == 0
    with pytest.raises(ValueError, match=r"quality must lie in 1\.\.100"):
        evfr.extract(chosen, out=tmp_path / "png", quality=0)


def test_extract_refuses_a_changed_file(clips: Path, store: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    shutil.copy(clips / "one.mp4", video)
    evfr.select(video, n=4, out=tmp_path / "s", no_frames=True, store=store, executor="serial")
    shutil.copy(clips / "two.mkv", video)
    result = evfr.extract(tmp_path / "s", out=tmp_path / "f", store=store, executor="serial")
    assert [problem.code for problem in result.problems] == ["E_CHANGED"]
    assert result.failed_count == 1 and not result.files
