"""What Seq Mask R-CNN is trained on: clips drawn from labelled frames, and from images that are turned."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.augmentation import IMAGENET_MEAN
from evfr.training import LabelledPicture, SequenceClip, sequence_draw


class Frames:
    """Labelled frames in memory: frame t is all of colour t, track 7 lies in row t, track 9 only in frame 0."""

    def __init__(self, count, starts=None, crowd=False):
        self.count, self.starts, self.crowd = count, tuple(range(count)) if starts is None else starts, crowd

    def __len__(self):
        return self.count

    def load(self, place):
        masks = np.zeros((2 if place == 0 else 1, 12, 10), np.bool_)
        masks[0, place % 12] = True
        if place == 0:
            masks[1, 6, 6] = True
        hidden = np.zeros((12, 10), np.bool_)
        hidden[:, 8:] = self.crowd
        return LabelledPicture(
            np.full((12, 10, 3), place, np.uint8),
            masks,
            np.array([1, 0])[: len(masks)],
            np.array([7, 9])[: len(masks)],
            hidden,
        )


def places_of(clip):
    return clip.images[:, 0, 0, 0].tolist()


def test_clips_go_forward_or_backward_by_steps_that_are_short_enough():
    draw = sequence_draw([Frames(12, starts=(3, 5, 6))], frames=4, max_skip=3)
    rng = np.random.default_rng(0)
    seen = [places_of(draw(rng)) for _ in range(300)]
    steps = [np.diff(places) for places in seen]
    assert {places[0] for places in seen} == {3, 5, 6}
    assert all((step > 0).all() or (step < 0).all() for step in steps)
    assert {int(abs(s)) for step in steps for s in step} == {1, 2, 3}
    assert {len(places) for places in seen} <= {2, 3, 4}
    assert sum(step[0] > 0 for step in steps) / len(steps) == pytest.approx(0.5, abs=0.1)


def test_masks_follow_their_track():
    draw = sequence_draw([Frames(5, starts=(0,))], frames=3, max_skip=2)
    clip = draw(np.random.default_rng(1))
    assert clip.category.tolist() == [1, 0]
    for t, place in enumerate(places_of(clip)):
        assert np.flatnonzero(clip.masks[t, 0].any(axis=1)).tolist() == [place]
        assert clip.masks[t, 1].any() == (place == 0)
    # From any other frame there is one object only.
    assert sequence_draw([Frames(5, starts=(2,))])(np.random.default_rng(0)).category.tolist() == [1]


def test_two_labelled_frames_are_enough():
    clip = sequence_draw([Frames(2)], frames=3)(np.random.default_rng(0))
    assert sorted(places_of(clip)) == [0, 1]


def test_images_have_their_share_and_become_clips():
    class Images(Frames):
        def load(self, place):
            picture = super().load(0)
            return LabelledPicture(
                np.full((12, 10, 3), 200, np.uint8),
                picture.masks,
                picture.category,
                picture.track_ids,
                picture.hidden,
            )

    draw = sequence_draw([Frames(4)], Images(3), image_share=0.25, frames=3)
    rng = np.random.default_rng(0)
    clips = [draw(rng) for _ in range(400)]
    of_image = [clip for clip in clips if clip.images[0].max() == 200]
    assert len(of_image) / len(clips) == pytest.approx(0.25, abs=0.07)
    assert {len(clip.images) for clip in of_image} == {3}
    assert any((clip.images[1] != clip.images[0]).any() for clip in of_image)
    filled = sequence_draw([Frames(4)], Images(3), image_share=1.0, fill=True)(rng)
    inside = filled.masks[0].any(axis=0)
    assert (filled.images[0][~inside] == IMAGENET_MEAN).all()
    assert (filled.images[0][inside] == 200).all()


def test_what_is_hidden_is_filled_except_where_an_object_lies():
    clip = sequence_draw([Frames(3, crowd=True)])(np.random.default_rng(0))
    for t, place in enumerate(places_of(clip)):
        for x in (8, 9):
            own = np.flatnonzero((clip.images[t, :, x] == place).all(axis=1)).tolist()
            assert own == [place]
        assert (clip.images[t, :, :8] == place).all()


def test_same_generator_same_clip():
    draw = sequence_draw([Frames(9), Frames(4)], Frames(3))
    for seed in range(5):
        first, second = (draw(np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first.images, second.images)
        assert np.array_equal(first.masks, second.masks)


def test_reprs():
    assert repr(Frames(3).load(0)) == "LabelledPicture(10x12, 2 objects)"
    clip = sequence_draw([Frames(3, starts=(0,))], max_skip=1)(np.random.default_rng(0))
    assert repr(clip) == "SequenceClip(3 frames of 10x12, 2 objects)"


@pytest.mark.parametrize(
    ("videos", "options", "message"),
    [
        ([], {}, "there is no video to draw clips from"),
        ([Frames(3), Frames(1)], {}, "got 1 labelled frames, 1 with objects, of video 1"),
        ([Frames(3, starts=())], {}, "got 3 labelled frames, 0 with objects, of video 0"),
        ([Frames(3)], {"images": Frames(3, starts=())}, "no image has an object"),
        ([Frames(3)], {"image_share": 1.5}, r"image_share must be in \[0, 1\], got 1.5"),
        ([Frames(3)], {"frames": 1}, "frames must be 2 or more and max_skip 1 or more, got 1 and 5"),
        ([Frames(3)], {"max_skip": 0}, "got 3 and 0"),
    ],
)
def test_nothing_to_draw_from(videos, options, message):
    with pytest.raises(ValueError, match=message):
        sequence_draw(videos, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((1, 4, 5, 3), np.uint8)}, "two frames or more, got"),
        ({"images": np.zeros((2, 4, 5, 3), np.float32)}, r"got \(2, 4, 5, 3\) float32"),
        ({"masks": np.ones((2, 1, 4, 4), np.bool_)}, r"masks must be \(2, 1, 4, 5\) .* got \(2, 1, 4, 4\)"),
        ({"category": np.zeros(0, np.int64), "masks": np.ones((2, 0, 4, 5), np.bool_)}, "one object or more"),
        (
            {"masks": np.zeros((2, 1, 4, 5), np.bool_)},
            "the first frame must show each object, .* of object 0",
        ),
    ],
)
def test_clips_that_do_not_fit(change, message):
    whole = {
        "images": np.zeros((2, 4, 5, 3), np.uint8),
        "masks": np.ones((2, 1, 4, 5), np.bool_),
        "category": np.zeros(1, np.int64),
    }
    with pytest.raises(ValueError, match=message):
        SequenceClip(**(whole | change))
