"""What `tiny` learns from: boxes, cells and masks against loops, and a step that never waits for the device."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
loss_module = pytest.importorskip("evfr.training._tiny_loss")


def blocks(rng, count=3, height=32, width=48, objects=4):
    """Draw maps of rectangles in front of each other, with a stripe to ignore."""
    ids = np.zeros((count, height, width), np.uint8)
    for b in range(count):
        for k in range(1, objects + 1):
            y, x = rng.integers(0, height - 2), rng.integers(0, width - 2)
            ids[b, y : y + rng.integers(1, 16), x : x + rng.integers(1, 20)] = k
        ids[b, :, 40:42] = 255
    category = rng.integers(0, 3, (count, objects)).astype(np.int16)
    return torch.from_numpy(ids), torch.from_numpy(category)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_tight(seed):
    ids, _ = blocks(np.random.default_rng(seed))
    boxes, is_seen = loss_module.tiny_boxes(ids, 6)
    for b in range(3):
        for k in range(1, 7):
            y, x = np.nonzero(ids[b].numpy() == k)
            assert bool(is_seen[b, k - 1]) == bool(len(x))
            if len(x):
                wanted = [x.min(), y.min(), x.max() + 1, y.max() + 1]
                assert boxes[b, k - 1].tolist() == wanted


@pytest.mark.parametrize("seed", range(4))
def test_cells_answer_for_the_nearest_object(seed):
    ids, category = blocks(np.random.default_rng(10 + seed))
    category[0, 1] = -1
    boxes, is_seen = loss_module.tiny_boxes(ids, 4)
    aims = loss_module.tiny_targets(ids, category)
    for b in range(3):
        for cell in range(24):
            x, y = cell % 6 * 8 + 4, cell // 6 * 8 + 4
            found = []
            for k in range(4):
                if is_seen[b, k] and category[b, k] >= 0:
                    x0, y0, x1, y1 = boxes[b, k].tolist()
                    dx, dy = abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)
                    wide, high = (min(max(0.4 * side, 4), 12) for side in (x1 - x0, y1 - y0))
                    if dx <= wide and dy <= high:
                        found.append((max(dx, dy), k))
            best = min(found, default=(99.0, 0))
            if best[0] < 99:
                k = best[1]
                assert int(aims.object_id[b, cell]) == k + 1
                assert int(aims.category[b, cell]) == int(category[b, k])
                assert aims.boxes[b, cell].tolist() == boxes[b, k].tolist()
                cells = int((aims.object_id[b] == k + 1).sum())
                assert float(aims.share[b, cell]) == pytest.approx(1 / cells)
            else:
                assert int(aims.object_id[b, cell]) == int(aims.share[b, cell]) == 0


def test_an_object_of_one_pixel_has_a_cell_and_a_large_one_few():
    ids = torch.zeros((1, 64, 64), dtype=torch.uint8)
    ids[0, 19, 30] = 1
    aims = loss_module.tiny_targets(ids, torch.zeros((1, 1), dtype=torch.int16))
    assert torch.nonzero(aims.object_id[0])[:, 0].tolist() == [2 * 8 + 3]
    ids[0] = 1
    aims = loss_module.tiny_targets(ids, torch.zeros((1, 1), dtype=torch.int16))
    assert int(aims.object_id.sum()) == 16


def test_cells_that_cover_what_is_ignored_are_not_judged():
    ids = torch.zeros((1, 16, 16), dtype=torch.uint8)
    ids[0, :8, :8][:5] = 255
    ids[0, 8:, 8:][:4] = 255
    aims = loss_module.tiny_targets(ids, torch.full((1, 1), -1, dtype=torch.int16))
    assert aims.is_judged.tolist() == [[0.0, 1.0, 1.0, 1.0]]
    assert aims.object_id.tolist() == [[0, 0, 0, 0]]


def test_masks_are_shares_of_four_samples():
    ids = torch.zeros((1, 8, 8), dtype=torch.uint8)
    ids[0, :, :2] = 1
    ids[0, 4:, 4:] = 2
    ids[0, 7, 6] = 255
    share, is_judged = loss_module.mask_targets(ids, torch.tensor([[1, 2, 0]]))
    assert share[0, 0].tolist() == [[0.5, 0.0], [0.5, 0.0]]
    assert share[0, 1].tolist() == [[0.0, 0.0], [0.0, 0.75]]
    assert is_judged[0, 0].tolist() == [[1.0, 1.0], [1.0, 0.0]]


def test_overlaps_by_hand():
    a = torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 2.0, 2.0]])
    b = torch.tensor([[2.0, 0.0, 6.0, 4.0], [4.0, 0.0, 6.0, 2.0]])
    overlap, generalised = loss_module._overlaps(torch, a, b)
    assert overlap.tolist() == pytest.approx([8 / 24, 0.0])
    assert generalised.tolist() == pytest.approx([8 / 24, -4 / 12])


@pytest.mark.parametrize("what", ["class", "box", "mask"])
def test_the_loss_is_least_where_all_is_right(what):
    """Say the truth, then one thing wrong."""
    modules = pytest.importorskip("evfr.models._tiny_modules")
    ids, category = blocks(np.random.default_rng(3), objects=2)
    ids[ids == 255] = 0
    aims = loss_module.tiny_targets(ids, category)
    logits = torch.full((3, 24, 3), -9.0)
    logits.scatter_(2, aims.category[..., None], torch.where(aims.object_id > 0, 9.0, -9.0)[..., None])
    boxes = aims.boxes.clone()
    # A basis of one map an object: the coefficients choose.
    share = torch.stack([loss_module.mask_targets(ids, torch.full((3, 1), k))[0][:, 0] for k in (1, 2)], 1)
    coefficients = torch.nn.functional.one_hot((aims.object_id - 1).clamp_min(0), 2).float() * 20
    torch.manual_seed(0)
    right = float(
        loss_module.tiny_loss(modules.TinyFound(logits, boxes, coefficients, share - 0.4), ids, category)
    )
    if what == "class":
        logits = logits.roll(1, dims=2)
    elif what == "box":
        boxes = boxes + 3
    else:
        coefficients = coefficients.flip(2)
    torch.manual_seed(0)
    wrong = float(
        loss_module.tiny_loss(modules.TinyFound(logits, boxes, coefficients, share - 0.4), ids, category)
    )
    assert right < 0.1
    assert wrong > right + 0.2


def test_colours_are_mixed_the_same_way_all_over_a_picture():
    colour = pytest.importorskip("evfr.training._tiny_colour")
    images = torch.randint(
        90, 166, (2, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(colour.recoloured(images, 0.0), images.float())
    torch.manual_seed(4)
    made = colour.recoloured(images, 0.5)
    assert made.min() >= 0
    assert made.max() <= 255
    for one, other in zip(images.double(), made.double(), strict=True):
        flat = torch.cat([one.flatten(1), torch.ones(1, 30)])
        told = other.flatten(1)
        is_whole = ((told > 0) & (told < 255)).all(0)
        assert int(is_whole.sum()) > 10
        fit = torch.linalg.lstsq(flat[:, is_whole].T, told[:, is_whole].T).solution
        assert torch.allclose(flat[:, is_whole].T @ fit, told[:, is_whole].T, atol=1e-2)
