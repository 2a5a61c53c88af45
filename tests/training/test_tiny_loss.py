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
                    found.append((max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)), k))
            best = min(found, default=(99.0, 0))
            if best[0] <= 12:
                k = best[1]
                assert int(aims.object_id[b, cell]) == k + 1
                assert int(aims.category[b, cell]) == int(category[b, k])
                assert aims.boxes[b, cell].tolist() == boxes[b, k].tolist()
                cells = int((aims.object_id[b] == k + 1).sum())
                assert float(aims.share[b, cell]) == pytest.approx(1 / cells)
            else:
                assert int(aims.object_id[b, cell]) == int(aims.share[b, cell]) == 0


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
