"""Report values refuse what does not fit together, and say what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evfr._core.types import Problem
from evfr.errors import ProblemCode
from evfr.reports import Segment, StrideRow, Thumbnails, pack_thumbnails
from helpers.report_data import scene, selection_report, video_report


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"status": "fine"}, "status must be one of ok, partial, failed, got 'fine'"),
        ({"time_seconds": np.zeros(5)}, "curves.*must be .5,. float64"),
        ({"weights": np.zeros(40, np.float32)}, "weights must be .40,. float64"),
        ({"is_suspect": np.zeros(40)}, "is_suspect must be"),
        ({"pts": np.zeros(40)}, "pts must be"),
        ({"selected": np.array([3, 2, 1, 0])}, "selected must increase strictly, got .3, 2, 1, 0."),
        ({"selected": np.array([0, 1, 2, 40])}, "selected must be frame indices in .0, 40."),
        ({"order": np.array([41])}, "order must be frame indices in .0, 40."),
        ({"cuts": np.array([40])}, "cuts must be frame indices in .0, 40."),
        ({"rank": np.zeros(3, np.int64)}, "rank must be .4,. int64"),
        ({"reasons": ("a",)}, "reasons must have one text per selected frame, got 1 for 4"),
        ({"files": ("a",)}, "files must be empty or one per selected frame, got 1 for 4"),
    ],
)
def test_video_reports_are_checked(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        video_report(n_frames=40, n=4, with_thumbnails=False, **changes)


def test_other_values_are_checked() -> None:
    with pytest.raises(ValueError, match="a segment needs 0 <= start <= stop, got 5 and 4"):
        Segment(5, 4, "uniform", "", 0.1, 1)
    with pytest.raises(ValueError, match="stride must be 1 or more, got 0"):
        StrideRow(0, ())
    with pytest.raises(ValueError, match="stride 2 must give n_frames of 4 videos, got 1"):
        selection_report(strides=(StrideRow(2, (1,)),))
    images = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="frame_index must increase strictly"):
        Thumbnails(np.array([1, 1]), images)
    with pytest.raises(ValueError, match=r"images must be .3, h, w, 3. uint8"):
        Thumbnails(np.array([1, 2, 3]), images)


def test_counts_and_problems() -> None:
    report = selection_report()
    assert (report.n_frames, report.n_selected) == (2800, 280)
    twice = Problem(ProblemCode.W_CORRUPT, "packets failed to decode", "drive/night run.mp4", 150, 40)
    report = selection_report(problems=(twice,))
    assert [str(problem.code) for problem in report.all_problems] == ["W_CORRUPT", "E_CONTAINER"]


def test_repr_shows_shapes_not_pixels() -> None:
    video = video_report(n_frames=40, n=4)
    assert repr(video) == "VideoReport('drive/morning.mp4', ok, 4 of 40 frames, 2 curves)"
    assert repr(selection_report((video,))) == "SelectionReport(4 of 40 frames, 1 videos)"
    wanted = np.arange(3, dtype=np.int64)
    thumbnails = Thumbnails(wanted, scene(wanted, 40, 0))
    assert repr(thumbnails) == "Thumbnails(3 of 160x90)"
    assert repr(pack_thumbnails(thumbnails, wanted, budget_bytes=10**6)).startswith(
        "PackedThumbnails(3 frames in 1 sheets, "
    )
