"""Detections as values, scores at given boxes, box NMS and the pick of a key frame, against plain loops."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import Category
from evfr._core.masks import Rle
from evfr.errors import InputError
from evfr.models import DETECTORS, Detections, as_detector, open_detector, pick, scores_at
from evfr.models._detections import nms_rows
from evfr.models._detector import LastImage, categories_from

PICTURE = np.zeros((40, 60, 3), np.uint8)


def detections(boxes, scores, category=None, classes=2, masks=None):
    """Return detections whose class scores are their score at their class, 0 elsewhere."""
    category = np.zeros(len(boxes), int) if category is None else np.asarray(category, int)
    table = np.zeros((len(boxes), classes))
    table[np.arange(len(boxes)), category] = scores
    return Detections(
        np.reshape(boxes, (-1, 4)), scores, category, table, (None,) * len(boxes) if masks is None else masks
    )


def filled(box, height=40, width=60):
    mask = np.zeros((height, width), bool)
    x0, y0, x1, y1 = (int(v) for v in box)
    mask[y0:y1, x0:x1] = True
    return Rle.from_mask(mask)


def plain_iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / either if either > 0 else 0.0


def plain_pick(found, min_score, box_nms, mask_nms, limit):
    """Pick rows by the words of the method: score, box NMS in a class, limit, mask NMS."""
    order = sorted(range(len(found)), key=lambda row: (-found.scores[row], row))
    boxes = []
    for row in order:
        rivals = [k for k in boxes if found.category[k] == found.category[row]]
        if found.scores[row] > min_score and all(
            plain_iou(found.boxes_xyxy[k], found.boxes_xyxy[row]) <= box_nms for k in rivals
        ):
            boxes.append(row)
    kept = []
    for row in boxes[:limit]:
        mask = found.masks[row]
        if mask is not None:
            dense = mask.to_mask()
            others = [found.masks[k].to_mask() for k in kept if found.masks[k] is not None]
            if any((dense & o).sum() >= mask_nms * max((dense | o).sum(), 1) for o in others):
                continue
        kept.append(row)
    return kept


@st.composite
def some_detections(draw):
    count = draw(st.integers(0, 12))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 30, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(0, 10, (count, 2))], axis=1).astype(float)
    # Few values: ties are the point.
    scores = rng.choice([0.1, 0.2, 0.5, 0.9], count)
    masks = tuple(None if rng.random() < 0.2 else filled(box) for box in boxes)
    return detections(boxes, scores, rng.integers(0, 2, count), masks=masks)


@settings(max_examples=60, deadline=None)
@given(some_detections(), st.sampled_from([0.1, 0.2, 0.45]), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_pick_equals_the_plain_steps(found, min_score, threshold):
    for limit in (1, 3, 10):
        got = pick(found, min_score=min_score, box_nms=threshold, mask_nms=0.2, limit=limit)
        rows = plain_pick(found, min_score, threshold, 0.2, limit)
        expected = found.take(np.array(rows, int))
        assert np.array_equal(got.boxes_xyxy, expected.boxes_xyxy)
        assert np.array_equal(got.scores, expected.scores)
        assert got.masks == expected.masks
    again = pick(got, min_score=min_score, box_nms=threshold, mask_nms=0.2, limit=10)
    assert np.array_equal(again.boxes_xyxy, got.boxes_xyxy)


def test_pick_by_hand():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8], [20, 0, 30, 10], [40, 0, 50, 10], [20, 20, 30, 30]]
    scores = [0.5, 0.9, 0.9, 0.2, 0.21, 0.8]
    found = detections(boxes, scores, [0, 0, 1, 0, 0, 0])
    # Row 0 falls to row 1 of its class, row 3 is not above .2; row 2 is of another class and has no mask to fall by.
    assert pick(found).scores.tolist() == [0.9, 0.9, 0.8, 0.21]
    masked = detections(boxes, scores, [0, 0, 1, 0, 0, 0], masks=tuple(map(filled, boxes)))
    assert pick(masked).scores.tolist() == [0.9, 0.8, 0.21]
    asked = []

    def make_masks(boxes):
        asked.append(boxes.tolist())
        return [filled(box) for box in boxes]

    made = pick(found, limit=3, make_masks=make_masks)
    assert asked == [[boxes[1], boxes[2], boxes[5]]]
    assert made.scores.tolist() == [0.9, 0.8]
    assert made.masks == (filled(boxes[1]), filled(boxes[5]))
    assert len(pick(found, min_score=1.0, make_masks=make_masks)) == 0
    assert len(asked) == 1
    with pytest.raises(ValueError, match="make_masks got 4 boxes and returned 1 masks"):
        pick(found, make_masks=lambda boxes: [filled(boxes[0])])


def test_masks_at_the_threshold_fall_and_boxes_stay():
    halves = [[0, 0, 10, 10], [0, 5, 10, 15]]  # IoU 50 / 150
    found = detections(halves, [0.9, 0.8], masks=tuple(map(filled, halves)))
    assert len(pick(found, mask_nms=1 / 3)) == 1
    assert len(pick(found, mask_nms=1 / 3 + 1e-9)) == 2
    assert nms_rows(halves, [0.9, 0.8], threshold=1 / 3).tolist() == [0, 1]
    assert nms_rows(halves, [0.8, 0.9], threshold=0.33).tolist() == [1]
    assert nms_rows(halves, [0.8, 0.8], threshold=0.33).tolist() == [0]
    assert nms_rows(halves, [0.8, 0.8], threshold=0.33, category=[0, 1]).tolist() == [0, 1]


@settings(max_examples=40, deadline=None)
@given(some_detections(), st.integers(0, 1000))
def test_scores_at_equal_a_plain_loop(found, seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 30, (5, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 12, (5, 2))], axis=1)
    expected = np.zeros((5, 2))
    for b in range(5):
        for d in range(len(found)):
            for c in range(2):
                value = plain_iou(boxes[b], found.boxes_xyxy[d]) * found.class_scores[d, c]
                expected[b, c] = max(expected[b, c], value)
    assert np.allclose(scores_at(found, boxes), expected, rtol=0, atol=1e-12)


def test_scores_at_by_hand_and_bad_boxes():
    found = detections([[0, 0, 10, 10], [5, 0, 15, 10]], [0.9, 0.6], [0, 1])
    assert np.allclose(scores_at(found, [[0, 0, 10, 10]]), [[0.9, 0.6 * 50 / 150]])
    assert scores_at(found, [[30, 30, 40, 40], [3, 3, 3, 3]]).tolist() == [[0, 0], [0, 0]]
    assert scores_at(found, np.zeros((0, 4))).shape == (0, 2)
    assert scores_at(detections(np.zeros((0, 4)), []), [[0, 0, 1, 1]]).tolist() == [[0, 0]]
    with pytest.raises(ValueError, match=r"boxes must be \(B, 4\) x0, y0, x1, y1, got \(4,\)"):
        scores_at(found, [0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"box 1 is \[0.0, nan, 1.0, 1.0\]; it must be finite"):
        scores_at(found, [[0, 0, 1, 1], [0, np.nan, 1, 1]])
    with pytest.raises(ValueError, match="x0 <= x1 and y0 <= y1"):
        scores_at(found, [[2, 0, 1, 1]])


def test_detections_are_checked():
    good = {
        "boxes_xyxy": [[0, 0, 4, 4], [1, 1, 5, 5]],
        "scores": [0.5, 1.0],
        "category": [1, 0],
        "class_scores": [[0.1, 0.5], [1.0, 0.0]],
        "masks": (None, None),
    }
    value = Detections(**good)
    assert repr(value) == "Detections(2 of 2 classes, 0 masks)"
    assert value.take(np.array([False, True])).scores.tolist() == [1.0]
    assert value.take(np.array([1, 0])).category.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        value.scores[0] = 0
    for field, bad, text in [
        ("boxes_xyxy", [[0, 0, 4, 4]], r"masks has 2, boxes_xyxy has 1"),
        ("boxes_xyxy", [[0, 0, 4, 4], [-1, 0, 4, 4]], r"box 1 is \[-1.0, .*must lie inside the picture"),
        ("scores", [0.5, np.nan], r"scores of detection 1 is nan; it must be in \[0, 1\]"),
        ("scores", [0.5, 1.5], r"scores of detection 1 is 1.5"),
        ("scores", [[0.5, 0.5]], r"scores must have 1 axes, got \(1, 2\)"),
        ("scores", [0.5], r"masks has 2, scores has 1"),
        ("class_scores", [[0.1, -0.5], [1, 0]], r"class_scores of detection 0 is -0.5"),
        ("class_scores", [0.1, 0.5], r"class_scores must have 2 axes, got \(2,\)"),
        ("category", [0, 2], r"category must be one index in 0..1 per detection"),
        ("category", [0.0, 1.0], "category must be whole numbers, got float64"),
        ("masks", (Rle.empty(4, 4), Rle.empty(4, 5)), r"all masks must have the size of the picture"),
    ]:
        with pytest.raises(ValueError, match=text):
            Detections(**{**good, field: bad})


def test_options_of_pick_and_nms_are_checked():
    found = detections([[0, 0, 1, 1]], [0.5])
    for options, text in [
        ({"min_score": 1.1}, r"min_score must be in \[0, 1\], got 1.1"),
        ({"box_nms": -1}, "box_nms must be in"),
        ({"mask_nms": float("nan")}, "mask_nms must be in"),
        ({"mask_nms": 0}, "mask_nms must be above 0"),
        ({"limit": 0}, "limit must be 1 or more, got 0"),
    ]:
        with pytest.raises(ValueError, match=text):
            pick(found, **options)
    with pytest.raises(ValueError, match="threshold must be in"):
        nms_rows([[0, 0, 1, 1]], [0.5], threshold=2)
    for scores, category in [([0.5, 0.5], None), ([np.nan], None), ([0.5], [0, 1])]:
        with pytest.raises(ValueError, match="1 boxes need as many finite scores and classes"):
            nms_rows([[0, 0, 1, 1]], scores, category=category)


def test_a_function_is_a_detector():
    calls = []

    def find(image):
        calls.append(image)
        return detections([[0, 0, 10, 10]], [0.75])

    detector = as_detector(find, ["person", "dog"])
    assert detector.categories == (Category(1, "person"), Category(2, "dog"))
    assert as_detector(detector) is detector
    assert detector.detect(PICTURE).scores.tolist() == [0.75]
    assert detector.score_boxes(PICTURE, np.array([[0, 0, 10, 10.0]])).tolist() == [[0.75, 0]]
    assert len(calls) == 1
    image = PICTURE.copy()
    detector.detect(image)
    image[3, 3] = 9  # a reader that uses its buffer again
    detector.detect(image)
    assert len(calls) == 3
    assert "2 classes" in repr(detector)


def only_corner(image):
    """Find one box: at module level, so that it pickles."""
    return detections([[0, 0, 5, 5]], [0.5])


def test_a_detector_of_a_function_pickles():
    detector = pickle.loads(pickle.dumps(as_detector(only_corner, [Category(7, "a"), Category(3, "b")])))
    assert [c.category_id for c in detector.categories] == [7, 3]
    assert len(detector.detect(PICTURE)) == 1


def test_answers_of_a_function_are_checked():
    def answer(value):
        return as_detector(lambda image: value, ["a", "b"]).detect(PICTURE)

    with pytest.raises(ValueError, match=r"detector <lambda> must return evfr.models.Detections, got list"):
        answer([])
    with pytest.raises(ValueError, match="has 2 classes, but its class_scores have 3 columns"):
        answer(detections([[0, 0, 1, 1]], [0.5], classes=3))
    with pytest.raises(ValueError, match=r"put box 0 at \[0.0, 0.0, 61.0, 4.0\], beyond the 60x40 picture"):
        answer(detections([[0, 0, 61, 4]], [0.5]))
    with pytest.raises(ValueError, match="made mask 0 40x60, the picture is 60x40"):
        answer(detections([[0, 0, 6, 4]], [0.5], masks=(Rle.empty(60, 40),)))
    with pytest.raises(ValueError, match=r"a picture must be \(H, W, 3\) uint8 RGB, got \(40, 60\) uint8"):
        as_detector(lambda image: None, ["a"]).detect(PICTURE[:, :, 0])
    with pytest.raises(ValueError, match="a function as detector needs its categories"):
        as_detector(only_corner)
    with pytest.raises(
        TypeError, match="must be callable, or have detect, score_boxes and categories; got int"
    ):
        as_detector(3, ["a"])


def test_class_names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("person\ntraffic light\n\n")
    assert [c.name for c in categories_from(path)] == ["person", "traffic light"]
    path.write_text("person\n\ndog\n")
    with pytest.raises(InputError, match="line 2 is empty"):
        categories_from(path)
    with pytest.raises(InputError, match=r"cannot read the class names .*none.txt"):
        categories_from(tmp_path / "none.txt")
    assert categories_from(["crane", "crane"]) == (Category(1, "crane"), Category(2, "crane"))
    with pytest.raises(ValueError, match="the classes have the id 4 twice"):
        categories_from([Category(4, "a"), Category(4, "b")])
    with pytest.raises(ValueError, match="have an empty name"):
        categories_from(["a", ""])


def test_the_last_picture_is_kept():
    calls = []
    last = LastImage(lambda image: calls.append(1) or len(calls))
    other = PICTURE.copy()
    assert [last(PICTURE), last(PICTURE), last(other), last(PICTURE)] == [1, 1, 2, 3]


def test_opening_what_is_no_detector(tmp_path):
    with pytest.raises(InputError, match=r"there is no detector at .*none.onnx"):
        open_detector(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match=r"kind must be 'auto' or one of onnx, .*got 'yolo'"):
        open_detector(tmp_path / "none.onnx", kind="yolo")
    path = tmp_path / "weights.xyz"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot tell what kind of detector .*weights.xyz is; pass kind="):
        open_detector(path)
    with pytest.raises(ValueError, match="OnnxDetector has no option 'minimum'; it has names, layout"):
        open_detector(path, kind="onnx", minimum=3)
    with pytest.raises(ValueError, match="OnnxDetector runs on the CPU only, got device='cuda'"):
        open_detector(path, kind="onnx", device="cuda")
    assert "onnx" in DETECTORS
