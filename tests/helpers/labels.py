"""Drawn label sets: hypothesis strategies for `VideoAnnotations`, cut down to what a format can hold."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from evfr._core.annotations import (
    NO_TRACK,
    SOURCES,
    AnnotatedVideo,
    Category,
    ObjectRow,
    VideoAnnotations,
)
from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE
from evfr.annotations import FACTS

__all__ = ["annotations_of", "assert_equal_labels", "canonical", "label_sets", "reduced", "squares"]

_NAMES = ("car", "person", "büß 漢", "traffic light", "a&b <c>", "x,y")


def _quarters(low: int, high: int) -> st.SearchStrategy[float]:
    """Multiples of 1/4, exact in binary and with two decimals."""
    return st.integers(4 * low, 4 * high).map(lambda value: value / 4)


@st.composite
def label_sets(
    draw: st.DrawFn,
    *,
    keeps: frozenset[str] = frozenset(FACTS),
    most_videos: int = 2,
    most_frames: int = 5,
    last_frame: int = 60,
    stride: int = 1,
    lowest_track: int = 0,
    most_tracks: int = 4,
    untracked: bool = True,
    category_ids: tuple[int, ...] | None = None,
    category_names: tuple[str, ...] = _NAMES,
    overlapping: bool = True,
    empty_masks: bool = True,
    outside_boxes: bool = True,
    whole_boxes: bool = False,
    fixed_category: bool = True,
    every_object: str = "any",
) -> VideoAnnotations:
    """Draw labels that a format with these ``keeps`` can hold (fields that it does not keep stay at their defaults).

    Parameters
    ----------
    keeps : frozenset of str
        Of `FACTS`.
    most_videos, most_frames, last_frame, most_tracks : int
        Limits; ``last_frame`` is the highest frame index.
    stride : int
        All frame indices are multiples of it.
    lowest_track : int
        The lowest track id.
    untracked : bool
        Whether objects may have no track.
    category_ids : tuple of int or None
        The categories' ids, in order; None draws them. Where ``categories`` are not kept: one category 1 "object".
    category_names : tuple of str
        Names to take from.
    overlapping : bool
        Whether masks of one frame may share pixels.
    empty_masks, outside_boxes, whole_boxes : bool
        Whether masks may be empty, boxes may reach outside the picture, and box corners are whole numbers.
    fixed_category : bool
        Whether a track has one category all through.
    every_object : {"any", "box", "mask"}
        What each object must have.
    """
    if "categories" in keeps:
        ids = category_ids or tuple(draw(st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True)))
        names = draw(st.permutations(category_names))
        categories = tuple(Category(i, name) for i, name in zip(ids, names, strict=False))
    else:
        categories = (Category(1, "object"),)
    n_videos = draw(st.integers(1, most_videos))
    video_ids = draw(
        st.lists(
            st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True),
            min_size=n_videos,
            max_size=n_videos,
            unique=True,
        )
    )
    videos, rows = [], []
    for video_id in sorted(video_ids):
        video = draw(_videos(video_id, keeps, most_frames, last_frame, stride))
        tracks = list(range(lowest_track, lowest_track + draw(st.integers(1, most_tracks))))
        of_track = {t: draw(st.sampled_from(categories)) for t in tracks}
        frames = []
        for frame in video.frame_index.tolist():
            present = draw(st.lists(st.sampled_from(tracks), unique=True, max_size=3))
            if untracked and "tracks" in keeps and draw(st.booleans()):
                present.append(NO_TRACK)
            if "tracks" not in keeps:
                present = [NO_TRACK] * len(present)
            if present or "empty_frames" in keeps:
                frames.append(frame)
            taken = np.zeros((video.height, video.width), bool)
            for track in present:
                category = (
                    of_track[track]
                    if fixed_category and track in of_track
                    else draw(st.sampled_from(categories))
                )
                row = draw(
                    _objects(
                        video,
                        frame,
                        track,
                        category.category_id,
                        keeps,
                        every_object,
                        outside_boxes,
                        whole_boxes,
                        empty_masks,
                    )
                )
                if row.mask is not None and not overlapping:
                    free = row.mask.to_mask() & ~taken
                    taken |= free
                    row = replace(row, mask=Rle.from_mask(free))
                    if not free.any() and not empty_masks:
                        continue
                rows.append(row)
        if "empty_frames" not in keeps:
            present_frames = {r.frame_index for r in rows if r.video_id == video_id}
            frames = [f for f in frames if f in present_frames]
        if frames or "empty_frames" in keeps:
            keep = np.isin(video.frame_index, frames)
            names = tuple(n for n, k in zip(video.file_names, keep.tolist(), strict=False) if k)
            videos.append(
                replace(video, frame_index=video.frame_index[keep], pts=video.pts[keep], file_names=names)
            )
    return VideoAnnotations.build(videos, categories, rows)


@st.composite
def _videos(
    draw: st.DrawFn, video_id: str, keeps: frozenset[str], most_frames: int, last_frame: int, stride: int
) -> AnnotatedVideo:
    steps = draw(
        st.lists(st.integers(0, last_frame // stride), min_size=1, max_size=most_frames, unique=True)
    )
    index = np.array(sorted(steps), np.int64) * stride
    pts = np.full(len(index), PTS_NONE)
    time_base = None
    if "time" in keeps and draw(st.booleans()):
        # A variable frame rate: nothing follows from the index but the order.
        gaps = draw(st.lists(st.integers(1, 999), min_size=len(index), max_size=len(index)))
        pts = np.cumsum(gaps).astype(np.int64) - draw(st.integers(0, 500))
        time_base = Fraction(1, draw(st.sampled_from([30, 90_000, 12_800])))
        if draw(st.booleans()):
            pts[draw(st.integers(0, len(index) - 1))] = PTS_NONE
    file_names: tuple[str, ...] = ()
    if "file_names" in keeps and draw(st.booleans()):
        file_names = tuple(f"{video_id}/{i:05d}.jpg" for i in index)
    digest = draw(st.sampled_from(["", "ab" * 16])) if "content_hash" in keeps else ""
    width, height = draw(st.integers(1, 17)), draw(st.integers(1, 13))
    return AnnotatedVideo(
        video_id=video_id,
        width=width,
        height=height,
        frame_index=index,
        pts=pts,
        time_base=time_base,
        frame_count=None,
        content_hash=digest,
        file_names=file_names,
    )


@st.composite
def _masks(draw: st.DrawFn, height: int, width: int, empty_masks: bool) -> Rle:
    kind = draw(st.sampled_from(["noise", "block", "full", "pixel", "empty"]))
    mask = np.zeros((height, width), bool)
    if kind == "noise":
        mask = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random((height, width)) < 0.4
    elif kind == "block":
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[y : y + draw(st.integers(1, height)), x : x + draw(st.integers(1, width))] = True
    elif kind == "full":
        mask[:] = True
    if kind == "pixel" or not (mask.any() or empty_masks):
        mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return Rle.from_mask(mask)


@st.composite
def _objects(
    draw: st.DrawFn,
    video: AnnotatedVideo,
    frame: int,
    track: int,
    category_id: int,
    keeps: frozenset[str],
    every_object: str,
    outside_boxes: bool,
    whole_boxes: bool,
    empty_masks: bool,
) -> ObjectRow:
    has_mask = "masks" in keeps and (every_object == "mask" or draw(st.booleans()))
    has_box = "boxes" in keeps and (every_object == "box" or not has_mask or draw(st.booleans()))
    box = None
    if has_box:
        out = 5 if outside_boxes else 0
        one = st.integers if whole_boxes else _quarters
        xs = sorted(draw(st.tuples(one(-out, video.width + out), one(-out, video.width + out))))
        ys = sorted(draw(st.tuples(one(-out, video.height + out), one(-out, video.height + out))))
        box = (float(xs[0]), float(ys[0]), float(xs[1]), float(ys[1]))
    fields: dict[str, Any] = {}
    if "score" in keeps:
        fields["score"] = draw(st.sampled_from([math.nan, 0.0, 0.25, 0.875, 1.0]))
    if "source" in keeps:
        fields["source"] = draw(st.sampled_from(SOURCES))
    if "trust" in keeps:
        fields["trust"] = draw(st.sampled_from([math.nan, 0.0, 0.5, 1.0]))
    if "is_crowd" in keeps:
        fields["is_crowd"] = draw(st.booleans())
    if "attributes" in keeps and draw(st.booleans()):
        fields["attributes"] = draw(
            st.dictionaries(
                st.sampled_from(["occluded", "pose", "Überholt"]),
                st.one_of(
                    st.booleans(), st.integers(-9, 9), _quarters(-2, 2), st.sampled_from(["", "left", 'q"<&'])
                ),
                max_size=2,
            )
        )
    return ObjectRow(
        video_id=video.video_id,
        frame_index=frame,
        track_id=track,
        category_id=category_id,
        box_xyxy=box,
        mask=draw(_masks(video.height, video.width, empty_masks)) if has_mask else None,
        **fields,
    )


def reduced(annotations: VideoAnnotations, **fields: Any) -> VideoAnnotations:
    """Return the labels with fields of every object replaced, e.g. ``reduced(a, trust=math.nan)``."""
    rows = [replace(row, **fields) for row in annotations.objects()]
    return VideoAnnotations.build(annotations.videos, annotations.categories, rows)


def canonical(annotations: VideoAnnotations) -> VideoAnnotations:
    """Return the same labels, objects of one frame by track, category and box: for formats that sort them."""
    rows = sorted(annotations.objects(), key=lambda r: (r.track_id, r.category_id, r.box_xyxy or ()))
    return VideoAnnotations.build(annotations.videos, annotations.categories, rows)


def annotations_of(
    *rows: ObjectRow,
    size: tuple[int, int] = (8, 6),
    frames: list[int] | None = None,
    video_id: str = "clip",
    categories: tuple[Category, ...] = (Category(1, "object"),),
    **video: Any,
) -> VideoAnnotations:
    """Return the labels of one video of ``size`` (width, height) annotated at ``frames`` (default: where rows are)."""
    index = np.array(sorted({r.frame_index for r in rows} if frames is None else frames), np.int64)
    fields = {"pts": np.full(len(index), PTS_NONE), "time_base": None, "frame_count": None, **video}
    one = AnnotatedVideo(video_id=video_id, width=size[0], height=size[1], frame_index=index, **fields)
    return VideoAnnotations.build([one], categories, rows)


def squares(
    n_frames: int = 4, size: tuple[int, int] = (16, 12), step: int = 1, video_id: str = "clip"
) -> VideoAnnotations:
    """Return two squares with masks and boxes that move right, tracks 1 and 2, one label every ``step`` frames."""
    width, height = size
    rows = []
    for number in range(n_frames):
        for track, top in ((1, 0), (2, height // 2)):
            mask = np.zeros((height, width), bool)
            mask[top : top + 4, number : number + 4] = True
            rle = Rle.from_mask(mask)
            rows.append(
                ObjectRow(
                    video_id=video_id,
                    frame_index=number * step,
                    track_id=track,
                    category_id=1,
                    box_xyxy=rle.box_xyxy,
                    mask=rle,
                )
            )
    return annotations_of(*rows, size=size, video_id=video_id)


def assert_equal_labels(actual: VideoAnnotations, expected: VideoAnnotations) -> None:
    """Hold two label sets equal field by field, so that a failure says where."""
    assert actual.categories == expected.categories
    assert [v.video_id for v in actual.videos] == [v.video_id for v in expected.videos]
    for one, other in zip(actual.videos, expected.videos, strict=True):
        for name in ("width", "height", "time_base", "frame_count", "content_hash", "path", "file_names"):
            assert getattr(one, name) == getattr(other, name), name
        np.testing.assert_array_equal(one.frame_index, other.frame_index)
        np.testing.assert_array_equal(one.pts, other.pts)
    for name in (
        "video_row",
        "frame_index",
        "track_id",
        "category_id",
        "boxes_xyxy",
        "score",
        "source",
        "trust",
        "is_crowd",
    ):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)
    assert actual.masks == expected.masks
    assert [dict(r.attributes) for r in actual.objects()] == [dict(r.attributes) for r in expected.objects()]
    assert actual.equals(expected)
