"""Sequences as values: what they check, and how labels become sequences and sequences labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.sequences import MaskSequence, Provenance, SequenceSet, annotations_of, sequences_of
from evfr.errors import AnnotationError
from helpers.drawn_sequences import box_mask, sequence_set

CATEGORIES = (Category(3, "dog"), Category(7, "cat"), Category(9, "fox"))
VIDEO = AnnotatedVideo("v", 12, 10, [0, 5, 9])
HERE = box_mask(10, 12, 1, 2, 5, 6)
THERE = box_mask(10, 12, 2, 2, 6, 6)


def row(frame, category, track, score, mask=HERE, **more):
    return ObjectRow("v", frame, category, track, None, mask, score, "detected", **more)


def labels(*rows, video=VIDEO):
    return VideoAnnotations.build([video], CATEGORIES, rows)


def test_tracks_with_equal_masks_become_one_sequence_with_several_classes():
    found = sequences_of(
        labels(
            row(0, 3, 1, 0.9),
            row(9, 3, 1, 0.9, THERE),
            row(0, 9, 2, 0.4),
            row(9, 9, 2, 0.4, THERE),
            row(0, 7, 3, 0.8),
        ),
        "v",
    )
    assert found.video == VIDEO
    assert found.category_scores.tolist() == [[0.9, 0, 0.4], [0, 0.8, 0]]
    assert found.scores.tolist() == [0.9, 0.8]
    assert found.sequences[0].masks == (HERE, None, THERE)
    assert [one.category for one in found.sequences] == [-1, 1]
    assert found.sequences[1].provenance == Provenance("detected", -1, 3)
    assert repr(found) == "SequenceSet('v', 2 sequences, 3 frames, 3 categories)"
    assert repr(found.sequences[0]) == "MaskSequence(3 frames, 2 with pixels, 3 classes, score 0.9)"


def test_equal_masks_of_one_class_stay_two_proposals():
    found = sequences_of(labels(row(0, 3, 1, 0.9), row(0, 3, 2, 0.5), row(0, 7, 3, 0.2)), "v")
    assert found.category_scores.tolist() == [[0.9, 0.2, 0], [0.5, 0, 0]]


def test_labels_without_a_track_are_sequences_of_one_frame():
    found = sequences_of(
        labels(row(0, 3, NO_TRACK, 0.9), row(5, 3, NO_TRACK, 0.9), row(5, 7, NO_TRACK, 0.1)), "v"
    )
    assert [one.masks for one in found.sequences] == [(HERE, None, None), (None, HERE, None)]
    assert [one.provenance.frame_index for one in found.sequences] == [0, 5]
    assert found.category_scores.tolist() == [[0.9, 0, 0], [0.9, 0.1, 0]]


def test_a_track_that_changes_class_is_a_sequence_for_each():
    found = sequences_of(labels(row(0, 3, 1, 0.9), row(5, 7, 1, 0.9)), "v")
    assert [one.masks for one in found.sequences] == [(HERE, None, None), (None, HERE, None)]


def test_scores_that_differ_are_averaged():
    found = sequences_of(labels(row(0, 3, 1, 0.9), row(5, 3, 1, 0.3)), "v")
    assert found.scores.tolist() == [pytest.approx(0.6)]


def test_only_the_video_asked_for():
    other = AnnotatedVideo("w", 12, 10, [0])
    both = VideoAnnotations.build([VIDEO, other], CATEGORIES, [row(0, 3, 1, 0.9)])
    assert len(sequences_of(both, "w")) == 0
    with pytest.raises(KeyError, match="no video 'x'"):
        sequences_of(both, "x")


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.5])
def test_score_that_is_none(score):
    with pytest.raises(
        AnnotationError,
        match=rf"video 'v', track 4, frame 5: a sequence needs a score in 0..1, got {score:g}",
    ):
        sequences_of(labels(row(0, 3, 4, 0.5), row(5, 3, 4, score)), "v")


def test_boxes_are_refused_or_filled():
    boxed = labels(ObjectRow("v", 0, 3, 1, (1.4, 2.0, 4.5, 6.49), None, 0.5))
    with pytest.raises(AnnotationError, match=r"track 1, frame 0: the label has a box and no mask"):
        sequences_of(boxed, "v")
    assert sequences_of(boxed, "v", on_boxes="fill").sequences[0].masks[0] == HERE
    with pytest.raises(AnnotationError, match=r"track 1, frame 0: the label has neither mask nor box"):
        sequences_of(labels(ObjectRow("v", 0, 3, 1, None, None, 0.5)), "v", on_boxes="fill")
    with pytest.raises(ValueError, match="on_boxes must be 'refuse' or 'fill', got 'mask'"):
        sequences_of(boxed, "v", on_boxes="mask")


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-5, 17, allow_nan=False)] * 4))
def test_filled_boxes(corners):
    x0, x1 = sorted(corners[:2])
    y0, y1 = sorted(corners[2:])
    found = sequences_of(labels(ObjectRow("v", 0, 3, 1, (x0, y0, x1, y1), None, 0.5)), "v", on_boxes="fill")
    want = np.zeros((10, 12), bool)
    left, top, right, bottom = (max(0, math.floor(v + 0.5)) for v in (x0, y0, x1, y1))
    want[top:bottom, left:right] = True
    assert found.sequences[0].masks[0] == (Rle.from_mask(want) if want.any() else None)
    assert Rle.from_box((x0, y0, x1, y1), 10, 12) == Rle.from_mask(want)


def test_labels_have_a_track_for_each_class():
    masks = np.zeros((3, 3, 10, 12), bool)
    masks[0, [0, 2], 2:6, 1:5] = True
    masks[1, 1, 2:6, 1:5] = True
    one = sequence_set(masks, [[0.9, 0, 0.2], [0, 0.3, 0], [0.5, 0.5, 0.5]], key_frames=[2, -1, 0])
    found = annotations_of([one])
    assert [(r.frame_index, r.track_id, r.category_id, r.score, r.source) for r in found.objects()] == [
        (0, 1, 1, 0.9, "carried"),
        (0, 2, 3, 0.2, "carried"),
        (1, 3, 2, 0.3, "detected"),
        (2, 1, 1, 0.9, "detected"),
        (2, 2, 3, 0.2, "detected"),
    ]
    assert found.boxes_xyxy[0].tolist() == [1, 2, 5, 6]
    assert found.masks[0] == HERE


def test_there_and_back():
    found = sequences_of(
        labels(row(0, 3, 1, 0.9), row(9, 3, 1, 0.9, THERE), row(0, 9, 2, 0.4), row(9, 9, 2, 0.4, THERE)), "v"
    )
    again = sequences_of(annotations_of([found]), "v")
    assert again.category_scores.tolist() == found.category_scores.tolist()
    assert [one.masks for one in again.sequences] == [one.masks for one in found.sequences]


def test_several_videos():
    one = sequence_set(np.ones((1, 1, 2, 2)), [[0.5]])
    other = SequenceSet(AnnotatedVideo("w", 3, 3, []), one.categories, ())
    assert repr(annotations_of([one, other])) == (
        "VideoAnnotations(2 videos, 1 annotated frames, 1 objects, 1 masks, 1 categories)"
    )
    assert len(annotations_of([])) == 0
    with pytest.raises(AnnotationError, match="each video needs its own name, got 'clip' twice"):
        annotations_of([one, one])
    renamed = sequence_set(np.ones((1, 1, 2, 2)), [[0.5]], names=["dog"])
    with pytest.raises(
        AnnotationError, match="category 1 is 'class 0' in one set and 'dog' in that of video 'clip'"
    ):
        annotations_of([one, renamed])


@pytest.mark.parametrize(
    ("scores", "score", "message"),
    [
        (
            [0.1, math.nan],
            0.5,
            r"sequence of f.json with entry 8: the score of class 1 must be in 0..1, got nan",
        ),
        ([0.1, math.inf], 0.5, r"the score of class 1 must be in 0..1, got inf"),
        ([-0.1, 0.0], 0.5, r"the score of class 0 must be in 0..1, got -0.1"),
        ([0.1, 0.2], math.nan, r"sequence of f.json with entry 8: the score must be in 0..1, got nan"),
        ([0.1, 0.2], 1.5, r"the score must be in 0..1, got 1.5"),
        ([[0.1, 0.2]], 0.5, r"category_scores must be one score a class, got \(1, 2\)"),
    ],
)
def test_wrong_scores(scores, score, message):
    with pytest.raises(AnnotationError, match=message):
        MaskSequence((HERE,), scores, score, provenance=Provenance("f.json", 3, 8))


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (((HERE,), (0, 0, 0), -1), r"video 'v', sequence 1: it has 1 masks for the video's 3 frames"),
        (((HERE,) * 3, (0, 0), -1), r"video 'v', sequence 1: it has 2 scores for 3 categories"),
        (((HERE,) * 3, (0, 0, 0), 3), r"category 3 is no index of the 3 categories"),
        (((HERE,) * 3, (0, 0, 0), -2), r"category -2 is no index of the 3 categories"),
        (
            ((HERE, None, Rle.empty(12, 10)), (0, 0, 0), -1),
            r"video 'v', sequence 1, frame 9: a mask of 10x12 pixels in a video of 12x10",
        ),
    ],
)
def test_sequences_that_do_not_fit(sequence, message):
    masks, scores, category = sequence
    good = MaskSequence((HERE, None, None), (0.5, 0, 0), 0.5)
    with pytest.raises(AnnotationError, match=message):
        SequenceSet(VIDEO, CATEGORIES, (good, MaskSequence(masks, scores, 0.5, category)))


def test_a_sequence_without_entry_is_named_by_its_frame():
    with pytest.raises(AnnotationError, match=r"a sequence of yolo from frame 4: the score must be"):
        MaskSequence((HERE,), (0.5,), 2.0, provenance=Provenance("yolo", 4))


def test_values_are_frozen():
    scores = np.array([0.5, 0.1])
    one = MaskSequence([HERE, Rle.empty(10, 12)], scores, 0.5)
    scores[:] = 0
    assert one.category_scores.tolist() == [0.5, 0.1]
    with pytest.raises(ValueError, match="read-only"):
        one.category_scores[0] = 1
    assert not one.is_empty
    assert MaskSequence((None, Rle.empty(10, 12)), (), 0.5).is_empty
