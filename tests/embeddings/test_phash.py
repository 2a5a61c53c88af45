"""Perceptual hashes against the definition, and what must not change them."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from evfr.embeddings._phash import perceptual_hash
from evfr.sampling import dedup
from helpers.views import texture


def plain(frame):
    """Return the hash by the sums of the DCT, one coefficient at a time."""
    small = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    grey = small @ [0.299, 0.587, 0.114]
    x = (2 * np.arange(32) + 1) * np.pi / 64
    low = np.array(
        [[(grey * np.outer(np.cos(v * x), np.cos(u * x))).sum() for u in range(8)] for v in range(8)]
    )
    low[0] /= np.sqrt(2)
    low[:, 0] /= np.sqrt(2)
    middle = np.median(low.ravel()[1:])
    return sum(1 << k for k in range(1, 64) if low.ravel()[k] > middle)


def picture(seed, height=90, width=160):
    return np.stack([texture(height, width, 3 * seed + c) for c in range(3)], axis=2)


def bits(a, b):
    return int(np.bitwise_count(np.uint64(a) ^ np.uint64(b)))


def test_equals_the_definition():
    frames = [picture(seed) for seed in range(20)]
    assert perceptual_hash(frames).tolist() == [plain(frame) for frame in frames]
    assert perceptual_hash(np.stack(frames)).dtype == np.uint64
    assert perceptual_hash([]).shape == (0,)


def test_brightness_contrast_and_flat_pictures():
    frame = picture(1) // 4 + 20
    lighter, stronger = frame + 60, frame * 2
    assert len(set(perceptual_hash([frame, lighter, stronger]).tolist())) == 1
    flat = [np.full((40, 60, 3), level, np.uint8) for level in (0, 1, 127, 255)]
    assert perceptual_hash(flat).tolist() == [0] * 4


def test_coding_and_size_change_few_bits_other_pictures_many():
    frame = cv2.GaussianBlur(picture(2, 180, 320), (0, 0), 3)
    coded = cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    smaller = cv2.resize(frame, (160, 90), interpolation=cv2.INTER_AREA)
    one, two, three = perceptual_hash([frame, coded, smaller])
    assert bits(one, two) <= 6
    assert bits(one, three) <= 6
    others = perceptual_hash([picture(seed) for seed in range(10, 30)])
    assert min(bits(one, other) for other in others) >= 14


def test_near_duplicates_of_a_real_clip(data_dir):
    """The first 76 frames of the bikes clip hold two shots: their frames are no duplicates of each other."""
    with av.open(str(data_dir / "video" / "bikes_cuts.mp4")) as container:
        frames = [
            f.to_ndarray(format="rgb24") for f, _ in zip(container.decode(video=0), range(76), strict=False)
        ]
    result = dedup(perceptual_hash(frames), 10, metric="hamming")
    assert 2 <= len(result) < 60
    assert all((a < 30) == (b < 30) for a, b in zip(result.dropped, result.duplicate_of, strict=True))


def test_wrong_frames():
    with pytest.raises(TypeError, match="frames must be uint8, frame 0 is float64"):
        perceptual_hash([np.zeros((4, 4, 3))])
    with pytest.raises(ValueError, match=r"frame 0 has shape \(4, 4\)"):
        perceptual_hash([np.zeros((4, 4), np.uint8)])
