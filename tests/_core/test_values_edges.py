"""Plain values refuse what does not fit together, and say what."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from evfr._core.gop import CodedClip, ListField
from evfr._core.labelled import IGNORE_ID, FrameObjects, LabelledClip
from evfr._core.lazy import require
from evfr._core.masks import Rle
from evfr._core.motion import StepFields
from evfr._core.rng import generator, spawn_seed
from evfr._core.types import PTS_NONE, FrameTable, Problem
from evfr.errors import MissingExtraError, ProblemCode

# -- coded clips -------------------------------------------------------------------------------------


def field(reference, height=2, width=3):
    names = np.full((height, width), reference, np.int32)
    return ListField(names, np.zeros((height, width, 2), np.float32))


def coded(**changes):
    given = {
        "height": 30,
        "width": 48,
        "picture_types": "IBP",
        "decode_order": np.array([0, 2, 1]),
        "fields": (None, (field(0), field(2)), (field(0), field(-1))),
        "cell": 16,
        "name": "drawn",
    }
    return CodedClip(**{**given, **changes})


def test_a_coded_clip_says_what_it_is():
    clip = coded()
    assert (len(clip), clip.grid, clip.is_key.tolist()) == (3, (2, 3), [True, False, True])
    assert repr(clip) == "CodedClip('drawn', 48 x 30, IBP, cell 16)"
    assert repr(field(2)) == "ListField(2 x 3 cells, references [2])"
    empty = ListField.empty(2, 3)
    assert repr(empty) == "ListField(2 x 3 cells, references [])"
    assert not empty.has.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"picture_types": "IXP"}, "picture_types may hold I, P and B only, got 'X'"),
        ({"decode_order": np.array([0, 1, 1])}, "decode_order must hold each of the 3 positions once"),
        ({"fields": (None, None)}, "fields must hold one entry for each of 3 frames, got 2"),
        ({"cell": 0}, "sizes must be 1 or more, got 30 x 48, cell 0"),
        ({"height": 0}, "sizes must be 1 or more, got 0 x 48"),
        ({"cell": 8}, r"frame 1: the grid must be \(4, 6\) cells, got \(2, 3\)"),
        ({"fields": (None, (field(3), field(0)), None)}, r"frame 1: it refers to the frames \[3\]"),
        (
            {"fields": (None, None, (field(1), field(0)))},
            r"frame 2: it refers to the frames \[1\].*decoded before",
        ),
        ({"fields": ((field(0), field(0)), None, None)}, r"frame 0: it refers to the frames \[0\]"),
    ],
)
def test_coded_clips_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        coded(**changes)


def test_lists_of_vectors_that_do_not_fit():
    names, flow = np.zeros((2, 3), np.int32), np.zeros((2, 3, 2), np.float32)
    with pytest.raises(ValueError, match=r"reference must be \(h, w\) int32, got \(2, 3\) int64"):
        ListField(names.astype(np.int64), flow)
    with pytest.raises(ValueError, match=r"reference must be \(h, w\) int32, got \(6,\) int32"):
        ListField(names.ravel(), flow)
    with pytest.raises(
        ValueError, match=r"flow must be \(2, 3, 2\) float32 like reference, got \(2, 3\) float32"
    ):
        ListField(names, flow[..., 0])
    flow[1, 2] = np.nan
    with pytest.raises(ValueError, match="flow must be finite wherever reference names a frame"):
        ListField(names, flow)
    names[1, 2] = -1
    ListField(names, flow)  # where no frame is named nothing is read


# -- motion fields -----------------------------------------------------------------------------------


def test_step_fields_that_do_not_fit():
    flow, has = np.zeros((2, 4, 5, 2), np.float32), np.ones((2, 4, 5), np.bool_)
    fields = StepFields(flow, flow, 4, "drawn", has, None)
    assert (len(fields), repr(fields)) == (2, "StepFields(drawn, 2 steps, 5x4 cells of 4 px)")
    with pytest.raises(ValueError, match=r"two arrays \(T - 1, h, w, 2\), got \(2, 4, 5\) and"):
        StepFields(flow[..., 0], flow[..., 0], 4, "x")
    with pytest.raises(ValueError, match=r"got \(2, 4, 5, 2\) and \(1, 4, 5, 2\)"):
        StepFields(flow, flow[:1], 4, "x")
    with pytest.raises(ValueError, match="to_next must be float32, got float64"):
        StepFields(flow, flow.astype(np.float64), 4, "x")
    with pytest.raises(ValueError, match=r"has_previous must be \(2, 4, 5\) bool, got \(2, 4, 5\) uint8"):
        StepFields(flow, flow, 4, "x", has.astype(np.uint8))
    with pytest.raises(ValueError, match=r"has_next must be \(2, 4, 5\) bool, got \(1, 4, 5\) bool"):
        StepFields(flow, flow, 4, "x", None, has[:1])
    with pytest.raises(ValueError, match="cell must be 1 pixel or more, got 0"):
        StepFields(flow, flow, 0, "x")


# -- labelled clips ----------------------------------------------------------------------------------


def labelled(**changes):
    ids = np.zeros((2, 3, 4), np.uint8)
    ids[0, 0, :2], ids[0, 1, 1:3], ids[1, 2, 3], ids[1, 0] = 1, 2, 2, IGNORE_ID
    given = {
        "video_id": "v",
        "frame_index": np.array([3, 8]),
        "images": np.arange(72, dtype=np.uint8).reshape(2, 3, 4, 3),
        "ids": ids,
        "category": np.array([[0, 1], [-1, 1]], np.int16),
        "classes": ("car", "bus"),
        "noise_std": np.arange(72, dtype=np.float32).reshape(2, 3, 4, 3),
        "copies": 3,
    }
    return LabelledClip(**{**given, **changes})


def test_a_labelled_clip_gives_maps_and_objects():
    clip = labelled()
    assert (len(clip), repr(clip)) == (2, "LabelledClip('v', 2 frames of 4x3, 2 classes)")
    assert clip.label_map(0).tolist() == [[1, 1, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0]]
    assert clip.label_map(1).tolist() == [[IGNORE_ID] * 4, [0] * 4, [0, 0, 0, 2]]
    objects = clip.objects(0)
    assert (len(objects), repr(objects)) == (2, "FrameObjects(2 objects)")
    assert objects.category.tolist() == [0, 1]
    assert objects.boxes_xyxy.tolist() == [[0, 0, 2, 1], [1, 1, 3, 2]]
    assert objects.masks[1] == Rle.from_mask(clip.ids[0] == 2)
    assert not objects.is_crowd.any()
    assert np.isnan(objects.score).all()
    second = clip.objects(1)
    assert (second.category.tolist(), second.is_crowd.tolist()) == ([1, -1], [False, True])
    assert second.boxes_xyxy.tolist() == [[3, 2, 4, 3], [0, 0, 4, 1]]
    bare = labelled(ids=np.zeros((2, 3, 4), np.uint8)).objects(0)
    assert bare.boxes_xyxy.shape == (0, 4)


def test_some_frames_of_a_labelled_clip():
    clip = labelled()
    part = clip.take([1])
    assert (part.frame_index.tolist(), part.copies, part.classes) == ([8], 3, clip.classes)
    np.testing.assert_array_equal(part.images, clip.images[1:])
    np.testing.assert_array_equal(part.noise_std, clip.noise_std[1:])
    assert part.label_map(0).tolist() == clip.label_map(1).tolist()
    assert labelled(noise_std=None, copies=1).take([0]).noise_std is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": np.zeros((2, 3, 4), np.uint8)},
            r"v: images must be \(F, H, W, 3\) uint8, got \(2, 3, 4\) uint8",
        ),
        ({"images": np.zeros((2, 3, 4, 3))}, r"v: images must be .* float64"),
        ({"ids": np.zeros((2, 3, 5), np.uint8)}, r"v: ids must be \(2, 3, 4\) uint8, got \(2, 3, 5\) uint8"),
        ({"ids": np.zeros((2, 3, 4), np.int64)}, r"v: ids must be .* int64"),
        (
            {"category": np.zeros((1, 2), np.int16)},
            r"v: category must be \(2, M\) with M of at most 254, got \(1, 2\)",
        ),
        ({"category": np.zeros(2, np.int16)}, r"v: category must be .* got \(2,\)"),
        ({"category": np.zeros((2, 255), np.int16)}, r"v: category must be .* got \(2, 255\)"),
        ({"frame_index": np.array([3])}, "v: frame_index must hold 2 increasing numbers"),
        ({"frame_index": np.array([3, 3])}, "v: frame_index must hold 2 increasing numbers"),
        (
            {"noise_std": np.zeros((2, 3, 4), np.float32)},
            r"v: noise_std must be \(2, 3, 4, 3\), got \(2, 3, 4\)",
        ),
        ({"copies": 0}, "v: copies must be 1 or more, got 0"),
        ({"category": np.array([[0, 2], [-1, 1]], np.int16)}, r"v: category must lie in -1\.\.1"),
        ({"category": np.array([[0, -2], [-1, 1]], np.int16)}, r"v: category must lie in -1\.\.1"),
        (
            {"category": np.array([[0, 1], [0, -1]], np.int16)},
            "v frame 8: the map has an object without a class",
        ),
        ({"category": np.array([[0], [0]], np.int16)}, "v frame 3: the map has an object without a class"),
    ],
)
def test_labelled_clips_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        labelled(**changes)


def test_objects_of_a_frame_that_do_not_fit():
    columns = {"category": np.zeros(1, np.int64), "boxes_xyxy": np.zeros((1, 4)), "masks": (None,)}
    columns |= {"score": np.zeros(1), "is_crowd": np.zeros(1, np.bool_)}
    FrameObjects(**columns)
    with pytest.raises(ValueError, match=r"columns must have 1 rows like masks, got .*boxes \(2, 4\)"):
        FrameObjects(**{**columns, "boxes_xyxy": np.zeros((2, 4))})
    with pytest.raises(ValueError, match=r"'score': \(2,\)"):
        FrameObjects(**{**columns, "score": np.zeros(2)})


# -- tables, problems, seeds, extras -----------------------------------------------------------------


def table(count=3, **changes):
    given = {
        "pts": np.arange(count, dtype=np.int64) * 40,
        "time_base": Fraction(1, 1000),
        "time_seconds": np.arange(count) * 0.04,
        "picture_type": np.full(count, b"P", "S1"),
        "is_iframe": np.zeros(count, np.bool_),
        "luma_hash": np.arange(count, dtype=np.uint64),
        "is_suspect": np.arange(count) == 1,
        "is_decoded": np.arange(count) != 2,
        "is_time_estimated": False,
        "width": 4,
        "height": 3,
    }
    return FrameTable(**{**given, **changes})


def test_frame_tables():
    assert repr(table()) == "FrameTable(3 frames, 4x3, time_base=1/1000, 1 suspect)"
    assert table().is_selectable.tolist() == [True, False, False]
    assert table().duration_seconds == pytest.approx(0.12)
    assert table(1).duration_seconds == 0.0
    assert table(0).duration_seconds == 0.0
    with pytest.raises(
        ValueError, match=r"pts must be \(3,\) int64, got \(3,\) float64; build all columns from"
    ):
        table(pts=np.zeros(3))
    with pytest.raises(ValueError, match=r"luma_hash must be \(3,\) uint64, got \(2,\) uint64"):
        table(luma_hash=np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="time_base must be positive, got 0"):
        table(time_base=Fraction(0))
    assert PTS_NONE < 0


def test_problems_come_back_and_nothing_else_is_one():
    problem = Problem(ProblemCode.W_CORRUPT, "one packet", "a.mp4", 7, 2)
    data = problem.to_dict()
    assert Problem.from_dict(data) == problem
    assert Problem.from_dict({**data, "frame_index": None}) == replace(problem, frame_index=None)
    assert str(problem) == "a.mp4: W_CORRUPT: one packet (frame 7)"
    assert str(replace(problem, frame_index=None)) == "a.mp4: W_CORRUPT: one packet"
    for key, value in (("message", 3), ("source", None), ("count", 1.5), ("count", True), ("count", "2")):
        with pytest.raises(TypeError, match="a problem has a message, a source and a count, got"):
            Problem.from_dict({**data, key: value})
    for index in (1.5, "7", True):
        with pytest.raises(TypeError, match="the frame_index of a problem is a whole number or null, got"):
            Problem.from_dict({**data, "frame_index": index})
    with pytest.raises(ValueError, match="is not a valid ProblemCode"):
        Problem.from_dict({**data, "code": "W_NOTHING"})


def test_seeds_are_derived_by_name_and_never_negative():
    assert spawn_seed(1, "a", "b") == spawn_seed(1, "a", "b")
    different = {
        spawn_seed(1, "ab"),
        spawn_seed(1, "a", "b"),
        spawn_seed(2, "ab"),
        spawn_seed(1),
        spawn_seed(1, ""),
    }
    assert len(different) == 5
    assert all(0 <= seed < 2**63 for seed in different)
    assert generator(5).integers(1 << 40) == generator(5).integers(1 << 40)
    for function in (spawn_seed, generator):
        with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
            function(-1)


def test_a_missing_extra_prints_its_install_line_and_a_broken_one_does_not_hide(monkeypatch, tmp_path):
    with pytest.raises(
        MissingExtraError, match=r"no_such_module\.part is not installed; run: python -m pip install 'e"
    ):
        require("no_such_module.part", extra="onnx")
    (tmp_path / "has_a_hole.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs") as caught:
        require("has_a_hole", extra="onnx")
    assert not isinstance(caught.value, MissingExtraError)
    module = types.ModuleType("stands_in")
    monkeypatch.setitem(sys.modules, "stands_in", module)
    assert require("stands_in", extra="onnx") is module
