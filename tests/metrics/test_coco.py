"""COCO AP of pictures: against pycocotools, against pictures that are there twice, and by hand."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.masks import Rle
from evfr.errors import AnnotationError
from evfr.metrics import VIS_FIGURES, CocoMatches, coco_ap, coco_matches, summarise_coco
from helpers.coco_scenes import SIZE, draw, frame, official

NAN = float("nan")


def match(truth, found, classes, on="boxes", **options) -> CocoMatches:
    return coco_matches(truth, found, class_count=classes, on=on, height=SIZE[0], width=SIZE[1], **options)


def figures(summary) -> np.ndarray:
    return np.array([getattr(summary, name) for name in VIS_FIGURES])


def is_same(one: CocoMatches, other: CocoMatches) -> None:
    for item in dataclasses.fields(CocoMatches):
        np.testing.assert_array_equal(getattr(one, item.name), getattr(other, item.name), err_msg=item.name)


def without_masks(objects, rows):
    masks = tuple(None if is_bare else mask for mask, is_bare in zip(objects.masks, rows, strict=True))
    return dataclasses.replace(objects, masks=masks)


def agree(summary, run) -> None:
    """Compare all twelve figures, and those of each class, with pycocotools, where -1 is not defined."""
    mine = figures(summary)
    np.testing.assert_allclose(np.where(np.isnan(mine), -1, mine), run.stats, rtol=0, atol=1e-12)
    precision, recall = run.eval["precision"], run.eval["recall"]
    assert len(summary.categories) == precision.shape[2]
    for k, part in enumerate(summary.categories):
        values = [
            precision[:, :, k, 0, 2],
            precision[0, :, k, 0, 2],
            precision[5, :, k, 0, 2],
            *(precision[:, :, k, a, 2] for a in (1, 2, 3)),
            *(recall[:, k, 0, m] for m in (0, 1, 2)),
            *(recall[:, k, a, 2] for a in (1, 2, 3)),
        ]
        expected = [NAN if value.max() < 0 else value.mean() for value in values]
        np.testing.assert_allclose(figures(part), expected, rtol=0, atol=1e-12, err_msg=str(k))


@pytest.mark.parametrize("on", ["boxes", "masks"])
@pytest.mark.parametrize("seed", range(20))
def test_against_pycocotools(seed, on):
    """Crowds, of one class and of all; equal scores; empty pictures; more than 100 detections; stated areas."""
    rng = np.random.default_rng(seed)
    classes = 1 + seed % 4
    many = {"detections": 130 * classes, "images": 3} if seed % 5 == 4 else {"images": 10}
    truth, found = draw(rng, classes=classes, ties=bool(seed % 2), crowds=seed % 3 > 0, **many)
    if on == "boxes":
        truth = [without_masks(item, item.category < 0) for item in truth]
    areas = None
    if seed % 4 == 1:
        areas = [np.round(np.exp(rng.uniform(3, 11, len(item)))) for item in truth]
    run = official(truth, found, classes, on=on, areas=areas)
    matches = match(truth, found, classes, on, truth_areas=areas)
    summary = summarise_coco(matches)
    agree(summary, run)
    assert coco_ap(matches) == pytest.approx(summary.ap, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_repeats(seed):
    """A picture of weight 0 to 3 is one that is not there, or there three times: by ours and by pycocotools."""
    rng = np.random.default_rng(seed)
    truth, found = draw(rng, classes=2, images=12)
    truth = [without_masks(item, item.category < 0) for item in truth]
    weights = rng.integers(0, 4, len(truth))
    rows = np.repeat(np.arange(len(truth)), weights)
    rng.shuffle(rows)
    again = [truth[row] for row in rows], [found[row] for row in rows]
    matches = match(truth, found, 2)
    summary = summarise_coco(matches, weights=weights)
    agree(summary, official(*again, 2, on="boxes"))
    np.testing.assert_allclose(
        figures(summary), figures(summarise_coco(match(*again, 2))), rtol=0, atol=1e-12
    )
    assert coco_ap(matches, weights) == pytest.approx(summary.ap, abs=1e-12)
    for k, part in enumerate(summary.categories):
        assert part.truth_count == sum(
            (np.isin(item.category, (k, -1)) & ~item.is_crowd).sum() for item in again[0]
        )
        assert part.detection_count == sum((item.category == k).sum() for item in again[1])
    # A fraction of everything is everything; weights are relative.
    for factor in (1 / 3, 0.1, 7.7):
        other = summarise_coco(matches, weights=weights * factor)
        np.testing.assert_allclose(figures(other), figures(summary), rtol=0, atol=1e-9)
        assert coco_ap(matches, weights * factor) == pytest.approx(summary.ap, abs=1e-9)


def test_fractions_by_hand():
    """A right detection in a picture of weight 1/2, a wrong one above it of weight 3/2, a missed object of 1/2."""
    box, far = [0, 0, 40, 40], [80, 80, 120, 120]
    truth = [frame([box], [0]), frame([], []), frame([far], [0])]
    found = [frame([box], [0], score=[0.5]), frame([far], [0], score=[0.9]), frame([], [], score=[])]
    matches = match(truth, found, 1)
    # Recall 1/2 at precision (1/2) / (1/2 + 3/2): 51 of 101 points.
    assert coco_ap(matches, [0.5, 1.5, 0.5]) == pytest.approx(0.25 * 51 / 101)
    summary = summarise_coco(matches, weights=[0.5, 1.5, 0.5])
    assert (summary.ar100, summary.ap_small, summary.ar_medium) == (0.5, pytest.approx(NAN, nan_ok=True), 0.5)
    assert summary.categories[0].truth_count == 1.0
    assert np.isnan(coco_ap(matches, [0, 1, 0]))
    assert np.isnan(coco_ap(matches, [0, 0, 0]))
    assert summarise_coco(matches, weights=[0, 1, 0]).to_dict()["ap"] is None


def test_sums_of_fractions_reach_their_points():
    """Ten objects of weight 1/10 are all of them, though ten tenths add up to less than one."""
    box = [0, 0, 40, 40]
    truth = [frame([box], [0])] * 10
    found = [frame([box], [0], score=[0.1 * k]) for k in range(10)]
    matches = match(truth, found, 1)
    assert sum([0.1] * 10) < 1
    assert coco_ap(matches, np.full(10, 0.1)) == pytest.approx(1.0, abs=1e-12)
    # Nine of ten: point 90 is reached, by whole numbers as by fractions.
    found[0] = frame([], [], score=[])
    matches = match(truth, found, 1)
    assert coco_ap(matches) == pytest.approx(91 / 101, abs=1e-12)
    for weight in (0.1, 0.3, 1 / 7):
        assert coco_ap(matches, np.full(10, weight)) == pytest.approx(91 / 101, abs=1e-12)


def test_crowds_by_hand():
    """IoU with a crowd is the share of the detection in it; many may take it; an object is preferred."""
    crowd, person = [0, 0, 100, 100], [120, 0, 160, 100]
    truth = [frame([crowd, person], [-1, 1], crowd=[0])]
    inside = [[10, 10, 30, 30], [40, 40, 60, 60]]
    found = [frame([*inside, [80, 0, 120, 50], person], [1, 1, 1, 1], score=[0.9, 0.8, 0.7, 0.6])]
    matches = match(truth, found, 2)
    # Half of the third lies in the crowd: not counted at .50, wrong from .55 on.
    assert matches.outcome[0].T.tolist() == [[2] * 10, [2] * 10, [2] + [0] * 9, [1] * 10]
    summary = summarise_coco(matches)
    assert (summary.ap50, summary.ap75) == (pytest.approx(1.0), pytest.approx(0.5))
    assert np.isnan(summary.categories[0].ap)
    assert [part.truth_count for part in summary.categories] == [0, 1]
    # A detection that fits an object and, better, a crowd, takes the object.
    truth = [frame([crowd, [0, 0, 50, 60]], [0, 0], crowd=[0])]
    matches = match(truth, [frame([[0, 0, 50, 50]], [0], score=[0.5])], 1)
    assert matches.outcome[0, :, 0].tolist() == [1] * 7 + [2] * 3


def test_regions_of_every_class_by_hand():
    """The border of a picture is not judged: its mask counts, not the box around it, which is the whole picture."""
    dense = np.ones(SIZE, bool)
    dense[20:140, 20:180] = False
    border = Rle.from_mask(dense)
    truth = [frame([border.box_xyxy], [-1], crowd=[0], masks=[border])]
    boxes = [
        [30, 30, 60, 60],
        [0, 0, 20, 50],
        [0, 40, 40, 60],
        [0, 40, 39.4, 60],
        [-9, 40, 20, 60],
        [3, 3, 3.2, 9],
    ]
    found = [frame(boxes, [0, 1, 0, 0, 1, 1], score=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4])]
    outcome = {"boxes": [0, 2, 2, 2, 2, 0], "masks": [0, 2, 2, 2, 2, 0]}
    for on, expected in outcome.items():
        matches = match(truth, found, 2, on)
        order = np.argsort(matches.found_row)
        assert matches.outcome[0, 0, order].tolist() == expected
        assert matches.outcome[0, 1, order].tolist() == [0, 2, 0, 0, 2, 0]
    assert match([without_masks(truth[0], [True])], found, 2).outcome[0, 0].min() == 2


def test_ties_and_choices_by_hand():
    """Of equal IoUs the later object; of equal scores the earlier row; of different pictures the earlier picture."""
    truth = [frame([[0, 0, 40, 20], [0, 20, 40, 40]], [0, 0])]
    both = [0, 10, 40, 30]
    matches = match(truth, [frame([both], [0], score=[0.5])], 1)
    assert matches.outcome[0].sum() == 0  # 1/3 each
    truth = [frame([[0, 0, 40, 20], [0, 0, 40, 30], [0, 0, 40, 30]], [0, 0, 0])]
    found = [frame([[0, 0, 40, 30], [0, 0, 40, 30], [0, 0, 40, 20]], [0, 0, 0], score=[0.5, 0.5, 0.5])]
    matches = match(truth, found, 1)
    assert (matches.found_row.tolist(), matches.rank.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert matches.outcome[0].min() == 1
    right, wrong = frame([[0, 0, 40, 20]], [0], score=[0.5]), frame([[50, 50, 90, 90]], [0], score=[0.5])
    for pictures, ap in (([right, wrong], 1.0), ([wrong, right], 0.5)):
        two = [frame([[0, 0, 40, 20]], [0]) if item is right else frame([], []) for item in pictures]
        assert coco_ap(match(two, pictures, 1)) == pytest.approx(ap)


def test_areas_and_limits_by_hand():
    """Both ends of a range belong to it; an unmatched detection of another size does not count; 100 are the most."""
    truth = [frame([[0, 0, 32, 32], [40, 0, 136, 96]], [0, 0])]
    matches = match(truth, [frame([], [], score=[])], 1)
    assert matches.is_left_out.T.tolist() == [[False, False, False, True], [False, True, False, False]]
    assert summarise_coco(matches).ap == 0.0
    found = [frame([[0, 0, 32, 32], [0, 100, 120, 150], [40, 0, 136, 96]], [0] * 3, score=[0.9, 0.8, 0.7])]
    summary = summarise_coco(match(truth, found, 1))
    assert (summary.ap_small, summary.ap_large) == (pytest.approx(1), pytest.approx(1))
    assert summary.ap_medium == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert (summary.ar1, summary.ar10) == (0.5, 1.0)
    # The area of a mask counts for a true box too, and one that is stated above all.
    thin = Rle.from_box([0, 0, 4, 32], *SIZE)
    truth = [frame([[0, 0, 100, 100]], [0], masks=[thin])]
    empty = [frame([], [], score=[])]
    assert match(truth, empty, 1).is_left_out[:, 0].tolist() == [False, False, True, True]
    assert match(truth, empty, 1, truth_areas=[[10000]]).is_left_out[:, 0].tolist() == [
        False,
        True,
        True,
        False,
    ]
    assert match(truth, empty, 1, truth_areas=[[NAN]]).is_left_out[:, 0].tolist() == [
        False,
        False,
        True,
        True,
    ]
    bare = [frame([[0, 0, 100, 100]], [0], masks=[None])]
    assert match(bare, empty, 1).is_left_out[:, 0].tolist() == [False, True, True, False]
    # The best of 102, in the last row, is the first of them; two are beyond.
    score = np.append(np.full(101, 0.2), 0.9)
    found = [frame([[0, 0, 9, 9]] * 102, np.zeros(102), score=score), frame([[0, 0, 9, 9]], [0], score=[1])]
    matches = match([frame([], [])] * 2, found, 1)
    assert matches.beyond_count.tolist() == [2, 0]
    assert (len(matches.score), matches.found_row[:2].tolist()) == (101, [0, 101])
    assert (matches.image_row[:3].tolist(), matches.rank.max()) == ([1, 0, 0], 99)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), on=st.sampled_from(["boxes", "masks"]))
def test_parts_and_pictures(seed, on):
    """Parts give the whole bit for bit; pictures alone are what they were; figures are shares and order-free."""
    rng = np.random.default_rng(seed)
    truth, found = draw(rng, images=6, classes=2, objects=4, detections=6, ties=bool(seed % 2))
    whole = match(truth, found, 2, on)
    cuts = [0, *sorted(rng.integers(0, 7, 2).tolist()), 6]
    parts = [match(truth[a:b], found[a:b], 2, on) for a, b in itertools.pairwise(cuts)]
    is_same(CocoMatches.merge(parts), whole)
    rows = rng.permutation(6)[:4]
    is_same(whole.of_images(rows), match([truth[row] for row in rows], [found[row] for row in rows], 2, on))
    values = figures(summarise_coco(whole))
    assert ((np.isnan(values)) | ((values >= 0) & (values <= 1))).all()
    zero_one = np.isin(np.arange(6), rows).astype(float)
    kept = figures(summarise_coco(whole.of_images(np.sort(rows))))
    np.testing.assert_array_equal(figures(summarise_coco(whole, weights=zero_one)), kept)
    if not seed % 2:
        order = rng.permutation(6)
        np.testing.assert_allclose(
            figures(summarise_coco(whole.of_images(order))), values, rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("on", ["boxes", "masks"])
def test_chunks(monkeypatch, on):
    """A set that is matched a few pairs at a time is matched the same."""
    truth, found = draw(np.random.default_rng(3), classes=2, ties=True)
    whole = match(truth, found, 2, on)
    monkeypatch.setattr("evfr.metrics._coco_sides.CHUNK", 7)
    is_same(match(truth, found, 2, on), whole)


def test_what_is_found_is_all():
    """Each true object reported once, with its own mask, is an AP of 1; reported for another class, of 0."""
    truth, _ = draw(np.random.default_rng(2), classes=3, crowds=False)
    found = [dataclasses.replace(item, score=np.linspace(0.1, 0.9, len(item))) for item in truth]
    for on in ("boxes", "masks"):
        assert summarise_coco(match(truth, found, 3, on)).ap == pytest.approx(1)
    wrong = [dataclasses.replace(item, category=(item.category + 1) % 3) for item in found]
    assert coco_ap(match(truth, wrong, 3)) < 0.2


def test_nothing_there():
    nothing = match([], [], 2)
    assert (len(nothing), repr(nothing)) == (0, "CocoMatches(0 pictures, 0 detections, 0 true objects)")
    assert np.isnan(coco_ap(nothing)) and np.isnan(figures(summarise_coco(nothing))).all()
    empty = match([frame([], [])], [frame([], [], score=[])], 2, "masks")
    assert np.isnan(coco_ap(empty))
    one = match([frame([[0, 0, 9, 9]], [1])], [frame([], [], score=[])], 2)
    assert coco_ap(one) == 0.0


def test_files(tmp_path):
    truth, found = draw(np.random.default_rng(1), classes=2)
    matches = match(truth, found, 2)
    assert matches.save(tmp_path / "there" / "matches.npz") == tmp_path / "there" / "matches.npz"
    again = CocoMatches.load(tmp_path / "there" / "matches.npz")
    is_same(again, matches)
    assert again.class_count == 2 and isinstance(again.class_count, int)
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    (tmp_path / "no.npz").write_bytes(b"no")
    for name in ("other.npz", "no.npz", "gone.npz"):
        with pytest.raises(AnnotationError, match=f"{name} holds no matches"):
            CocoMatches.load(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"on": "pixels"}, "on must be 'boxes' or 'masks', got 'pixels'"),
        ({"class_count": 0}, "class_count must be 1 or more, got 0"),
        ({"found": []}, "need one entry a picture, got 2 and 0 entries"),
        (
            {"truth_areas": [[1.0], []]},
            "truth_areas must hold one number for each true object of each picture",
        ),
        (
            {"class_count": 1},
            r"picture 1: true object 0 \(class 1, .* has none of the classes 0..0; 1 such in all",
        ),
        ({"height": 9, "on": "masks"}, "true object 0 .* has a mask of another size than 200x9: scale it"),
    ],
)
def test_wrong_arguments(change, text):
    pictures = [frame([], []), frame([[0, 0, 9, 9]], [1])]
    arguments = {"truth": pictures, "found": [frame([], [], score=[])] * 2, "class_count": 2, "on": "boxes"}
    arguments |= {"height": SIZE[0], "width": SIZE[1], **change}
    with pytest.raises(ValueError, match=text):
        coco_matches(arguments.pop("truth"), arguments.pop("found"), **arguments)


@pytest.mark.parametrize(
    ("side", "on", "objects", "text"),
    [
        ("truth", "boxes", frame([[0, 0, 9, 9]], [-1]), "is of class -1: only a crowd may be of every class"),
        ("truth", "boxes", frame([[0, 0, NAN, 9]], [0], masks=[None]), "has no box x0 <= x1, y0 <= y1"),
        (
            "found",
            "boxes",
            frame([[9, 0, 0, 9]], [0], masks=[None], score=[1]),
            "has no box x0 <= x1, y0 <= y1",
        ),
        ("found", "masks", frame([[0, 0, 9, 9]], [0], masks=[None], score=[1]), "has no mask: compare boxes"),
        ("found", "boxes", frame([[0, 0, 9, 9]], [-1], score=[1]), r"has none of the classes 0\.\.0"),
        ("found", "boxes", frame([[0, 0, 9, 9]], [0], score=[NAN]), "detection 0 .* has no finite score"),
        ("found", "boxes", frame([[0, 0, 9, 9]], [0], score=[1], crowd=[0]), "is a crowd: only true objects"),
    ],
)
def test_wrong_objects(side, on, objects, text):
    pictures = {"truth": [frame([], [])], "found": [frame([], [], score=[])]} | {side: [objects]}
    with pytest.raises(ValueError, match=text):
        match(pictures["truth"], pictures["found"], 1, on)


def test_wrong_matches():
    truth, found = draw(np.random.default_rng(1), classes=2, images=3)
    matches = match(truth, found, 2)
    with pytest.raises(ValueError, match="there is nothing to merge"):
        CocoMatches.merge([])
    with pytest.raises(ValueError, match=r"one number of classes to be merged, got \[2, 3\]"):
        CocoMatches.merge([matches, match(truth, found, 3)])
    with pytest.raises(ValueError, match=r"rows must lie in 0\.\.2, got 1 to 3"):
        matches.of_images([1, 3])
    with pytest.raises(ValueError, match="a picture is named twice; give repeats as weights"):
        matches.of_images([1, 1])
    with pytest.raises(ValueError, match="the columns of matches must be equally long"):
        dataclasses.replace(matches, score=matches.score[:-1])
    with pytest.raises(ValueError, match=r"image_row must lie in 0\.\.2, got"):
        dataclasses.replace(matches, image_row=matches.image_row + 3)
    for weights in ([1, 1], [1, 1, -1], [1, 1, NAN], np.ones((3, 1))):
        for call in (lambda w: coco_ap(matches, w), lambda w: summarise_coco(matches, weights=w)):
            with pytest.raises(
                ValueError, match="weights must be 3 finite numbers of 0 or more, one a picture"
            ):
                call(weights)
