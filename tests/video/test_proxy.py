"""Proxies: known translations come back, references are the designed ones, and every size encodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.warp import compensated_residual
from evfr.errors import MissingExtraError
from evfr.video import _proxy, proxy_clip, proxy_key, proxy_step_fields
from evfr.video._luma import grey_of_rgb
from helpers.motion_clips import drawn_texture, textured_cells, translation


def inner(shape: tuple[int, int], margin: int = 2) -> np.ndarray:
    """Return the cells away from the border, where content has a past and a future."""
    inside = np.zeros(shape, bool)
    inside[margin:-margin, margin:-margin] = True
    return inside


@pytest.mark.parametrize("motion", [(0, 0), (3, 1), (-5, 2), (7, -6)])
def test_known_translations_come_back(motion: tuple[int, int]) -> None:
    pictures = translation(6, motion)
    fields = proxy_step_fields(pictures)
    assert (len(fields), fields.cell, fields.name) == (5, 8, "proxy crf 23")
    assert fields.has_previous is not None
    assert fields.has_next is not None
    for t in range(5):
        chosen = textured_cells(grey_of_rgb(pictures[t + 1]), 8) & inner(fields.has_previous[t].shape)
        errors = np.hypot(*(fields.to_previous[t] - motion)[chosen & fields.has_previous[t]].T)
        assert np.median(errors) <= 0.05
        assert (errors < 0.5).mean() > 0.9
        chosen = textured_cells(grey_of_rgb(pictures[t]), 8) & inner(fields.has_next[t].shape)
        errors = np.hypot(*(fields.to_next[t] + motion)[chosen & fields.has_next[t]].T)
        assert np.median(errors) <= 0.05
        assert (errors < 0.5).mean() > 0.9


def test_the_same_frames_give_the_same_fields() -> None:
    pictures = translation(4, (2, 3))
    one, other = proxy_step_fields(pictures), proxy_step_fields(pictures, np.arange(7, 11))
    for name in ("to_previous", "to_next", "has_previous", "has_next"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_time_reversed_frames_give_the_fields_reversed() -> None:
    pictures = translation(5, (4, -1))
    forward, backward = proxy_step_fields(pictures), proxy_step_fields(pictures[::-1])
    np.testing.assert_array_equal(forward.to_previous, backward.to_next[::-1])
    np.testing.assert_array_equal(forward.to_next, backward.to_previous[::-1])


@settings(max_examples=8, deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), count=st.integers(1, 3), b_count=st.integers(0, 2)
)
def test_every_size_encodes(height: int, width: int, count: int, b_count: int) -> None:
    pictures = [drawn_texture(height, width, seed=k) for k in range(count)]
    grid = (-(-height // 8), -(-width // 8))
    fields = proxy_step_fields(pictures)
    assert fields.to_previous.shape == (count - 1, *grid, 2)
    assert np.isfinite(fields.to_previous).all()
    clip = proxy_clip(pictures, b_count=b_count)
    assert (clip.height, clip.width, clip.grid, len(clip)) == (height, width, grid, count)


def test_across_a_cut_the_residual_gives_vectors_away() -> None:
    pictures = [*translation(3, (2, 0), seed=1), *translation(3, (2, 0), seed=2)]
    greys = [grey_of_rgb(picture) for picture in pictures]
    fields = proxy_step_fields(pictures)
    means = [
        compensated_residual(greys[t + 1], greys[t], fields.to_previous[t], cell=8).mean() for t in range(5)
    ]
    assert means[2] > 10 * max(means[:2] + means[3:])


@pytest.mark.parametrize(
    ("count", "b_count", "types", "order"),
    [
        (1, 3, "I", [0]),
        (2, 3, "IP", [0, 1]),
        (7, 0, "IPPPPPP", [0, 1, 2, 3, 4, 5, 6]),
        (7, 2, "IBBPBBP", [0, 3, 1, 2, 6, 4, 5]),
        (6, 3, "IBBBPP", [0, 4, 1, 2, 3, 5]),
        (8, 4, "IBBBBPBP", [0, 5, 1, 2, 3, 4, 7, 6]),
    ],
)
def test_the_pattern_of_pictures_and_their_references(
    count: int, b_count: int, types: str, order: list[int]
) -> None:
    clip = proxy_clip(translation(count, (2, 1)), b_count=b_count)
    assert clip.picture_types == types
    assert clip.decode_order.tolist() == order
    anchors = [t for t, kind in enumerate(types) if kind != "B"]
    for t, lists in enumerate(clip.fields):
        if lists is None:
            assert types[t] == "I"
            continue
        named = [set(np.unique(field.reference[field.has]).tolist()) for field in lists]
        before = max(anchor for anchor in anchors if anchor < t)
        assert named[0] <= {before}
        if types[t] == "P":
            assert named[1] == set()
        else:
            assert named[1] <= {min(anchor for anchor in anchors if anchor > t)}
            assert named[0] | named[1]


def test_vectors_of_b_pictures_span_their_distance() -> None:
    clip = proxy_clip(translation(9, (4, 2)), b_count=3)
    errors = []
    for t, lists in enumerate(clip.fields):
        for field in lists or ():
            has = field.has & inner(field.has.shape, 3)
            distance = t - field.reference[has]
            errors.append(np.hypot(*(field.flow[has] - distance[:, None] * np.array((4.0, 2.0))).T))
    assert np.median(np.concatenate(errors)) <= 0.05
    # Direct blocks of B pictures scale the vectors of other blocks, and round.
    assert np.quantile(np.concatenate(errors), 0.9) <= 0.5


def test_the_designed_reference_explains_best() -> None:
    """Uneven motion, so that no other picture shows the same: the designed one is best, or tied, nearly always."""
    world = drawn_texture(300, 400, seed=5)
    xs, ys = (20, 23, 31, 36, 48, 50, 60, 75, 77), (40, 44, 45, 52, 50, 61, 66, 64, 80)
    pictures = [np.ascontiguousarray(world[y : y + 128, x : x + 192]) for x, y in zip(xs, ys, strict=True)]
    greys = [grey_of_rgb(picture) for picture in pictures]
    clip = proxy_clip(pictures, b_count=2)
    best = total = 0
    for t, lists in enumerate(clip.fields):
        for field in lists or ():
            has = field.has & textured_cells(greys[t], 8) & inner(field.has.shape, 5)
            for i, j in np.argwhere(has):
                others = [k for k in range(len(greys)) if k != t]
                errors = {k: cell_error(greys[t], greys[k], i, j, field.flow[i, j]) for k in others}
                best += errors[int(field.reference[i, j])] <= min(errors.values()) + 0.5
                total += 1
    assert total > 500
    assert best / total >= 0.95


def cell_error(target: np.ndarray, picture: np.ndarray, i: int, j: int, flow: np.ndarray) -> float:
    """Return the error of an 8 px cell at the nearest whole pixel."""
    y, x = 8 * i, 8 * j
    v, u = y + round(float(flow[1])), x + round(float(flow[0]))
    if v < 0 or u < 0 or v + 8 > picture.shape[0] or u + 8 > picture.shape[1]:
        return float("inf")
    own, other = target[y : y + 8, x : x + 8].astype(int), picture[v : v + 8, u : u + 8].astype(int)
    return float(np.abs(own - other).mean())


def test_the_key_names_what_the_vectors_depend_on() -> None:
    key = proxy_key()
    assert key["crf"] == 23
    assert "ref=1" in str(key["settings"])
    assert proxy_key(crf=20) != key != proxy_key(b_count=3)
    assert proxy_key() == key


def test_what_cannot_be_encoded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((16, 24, 3), np.uint8)
    with pytest.raises(ValueError, match="a proxy needs at least one frame, got none"):
        proxy_step_fields([])
    with pytest.raises(ValueError, match=r"frame 1 must be \(H, W, 3\) uint8 RGB, got \(16, 24\) uint8"):
        proxy_step_fields([picture, picture[..., 0]])
    with pytest.raises(ValueError, match="frame 1 is 20x16, the first is 24x16"):
        proxy_step_fields([picture, picture[:, :20]])
    with pytest.raises(ValueError, match=r"crf must be 0\.\.51, got 52"):
        proxy_clip([picture], crf=52)
    with pytest.raises(ValueError, match=r"b_count must be 0\.\.16 B pictures between anchors, got 17"):
        proxy_clip([picture], b_count=17)
    monkeypatch.setattr(_proxy, "_ENCODER", "libx264-that-is-not-there")
    with pytest.raises(MissingExtraError, match=r"built without libx264-that.*or use the tier 'portable'"):
        proxy_step_fields([picture, picture])
