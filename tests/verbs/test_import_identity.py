"""After export, labelling in a tool and import, every label is on the frame whose bar code the tool saw.

What frame a pts is comes from PyAV's decoder alone, what the tool drew from the picture alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evfr
from evfr._core.types import PTS_NONE
from evfr.errors import AnnotationError
from evfr.verbs import _import_match
from evfr.verbs._export_package import ExportFrame
from helpers.annotators import box_of, coco_tool, codes_of_pictures, codes_of_video, cvat_tool, yolo_tool
from helpers.barcode import HEIGHT, WIDTH, encode, form

FORMS = (
    "h264-mp4",
    "h264-open-gop-mp4",
    "h264-vfr-mp4",
    "h264-offset",
    "h264-edit-list",
    "h264-rotated-90",
)
SLOW_FORMS = (
    *("h264-vfr-mkv", "h264-offset-ts", "h264-open-gop-ts", "h264-refs5-pyramid-none", "h264-long-gop"),
    *(
        "h264-rotated-180",
        "hevc-open-gop-mp4",
        "hevc-temporal-layers",
        "mpeg2-ts",
        "vp9-altref-mkv",
        "av1-mp4",
    ),
    *("mpeg4-asp-avi", "h264-264", "h264-fragmented"),
)
TOOLS: dict[str, Callable[..., Path]] = {"coco": coco_tool, "yolo": yolo_tool, "cvat": cvat_tool}


def names(forms: tuple[str, ...]) -> list[Any]:
    return [pytest.param(name, id=name) for name in forms]


def check(labels: Any, video: Path) -> None:
    """Assert that each label lies on the frame whose bar code the tool saw."""
    presented, time_base = codes_of_video(video)
    by_pts = {pts: code for pts, code in presented if pts is not None}
    (found,) = labels.videos
    assert found.time_base == time_base
    pts = dict(zip(found.frame_index.tolist(), found.pts.tolist(), strict=True))
    assert len(labels) == len(found.frame_index) > 0
    for row, box in zip(labels.frame_index.tolist(), labels.boxes_xyxy, strict=True):
        # Streams without time stamps have but the order of presentation.
        code = presented[row][1] if pts[row] == PTS_NONE else by_pts[pts[row]]
        np.testing.assert_allclose(box, box_of(code), atol=2e-3)
    assert {c.name for c in labels.categories if c.category_id in labels.category_id} == {"square"}


def round_trip(
    video: Path,
    folder: Path,
    store: Path,
    selecting: dict[str, Any],
    *,
    context: str | None,
    rotation: int,
    has_pictures: bool = True,
    image_format: str = "png",
) -> None:
    common: Any = {"store": store, "executor": "serial"}
    selection = evfr.select(video, signal="none", **selecting, **common)
    exported = evfr.export(
        selection,
        to="coco",
        out=folder / "export",
        context=context,
        categories=["car", "square"],
        image_format=image_format,  # type: ignore[arg-type]
        **common,
    )
    codes = codes_of_pictures(folder / "export" / "frames", rotation=rotation)
    assert len(codes) == len(selection) == len(exported.package.label_frames)
    size = (HEIGHT, WIDTH) if rotation % 180 else (WIDTH, HEIGHT)
    for name, tool in TOOLS.items():
        file = tool(codes, folder / f"{name}{'.xml' if name == 'cvat' else ''}", size=size)
        result = evfr.import_(
            file,
            selection=folder / "export",
            out=folder / f"{name}.parquet",
            format=name,
            images=folder / "export" / "frames" if has_pictures else None,
        )
        assert result.matched_by_name == len(codes)
        assert result.checked == (len(codes) if has_pictures else 0)
        assert (result.matched_by_pixels, result.unmatched, result.guessed, result.shifted) == (0, (), 0, 0)
        check(evfr.annotations.read(result.out), video)
        (labelled,) = result.labels.videos
        assert labelled.frame_index.tolist() == selection.indices.tolist()
        pts = [PTS_NONE if pts is None else pts for pts in selection.table["pts"].to_pylist()]
        assert labelled.pts.tolist() == pts


@pytest.mark.parametrize("name", names(FORMS))
def test_every_label_comes_back_on_its_frame(name: str, tmp_path: Path, store: Path) -> None:
    chosen = form(name)
    video = encode(tmp_path / f"clip.{chosen.suffix}", chosen, 30)
    round_trip(
        video, tmp_path, store, {"stride": 4, "method": "uniform"}, context=None, rotation=chosen.rotation
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", names(SLOW_FORMS))
def test_every_label_comes_back_on_its_frame_in_every_form(name: str, tmp_path: Path, store: Path) -> None:
    chosen = form(name)
    video = encode(tmp_path / f"clip.{chosen.suffix}", chosen, 30)
    selection: dict[str, Any] = {"n": 9, "method": "random", "seed": 5}
    round_trip(video, tmp_path, store, selection, context="2f", rotation=chosen.rotation)


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of uneven times with B-frames."""
    return encode(tmp_path_factory.mktemp("uneven") / "clip.mp4", form("h264-vfr-mp4"), 40)


SELECTING = st.one_of(
    st.builds(
        lambda n, seed: {"n": n, "seed": seed, "method": "random"}, st.integers(1, 12), st.integers(0, 999)
    ),
    st.builds(lambda stride: {"stride": stride, "method": "uniform"}, st.integers(2, 17)),
    st.builds(
        lambda frames: {"include": sorted(frames), "n": len(frames), "method": "uniform"},
        st.sets(st.integers(0, 39), min_size=1, max_size=8),
    ),
)
CONTEXT = st.sampled_from([None, "1f", "3f", "100ms"])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(selecting=SELECTING, context=CONTEXT)
def test_any_selection_comes_back(
    uneven: Path,
    store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    selecting: dict[str, Any],
    context: str | None,
) -> None:
    round_trip(uneven, tmp_path_factory.mktemp("any"), store, selecting, context=context, rotation=0)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(selecting=SELECTING, context=CONTEXT, image_format=st.sampled_from(["png", "jpg"]))
def test_any_selection_comes_back_in_any_picture_format(
    uneven: Path,
    store: Path,
    tmp_path_factory: pytest.TempPathFactory,
    selecting: dict[str, Any],
    context: str | None,
    image_format: str,
) -> None:
    folder = tmp_path_factory.mktemp("often")
    round_trip(uneven, folder, store, selecting, context=context, rotation=0, image_format=image_format)


def test_matching_by_order_would_be_found(
    uneven: Path, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted defect: the k-th picture of the file taken for the k-th of the export."""
    taken: list[ExportFrame] = []

    def by_order(self: Any, name: str) -> tuple[ExportFrame | None, str]:
        frames = list(self._of_stem.values())
        taken.append(frames[len(taken) % len(frames)])
        return taken[-1], ""

    monkeypatch.setattr(_import_match.NameIndex, "find", by_order)
    selecting = {"stride": 5, "method": "uniform"}
    with pytest.raises(AnnotationError, match="its pixels are those of frame 35, not of frame 0"):
        round_trip(uneven, tmp_path / "a", store, selecting, context=None, rotation=0)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        round_trip(uneven, tmp_path / "b", store, selecting, context=None, rotation=0, has_pictures=False)
