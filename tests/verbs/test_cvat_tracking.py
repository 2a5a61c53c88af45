"""Label carry as a tracking function of CVAT, asked as CVAT's agent asks."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers.fake_cvat import Agent, TrackableShape, fake_interface
from tests.helpers.moving import Mover, draw

from evfr._core.masks import Rle, box_iou, iou
from evfr.errors import MissingExtraError
from evfr.propagation import ForwardCarry
from evfr.verbs.cvat_tracking import SHAPES, _points_of, _polygon_of, create

SIZE = (72, 112)
MOVERS = [Mover((34, 24), (1, 3), (14, 14), 1)]


@pytest.fixture(autouse=True)
def interface(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = fake_interface()
    package = ModuleType("cvat_sdk")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "cvat_sdk", package)
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", module)
    return module


def runs(mask: np.ndarray) -> list[float]:
    """Encode a mask as CVAT does, pixel by pixel."""
    rows, columns = np.nonzero(mask)
    y0, y1, x0, x1 = rows.min(), rows.max(), columns.min(), columns.max()
    out, value = [0], False
    for pixel in mask[y0 : y1 + 1, x0 : x1 + 1].ravel():
        if bool(pixel) != value:
            out.append(0)
            value = not value
        out[-1] += 1
    return [*out, x0, y0, x1, y1]


def unrolled(points: list[float], size: tuple[int, int]) -> Rle:
    """Decode a mask as CVAT does, pixel by pixel."""
    *lengths, x0, y0, x1, _ = (int(value) for value in points)
    flat = [bool(place % 2) for place, length in enumerate(lengths) for _ in range(length)]
    out = np.zeros(size, np.bool_)
    for number, pixel in enumerate(flat):
        out[y0 + number // (x1 + 1 - x0), x0 + number % (x1 + 1 - x0)] = pixel
    return Rle.from_mask(out)


def shapes_of(mask: Rle) -> dict[str, TrackableShape]:
    x0, y0, x1, y1 = mask.box_xyxy
    return {
        "mask": TrackableShape(type="mask", points=runs(mask.to_mask())),
        "polygon": TrackableShape(type="polygon", points=_polygon_of(mask)),
        "rectangle": TrackableShape(type="rectangle", points=[x0, y0, x1, y1]),
    }


def agreement(shape: TrackableShape, truth: Rle) -> float:
    if shape.type == "rectangle":
        return float(box_iou(np.array([shape.points]), np.array([truth.box_xyxy]))[0, 0])
    if shape.type == "mask":
        return iou(unrolled(shape.points, SIZE), truth)
    return iou(Rle.from_polygons([shape.points], *SIZE), truth)


def test_each_type_of_shape_is_followed():
    frames, masks = draw(MOVERS, 6, SIZE)
    truth = [Rle.from_mask(mask[0]) for mask in masks]
    agent = Agent(create())
    assert agent.function.spec.supported_shape_types == set(SHAPES)
    agent.start(frames[0], list(shapes_of(truth[0]).values()))
    for t in range(1, 6):
        found = agent.follow(frames[t])
        assert min(agreement(shape, truth[t]) for shape in found if shape is not None) > 0.6
        assert None not in found
    assert iou(truth[0], truth[5]) < 0.2  # what a copy of the label would have


def test_mask_is_what_the_carry_gives():
    frames, masks = draw(MOVERS, 4, SIZE)
    start = Rle.from_mask(masks[0, 0])
    for method in ("default", "flow"):
        agent = Agent(create(method=method))
        agent.start(frames[0], [shapes_of(start)["mask"]])
        carry = ForwardCarry(frames[0], mask=start, method=method)
        for frame in frames[1:]:
            label = carry.advance(frame)
            (shape,) = agent.follow(frame)
            assert unrolled(shape.points, SIZE) == label.mask


def test_lost_shape_is_none_and_stays_none():
    """The object leaves the picture to the right; a shape outside the picture is lost at once."""
    frames, masks = draw([Mover((34, 80), (0, 8), (12, 12), 1)], 8, SIZE)
    agent = Agent(create(min_trust=0.66))
    outside = TrackableShape(type="rectangle", points=[200, 200, 220, 220])
    empty = TrackableShape(type="mask", points=[1, 5, 5, 5, 5])
    agent.start(frames[0], [*shapes_of(Rle.from_mask(masks[0, 0])).values(), outside, empty])
    found = [agent.follow(frame) for frame in frames[1:]]
    assert all(shape is not None for shape in found[0][:3])
    assert found[-1] == [None] * 5
    assert all(shapes[3:] == [None, None] for shapes in found)
    for place in range(3):
        is_there = [shapes[place] is not None for shapes in found]
        assert is_there == sorted(is_there, reverse=True)


def test_shape_below_the_least_trust_is_none():
    frames, masks = draw(MOVERS, 6, SIZE)
    start = shapes_of(Rle.from_mask(masks[0, 0]))["mask"]
    carry = ForwardCarry(frames[0], mask=Rle.from_mask(masks[0, 0]))
    trusts = [carry.advance(frame).trust for frame in frames[1:]]
    limit = sorted(trusts)[2]
    agent = Agent(create(min_trust=limit))
    agent.start(frames[0], [start])
    is_lost = False
    for frame, trust in zip(frames[1:], trusts, strict=True):
        is_lost |= trust < limit
        assert agent.follow(frame) == [None] if is_lost else agent.follow(frame) != [None]
    assert is_lost


def test_rectangle_stays_within_the_picture():
    frame = np.zeros((*SIZE, 3), np.uint8)
    carry = ForwardCarry(frame, box_xyxy=(0, 0, 5, 5))
    label = type("Label", (), {"mask": None, "box_xyxy": (-3.0, 4.0, 120.0, 90.0)})
    assert _points_of(label, "rectangle", *SIZE) == [0.0, 4.0, 112.0, 72.0]
    gone = type("Label", (), {"mask": None, "box_xyxy": (112.5, 4.0, 120.0, 90.0)})
    assert _points_of(gone, "rectangle", *SIZE) is None
    assert carry.end == ""


def test_polygon_is_the_largest_part_without_holes():
    dense = np.zeros((30, 40), np.bool_)
    dense[2:20, 3:23] = True
    whole = Rle.from_mask(dense)
    dense[8:11, 8:11] = False  # a hole
    dense[25:28, 30:35] = True  # a smaller part
    dense[20, 23] = True  # touches the largest at a corner only
    points = _polygon_of(Rle.from_mask(dense))
    assert Rle.from_polygons([points], 30, 40) == whole
    assert len(points) == 8


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_polygon_covers_its_mask(seed):
    """Within three quarters of a pixel of the mask's edge: what lies deeper inside or farther outside is kept."""
    import cv2

    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.random((40, 60)).astype(np.float32), (0, 0), 4)
    dense = soft > np.quantile(soft, rng.uniform(0.3, 0.95))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(dense.astype(np.uint8), connectivity=4)
    if count < 2:
        return
    part = parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    drawn = Rle.from_polygons([_polygon_of(Rle.from_mask(dense))], 40, 60).to_mask()
    kernel = np.ones((5, 5), np.uint8)
    inner = cv2.erode(part.astype(np.uint8), kernel, borderValue=1)
    assert not (inner.astype(bool) & ~drawn).any()
    background = cv2.connectedComponents(
        np.pad(~part, 1, constant_values=True).astype(np.uint8), connectivity=8
    )[1]
    around = background[1:-1, 1:-1] == background[0, 0]
    outer = cv2.erode(around.astype(np.uint8), kernel, borderValue=1)
    assert not (outer.astype(bool) & drawn).any()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (("ellipse", [1, 2, 3, 4]), "must be one of mask, polygon, rectangle, got 'ellipse'"),
        (("rectangle", [1, 2, 3]), "a rectangle of 3 numbers cannot be carried"),
        (("rectangle", [1, 2, 3, float("nan")]), "all finite"),
        (("polygon", [1, 2, 3, 4]), "a polygon of 4 numbers cannot be carried"),
        (("polygon", [1, 2, 3, 4, 5, 6, 7]), "a polygon of 7 numbers"),
        (("mask", [1, 2, 3, 4]), "a mask of 4 numbers"),
        (("mask", [4, 10, 10, 12, 10]), "add up to 4, its box has 3 pixels"),
        (("mask", [3, 10, 10, 112, 10]), "within 112x72 pixels, got the box 10 10 112 10"),
        (("mask", [1.5, 1.5, 10, 10, 12, 10]), "whole runs"),
        (("mask", [4, -1, 10, 10, 12, 10]), "whole runs"),
    ],
)
def test_wrong_shapes_are_refused(shape, message):
    function = create()
    picture = np.zeros((*SIZE, 3), np.uint8)
    drawn = type("Shape", (), {"type": shape[0], "points": shape[1]})
    with pytest.raises(ValueError, match=message):
        function.init_tracking_state(None, picture, drawn)


def test_options_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="'default' or 'flow', got 'session'"):
        create(method="session")
    with pytest.raises(ValueError, match="no step fields named 'proxy'"):
        create(step="proxy")
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"min_trust must lie in 0\.\.1, got"):
            create(min_trust=wrong)
    monkeypatch.setitem(sys.modules, "cvat_sdk", None)
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", None)
    with pytest.raises(MissingExtraError, match="python -m pip install cvat-cli"):
        create()


def test_error_inside_cvat_sdk_is_not_hidden(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("No module named 'attrs'", name="attrs")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="attrs"):
        create()
