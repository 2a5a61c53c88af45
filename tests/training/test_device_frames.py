"""Frames on a device: gathered rows are the clips' own, copies count, noise goes where it belongs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evfr._core.labelled import LabelledClip
from evfr.training import DeviceFrames

torch = pytest.importorskip("torch")


def clip(seed, frames=3, objects=2, height=5, width=7, classes=("a", "b")):
    rng = np.random.default_rng(seed)
    return LabelledClip(
        f"clip{seed}",
        np.arange(frames),
        rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8),
        rng.integers(0, objects + 1, (frames, height, width), dtype=np.uint8),
        rng.integers(0, len(classes), (frames, objects)).astype(np.int16),
        classes,
    )


def test_rows_are_the_clips_own_and_categories_are_filled_up():
    clips = [clip(0), clip(1, frames=0), clip(2, frames=2, objects=4)]
    frames = DeviceFrames(clips)
    assert len(frames) == 5
    assert "5 frames of 7x5, 5 to visit, on cpu" in repr(frames)
    images, ids, category, noise = frames.batch(torch.tensor([4, 0]))
    assert noise is None
    assert images.dtype == ids.dtype == torch.uint8
    for row, (number, place) in enumerate([(2, 1), (0, 0)]):
        own = clips[number]
        assert np.array_equal(images[row].permute(1, 2, 0).numpy(), own.images[place])
        assert np.array_equal(ids[row].numpy(), own.ids[place])
        count = own.category.shape[1]
        assert np.array_equal(category[row, :count].numpy(), own.category[place])
        assert (category[row, count:] == -1).all()


def test_copies_are_visited_and_noise_is_their_own():
    spread = np.arange(2 * 5 * 7 * 3, dtype=np.float32).reshape(2, 5, 7, 3)
    noised = replace(clip(1, frames=2), noise_std=spread, copies=3)
    frames = DeviceFrames([clip(0, frames=1), noised, clip(2, frames=1)])
    assert len(frames) == 1 + 2 * 3 + 1
    images, _, _, noise = frames.batch(torch.arange(8))
    assert [int((images[row] == images).flatten(1).all(1).sum()) for row in range(8)] == [
        1,
        3,
        3,
        3,
        3,
        3,
        3,
        1,
    ]
    for row in range(8):
        wanted = np.zeros((5, 7, 3)) if row in (0, 7) else spread[(row - 1) // 3]
        assert np.array_equal(noise[row].permute(1, 2, 0).numpy(), wanted)


def test_clips_without_objects_still_have_a_column():
    plain = replace(
        clip(0, objects=1), ids=np.zeros((3, 5, 7), np.uint8), category=np.zeros((3, 0), np.int16)
    )
    assert DeviceFrames([plain]).category.tolist() == [[-1]] * 3


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="there is no labelled frame to learn from in 1 clips"):
        DeviceFrames([clip(0, frames=0)])
    told = "clips must share size and classes, got 7x5 with classes a, b of clip0 and 8x5 with classes a, b of clip1"
    with pytest.raises(ValueError, match=told):
        DeviceFrames([clip(0), clip(1, width=8)])
    with pytest.raises(ValueError, match="7x5 with classes a of clip1; read them with one width"):
        DeviceFrames([clip(0), clip(1, classes=("a",))])
