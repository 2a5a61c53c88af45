"""Step fields: known motion, names, and the better of two."""

from __future__ import annotations

import numpy as np
import pytest
from tests.helpers.moving import texture

from evfr._core.motion import StepFields
from evfr.propagation import STEP_FIELDS
from evfr.propagation._patches import Window
from evfr.propagation._steps import Step, best_fields, better_field, make_hops

SHIFT = (3, -2)


def shifted(count=3, size=(96, 128)):
    """Return frames whose content moves by (dx, dy) = SHIFT a frame."""
    height, width = size
    world = texture(5, height + 60, width + 60)
    return np.stack([world[30 - t * SHIFT[1] :, 30 - t * SHIFT[0] :][:height, :width] for t in range(count)])


@pytest.mark.parametrize("name", list(STEP_FIELDS))
def test_a_translation_is_found(name):
    frames = shifted()
    fields = STEP_FIELDS[name](frames, np.arange(3))
    assert (len(fields), fields.cell, fields.name) == (2, 1, name)
    inside = (slice(None), slice(16, -16), slice(16, -16))
    for found, sign in ((fields.to_previous, -1), (fields.to_next, 1)):
        error = np.abs(found[inside] - sign * np.array(SHIFT, np.float32)).max(axis=-1)
        assert np.median(error) < 0.1, name


@pytest.mark.parametrize("name", list(STEP_FIELDS))
def test_hops_are_the_fields_one_by_one(name):
    frames = shifted()
    fields, hops = STEP_FIELDS[name](frames, np.arange(3)), make_hops(name, frames, np.arange(3), None)
    for t in range(2):
        np.testing.assert_array_equal(hops.to_previous(t).dense(), fields.to_previous[t])
        np.testing.assert_array_equal(hops.to_next(t).dense(), fields.to_next[t])


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (33, 3)])
def test_small_pictures(size):
    frames = np.stack([texture(k, *size) for k in range(2)])
    for name in ("dis", "dis-medium"):
        assert STEP_FIELDS[name](frames, np.arange(2)).to_next.shape == (1, *size, 2)


def test_no_frame():
    with pytest.raises(ValueError, match="step fields need at least one frame"):
        STEP_FIELDS["dis"]([], np.arange(0))


def constant(frames, value, cell=1, name="given"):
    height, width = frames[0].shape[:2]
    shape = (len(frames) - 1, -(-height // cell), -(-width // cell), 2)
    field = np.broadcast_to(np.array(value, np.float32), shape).copy()
    return StepFields(field, -field, cell, name)


def test_names():
    frames = shifted()
    index = np.array([4, 5, 6])
    seen = []

    def maker(given, numbers):
        seen.append(numbers.tolist())
        return constant(given, (1, 2), cell=8)

    hops = make_hops("mine", frames, index, {"mine": maker})
    assert seen == [[4, 5, 6]]
    np.testing.assert_array_equal(hops.to_previous(1).dense(), np.broadcast_to([1, 2], (96, 128, 2)))
    np.testing.assert_array_equal(hops.to_next(0).half(), np.broadcast_to([-1, -2], (48, 64, 2)))
    # A maker given under a name of the family's own wins.
    own = make_hops("dis", frames, index, {"dis": maker}).to_previous(0).dense()
    assert (own == [1, 2]).all()


def test_wrong_names():
    frames = shifted()
    with pytest.raises(
        ValueError, match=r"step 'best' chooses between .* and no proxy was given; pass steps=\{"
    ):
        make_hops("best", frames, np.arange(3), None)
    with pytest.raises(
        ValueError, match="no step fields named 'raft'; there are dis, dis-medium, farneback; pass"
    ):
        make_hops("raft", frames, np.arange(3), {})
    with pytest.raises(
        ValueError, match="no step fields named 'raft'; there are best, dis, dis-medium, farneback, p"
    ):
        make_hops("raft", frames, np.arange(3), {"proxy": lambda f, i: constant(f, (0, 0))})


@pytest.mark.parametrize(("count", "cell", "told"), [(2, 1, 1), (3, 8, 4)])
def test_fields_that_do_not_fit(count, cell, told):
    frames = shifted()

    def maker(given, _):
        fields = constant(given[:count], (0, 0), cell)
        return StepFields(fields.to_previous, fields.to_next, told, "odd")

    with pytest.raises(ValueError, match="step fields 'odd': 3 frames of 128x96 need 2 steps of"):
        make_hops("odd", frames, np.arange(3), {"odd": maker})


@pytest.mark.parametrize("cell", [1, 4, 5, 8, 16])
@pytest.mark.parametrize("size", [(48, 64), (47, 61)])
def test_a_part_is_the_whole_cut_out(cell, size):
    rng = np.random.default_rng(cell)
    height, width = size
    values = rng.normal(size=(-(-height // cell), -(-width // cell), 2)).astype(np.float32)
    step = Step(values, cell, height, width)
    whole = step.dense()
    assert whole.shape == (height, width, 2)
    for window in (Window(0, 5, 0, 7), Window(13, 41, 22, 60), Window(height - 3, height, width - 1, width)):
        np.testing.assert_allclose(step.part(window), whole[window.rows_columns], atol=1e-5)
    half = step.half()
    assert half.shape == (-(-height // 2), -(-width // 2), 2)
    means = whole[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2, 2).mean((1, 3))
    np.testing.assert_allclose(half[: height // 2, : width // 2], means, atol=1e-4)


def test_cells_are_spread_between_their_centres():
    """Cells of 4 with values 0 and 8: centres at 1.5 and 5.5, so pixel 3 has 1.5 / 4 x 8 = 3."""
    values = np.array([[[0, 0], [8, 0]]], np.float32)
    assert Step(values, 4, 4, 8).dense()[0, :, 0].tolist() == [0, 0, 1, 3, 5, 7, 8, 8]


def test_the_better_of_two_per_pixel():
    """Left half moves, right half rests; each of two constant fields is right on one side."""
    world = texture(9, 64, 160)
    before, frame = world[:, :128].copy(), world[:, :128].copy()
    frame[:, :64] = world[:, 4:68]
    moves, rests = np.zeros((2, 64, 128, 2), np.float32)
    moves[..., 0] = 4
    for pair in ((moves, rests), (rests, moves)):
        found = better_field(frame, before, *pair)[..., 0]
        assert (found[:, :60] == 4).mean() > 0.98
        assert (found[:, 68:] == 0).mean() > 0.98
    assert (better_field(before, before, rests, moves) == 0).all()


def test_best_fields_are_those_that_a_propagator_makes_for_itself():
    def near(field, other):
        # OpenCV's DIS remembers something of the pictures before: a few pixels change with the order of calls.
        return (np.abs(field - other).max(axis=-1) < 0.01).mean() > 0.97

    frames = shifted(4, (70, 90))
    proxy = StepFields(*(np.full((3, 9, 12, 2), value, np.float32) for value in (-2.0, 1.5)), 8, "proxy")
    hops = make_hops("best", frames, np.arange(4), {"proxy": lambda *_: proxy})
    both = best_fields(frames, proxy)
    for t in range(3):
        assert near(both.to_previous[t], hops.to_previous(t).dense())
        assert near(both.to_next[t], hops.to_next(t).dense())
    left, right = (best_fields(frames, proxy, side=side) for side in ("left", "right"))
    assert near(left.to_previous, both.to_previous)
    assert near(right.to_next, both.to_next)
    assert not left.to_next.any()
    assert not right.to_previous.any()
    given = make_hops("best", frames, np.arange(4), {"best": lambda *_: both})
    assert np.array_equal(given.to_next(1).dense(), both.to_next[1])
