"""Augmentation of batches: the law of the numpy reference, without reading anything back from the device."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.augmentation import JITTERS, PAD_GREY, Augmentation
from evfr.augmentation._apply import AugmentationDraws, augmented
from evfr.training import _batch_placement
from evfr.training._batch_augmentation import BatchDraws, augment_batch, augmented_batch, noised_batch
from helpers.drawn_objects import drawn_objects

torch = pytest.importorskip("torch")

PASTE = Augmentation("none", 0.0, 1.0)
ALL = Augmentation("standard", 0.5, 0.7)


def batch(rng, pictures=3, **options):
    """Return numpy pictures, and the tensors of them."""
    rows = [drawn_objects(rng, **options) for _ in range(pictures)]
    return rows, tensors(rows)


def tensors(rows):
    images, ids, category = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
    return images.permute(0, 3, 1, 2).contiguous(), ids, category


def draws(rng, pictures, sources):
    return [
        AugmentationDraws(rng.random(4), rng.random(4), rng.random(), rng.random(1 + sources))
        for _ in range(pictures)
    ]


def stacked(rows):
    return BatchDraws(*(torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["loop", "products"])
def resize(request, monkeypatch):
    """Resize as on a CPU, and as on other devices."""
    if request.param == "products":
        monkeypatch.setattr(_batch_placement, "resized_by_loop", _batch_placement.resized_by_products)


@pytest.mark.parametrize("jitter", JITTERS)
def test_the_law_is_the_reference(jitter, resize):
    """Equal draws: equal maps and classes, and grey values but for rounding, over 60 pictures with occlusions."""
    rng = np.random.default_rng(JITTERS.index(jitter))
    for augmentation in (Augmentation(jitter, 0.5, 0.7), Augmentation(jitter, 0.5, 0.0)):
        for count, others in ((4, 4), (1, 9), (9, 1), (3, 0), (0, 3)):
            rows, given_ = batch(rng, 6, height=37, width=50, count=count)
            source_rows, sources = batch(rng, 6, height=37, width=50, count=others)
            drawn = draws(rng, 6, others)
            found = augmented_batch(
                *given_, sources if augmentation.copy_paste else None, augmentation, stacked(drawn)
            )
            assert [tensor.dtype for tensor in found] == [torch.uint8, torch.uint8, torch.int16]
            for place in range(6):
                source = source_rows[place] if augmentation.copy_paste else None
                image, ids, category = augmented(*rows[place], source, augmentation, drawn[place])
                assert np.array_equal(found[1][place].numpy(), ids)
                assert np.array_equal(found[2][place].numpy(), category)
                off = found[0][place].permute(1, 2, 0).numpy().astype(int) - image
                assert np.abs(off).max() <= (0 if jitter == "none" else 2)
                assert abs(off.mean()) < 0.25  # rounded as there, not cut: that would be -.5


@pytest.mark.parametrize("is_tall", [False, True])
def test_what_is_left_of_objects_is_as_in_the_reference(is_tall):
    """At 1,024 px, where both limits count: small objects, much over each other."""
    rng = np.random.default_rng(5)

    def crowd():
        image, ids, _ = drawn_objects(rng, 40, 1024, 0)
        for k in range(6):
            top, left, tall, wide = rng.integers([0, 500, 4, 4], [24, 540, 40, 60])
            ids[top : top + tall, left : left + wide] = k + 1
        if is_tall:
            image, ids = image.transpose(1, 0, 2), ids.T
        category = np.where(np.isin(np.arange(1, 7), ids), 1, -1).astype(np.int16)
        return np.ascontiguousarray(image), np.ascontiguousarray(ids), category

    rows, source_rows = ([crowd() for _ in range(40)] for _ in range(2))
    drawn = draws(rng, 40, 6)
    _, ids, category = augmented_batch(*tensors(rows), tensors(source_rows), PASTE, stacked(drawn))
    dropped = kept = 0
    for place, row in enumerate(rows):
        _, wanted_ids, wanted = augmented(*row, source_rows[place], PASTE, drawn[place])
        assert np.array_equal(ids[place].numpy(), wanted_ids)
        assert np.array_equal(category[place].numpy(), wanted)
        for k in range(6):
            remaining = (row[1] == k + 1) & ((wanted_ids <= 6) | (wanted_ids == 255))
            if 0 < remaining.sum() < (row[1] == k + 1).sum():
                dropped += int(wanted[k] < 0)
                kept += int(wanted[k] >= 0)
    assert dropped > 10
    assert kept > 10


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), jitter=st.sampled_from(JITTERS), paste=st.sampled_from([0.0, 0.5, 1.0])
)
def test_every_pixel_is_from_one_source(seed, jitter, paste):
    rng = np.random.default_rng(seed)
    _, given_ = batch(rng, value=50)
    _, sources = batch(rng, value=200, count=6)
    copies = [tensor.clone() for tensor in (*given_, *sources)]
    augmentation = Augmentation(jitter, 0.5, paste)
    images, ids, category = augment_batch(*given_, sources, augmentation, generator(seed))
    assert all(torch.equal(a, b) for a, b in zip((*given_, *sources), copies, strict=True))
    assert set(images.unique().tolist()) <= {50, PAD_GREY, 200}
    assert torch.equal((images == 200).all(1), (ids > 4) & (ids < 255))
    assert (ids[(images == PAD_GREY).all(1)] == 0).all()
    for row in range(len(ids)):
        seen = torch.isin(torch.arange(1, category.shape[1] + 1), ids[row])
        assert torch.equal(seen, category[row] >= 0)
        assert (
            (category[row] == -1) | (category[row] == torch.cat([given_[2], sources[2]], 1)[row][: len(seen)])
        ).all()


def test_nothing_is_byte_identity():
    _, given_ = batch(np.random.default_rng(0))
    random = generator()
    state = random.get_state()
    found = augment_batch(*given_, None, Augmentation(), random)
    assert all(torch.equal(a, b) for a, b in zip(found, given_, strict=True))
    assert torch.equal(random.get_state(), state)


def test_pictures_that_receive_nothing_are_byte_identical():
    rng = np.random.default_rng(0)
    _, given_ = batch(rng, 40)
    _, sources = batch(rng, 40)
    images, ids, category = augment_batch(*given_, sources, Augmentation(copy_paste=0.5), generator())
    untouched = (category[:, 4:] < 0).all(1)
    assert 15 < untouched.sum() < 36
    assert torch.equal(images[untouched], given_[0][untouched])
    assert torch.equal(ids[untouched], given_[1][untouched])


def test_a_seed_is_one_batch():
    rng = np.random.default_rng(0)
    _, given_ = batch(rng)
    _, sources = batch(rng)
    std = torch.full(given_[0].shape, 3.0)
    one, two, other = (augment_batch(*given_, sources, ALL, generator(seed), std) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[0], other[0])


def test_autocast_does_not_blur_grey_values(resize):
    _, given_ = batch(np.random.default_rng(0))
    plain = augment_batch(*given_, None, Augmentation("standard"), generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = augment_batch(*given_, None, Augmentation("standard"), generator())
    assert torch.equal(plain[0], cast[0])


@pytest.mark.parametrize("augmentation", [PASTE, ALL, Augmentation("large"), Augmentation(flip=0.5)])
def test_nothing_is_read_back(augmentation):
    """Tensors without data: whatever asks for a value, or for a shape that depends on one, fails."""
    rng = np.random.default_rng(0)
    given_ = [tensor.to("meta") for tensor in batch(rng)[1]]
    sources = tuple(tensor.to("meta") for tensor in batch(rng)[1])
    drawn = BatchDraws(*(tensor.to("meta") for tensor in stacked(draws(rng, 3, 4))))
    pasting = sources if augmentation.copy_paste else None
    images, ids, category = augmented_batch(*given_, pasting, augmentation, drawn)
    assert images.shape == given_[0].shape
    assert ids.shape == given_[1].shape
    assert category.shape == (3, 8 if pasting else 4)


def test_noise():
    """As the reference: rounded, clipped, nothing where the deviation is 0, of the deviation it is given."""
    images = torch.full((2, 3, 100, 100), 100, dtype=torch.uint8)
    images[1] = 255
    std = torch.full(images.shape, 6.0)
    std[:, 0] = 0
    out = noised_batch(images, std, generator())
    assert out.dtype == torch.uint8
    assert torch.equal(out[:, 0], images[:, 0])
    assert abs(out[0, 1:].float().var() - 36 - 1 / 12) < 1.5
    assert abs(out[0, 1:].float().mean() - 100) < 0.15
    assert out[1].min() > 128
    assert (noised_batch(images, torch.full(images.shape, 0.1), generator()) == images).all()


def test_noise_comes_before_the_jitter():
    """The noise is that of the frame, so that the padding has none."""
    images = torch.full((1, 3, 20, 20), 60, dtype=torch.uint8)
    ids, category = torch.ones(1, 20, 20, dtype=torch.uint8), torch.zeros(1, 1, dtype=torch.int16)
    std = torch.full(images.shape, 9.0)
    for seed in range(9):
        out, moved, _ = augment_batch(
            images, ids, category, None, Augmentation("large"), generator(seed), std
        )
        assert (out[:, :, moved[0] == 0] == PAD_GREY).all()
        assert out[:, :, moved[0] == 1].unique().numel() > 1
    out, _, _ = augment_batch(images, ids, category, None, Augmentation(), generator(), std)
    assert torch.equal(out, noised_batch(images, std, generator()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": torch.zeros(3, 3, 24, 32)},
            r"images must be \(B, 3, H, W\) and ids .* got .* torch.float32",
        ),
        ({"images": torch.zeros(3, 24, 32, 3, dtype=torch.uint8)}, r"got \(3, 24, 32, 3\) torch.uint8"),
        ({"ids": torch.zeros(3, 24, 32, dtype=torch.int64)}, r"and \(3, 24, 32\) torch.int64"),
        ({"category": torch.zeros(3, 4)}, r"category must be \(3, M\) int16, got \(3, 4\) torch.float32"),
        (
            {"category": torch.zeros(2, 4, dtype=torch.int16)},
            r"category must be \(3, M\) int16, got \(2, 4\)",
        ),
        ({"sources": None}, "copy_paste is 0.7 but there are no sources to paste from"),
        (
            {"sources": batch(np.random.default_rng(0), 2)[1]},
            r"images and sources must have one shape, got \(3, 24, 32\) and \(2, 24, 32\)",
        ),
        (
            {"category": torch.full((3, 251), -1, dtype=torch.int16)},
            "251 and 4 objects are too many for one map: together they can be 254 at most",
        ),
        (
            {"noise_std": torch.zeros(3, 24, 32)},
            r"noise_std must be \(3, 3, 24, 32\) as the images are, got \(3, 24, 32\)",
        ),
    ],
)
def test_what_does_not_fit(change, message):
    rng = np.random.default_rng(0)
    names = ("images", "ids", "category")
    options = dict(zip(names, batch(rng)[1], strict=True)) | {"sources": batch(rng)[1]} | change
    with pytest.raises(ValueError, match=message):
        augment_batch(**options, augmentation=ALL, generator=generator())
