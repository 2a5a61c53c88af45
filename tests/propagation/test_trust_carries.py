"""Trust in real carries of drawn clips: it falls where an object is hidden, ends at a cut, and ranks good and bad."""

from __future__ import annotations

import numpy as np
import pytest

from evfr._core.masks import Rle, iou
from evfr.propagation import Carried, HeldOut, Interval, carried_trust, default, fit_trust, held_out, spearman
from helpers.moving import Mover, draw, labels_of

COUNT = 17


def carry(frames: np.ndarray, masks: np.ndarray, cuts: tuple[int, ...] = ()) -> Carried:
    """Carry the first object between labels on the first and the last frame."""
    left, right = (labels_of(masks[t, :1], t, [1]) for t in (0, len(frames) - 1))
    return default(Interval(list(frames), np.arange(len(frames)), left, right, cuts), step="dis")


def true_iou(carried: Carried, masks: np.ndarray) -> np.ndarray:
    nothing = Rle.empty(*masks.shape[2:])
    return np.array(
        [
            iou(row[0] or nothing, Rle.from_mask(mask))
            for row, mask in zip(carried.masks, masks[:, 0], strict=True)
        ]
    )


@pytest.fixture(scope="module")
def scenes() -> dict[str, tuple[Carried, np.ndarray]]:
    mover = Mover((48, 40), (0.2, 2.0))
    # A larger object with a texture of its own passes in front: hidden from frame 6 to 10.
    front = Mover((48, 56), (0.0, 0.0), (34, 26), seed=7, frames=range(6, 11))
    found = {}
    for name, movers in (("open", [mover]), ("hidden", [mover, front])):
        frames, masks = draw(movers, COUNT)
        carried = carry(frames, masks)
        found[name] = carried, true_iou(carried, masks)
    return found


def test_trust_falls_where_an_object_is_hidden(scenes):
    (free, free_iou), (hidden, hidden_iou) = scenes["open"], scenes["hidden"]
    assert free_iou.min() > 0.75
    middle = slice(6, 11)
    assert hidden_iou[middle].mean() < 0.6
    free_trust, trust = (np.nan_to_num(carried_trust(item))[:, 0] for item in (free, hidden))
    assert trust[middle].mean() < free_trust[middle].mean() - 0.15
    assert trust[middle].max() < free_trust[middle].min()


def test_trust_ranks_good_and_bad_frames(scenes):
    carried, came = scenes["hidden"]
    trust = carried_trust(carried)[:, 0]
    inner = ~np.isnan(trust)
    inner[[0, -1]] = False
    assert spearman(trust[inner], came[inner]) > 0.5


def test_trust_ends_at_a_cut():
    """The object is in the first shot alone: there is nothing to trust after the cut, and nothing is carried."""
    frames, masks = draw([Mover((48, 40), (0.2, 2.0), frames=range(9))], COUNT, cut=9)
    left = labels_of(masks[0, :1], 0, [1])
    whole = Interval(list(frames), np.arange(COUNT), left, None, (9,))
    trust = carried_trust(default(whole, step="dis"))[:, 0]
    assert (trust[:9] > 0).all()
    assert np.isnan(trust[9:]).all()


def test_time_reversal_gives_the_same_trust():
    frames, masks = draw([Mover((48, 40), (0.2, 2.0))], 9)
    there, back = (
        carried_trust(carry(f, m))[:, 0] for f, m in ((frames, masks), (frames[::-1], masks[::-1]))
    )
    np.testing.assert_allclose(there, back[::-1], atol=0.02)


def test_labels_held_out_teach_what_this_clip_is_like(scenes):
    """Where carries fail throughout, a few held-out labels bring trust down."""
    carried, _ = scenes["open"]
    masks = draw([Mover((48, 40), (0.2, 2.0))], COUNT)[1]
    rows = held_out(carried, 8, labels_of(masks[8, :1], 8, [1]))
    assert rows.true_iou[0] > 0.75
    bad = HeldOut.join([HeldOut(rows.features, np.array([0.2]), np.array([t])) for t in range(3)])
    model = fit_trust(bad.features, bad.true_iou, bad.frames)
    assert np.nanmean(carried_trust(carried, model)[1:-1]) < np.nanmean(carried_trust(carried)[1:-1]) - 0.2
