"""Sessions: what they are shown and in which order, how soft masks are fused, and what happens when one fails."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.errors import InputError, MissingExtraError
from evfr.propagation import CarryEnd, Interval
from evfr.propagation._session import open_session, session
from evfr.propagation._session_cutie import _default_network, cutie_session

H, W = 12, 16


def block(top: int, left: int, height: int = 4, width: int = 4) -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def labels(
    frame: int, masks: Mapping[int, np.ndarray | None], boxes: Mapping[int, Any] | None = None
) -> FrameLabels:
    tracks = sorted(masks)
    return FrameLabels(
        frame,
        np.array(tracks, np.int64),
        np.array([100 + track for track in tracks], np.int64),
        np.array([(boxes or {}).get(track, [np.nan] * 4) for track in tracks], np.float64).reshape(-1, 4),
        tuple(None if masks[track] is None else Rle.from_mask(masks[track]) for track in tracks),
    )


def interval(count: int, left: Any = None, right: Any = None, first: int = 10, **changes: Any) -> Interval:
    frames = [np.full((H, W, 3), 10 * t, np.uint8) for t in range(count)]
    index = np.arange(first, first + count, dtype=np.int64)
    return Interval(
        frames,
        index,
        left if left is None else labels(first, **left) if "masks" in left else labels(first, left),
        right if right is None else labels(first + count - 1, right),
        **changes,
    )


class Fake:
    """A session whose answers come from a function of (track, frame, first labelled frame)."""

    def __init__(self, log: list[Any], kind: str, answer: Callable[..., Any]) -> None:
        self.kind = kind
        self.log = log
        self.answer = answer
        self.keys: dict[int, int] = {}

    def add_key(self, frame_index: int, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        assert image.shape == (H, W, 3) and all(mask.dtype == bool for mask in masks.values())
        self.log.append(("key", frame_index, tuple(masks)))
        for track in masks:
            self.keys.setdefault(track, frame_index)

    def step(self, frame_index: int, image: np.ndarray) -> dict[int, np.ndarray]:
        assert image[0, 0, 0] == 10 * (frame_index - 10)
        self.log.append(("step", frame_index))
        found = {track: self.answer(track, frame_index, key) for track, key in self.keys.items()}
        return {track: soft for track, soft in found.items() if soft is not None}

    def close(self) -> None:
        self.log.append("close")


def fake(kind: str, answer: Callable[..., Any]) -> tuple[Callable[[], Any], list[Any]]:
    log: list[Any] = []
    return lambda: Fake(log, kind, answer), log


def soft(mask: np.ndarray, inside: float, outside: float = 0.0) -> np.ndarray:
    return np.where(mask, np.float32(inside), np.float32(outside)).astype(np.float32)


def test_multi_key_sees_all_labels_first_and_runs_once() -> None:
    maker, log = fake("multi_key", lambda track, frame, key: soft(block(0, 4 * (track - 1)), 0.9))
    given_ = interval(5, {1: block(0, 0), 2: block(0, 4)}, {1: block(2, 0), 2: block(2, 4)})
    carried = session(given_, session=maker)
    assert log[1:] == [
        ("key", 10, (1, 2)), ("key", 14, (1, 2)), ("step", 11), ("step", 12), ("step", 13), "close"
    ]  # fmt: skip
    assert carried.masks[0] == given_.left.masks and carried.masks[0][0] is given_.left.masks[0]
    assert carried.masks[4][1] is given_.right.masks[1]
    assert all(
        carried.masks[t] == (Rle.from_mask(block(0, 0)), Rle.from_mask(block(0, 4))) for t in (1, 2, 3)
    )
    assert carried.track_ids.tolist() == [1, 2] and carried.category_ids.tolist() == [101, 102]
    np.testing.assert_allclose(carried.score[1:4], 0.9, atol=1e-3)
    assert carried.ends == ()


def test_multi_key_runs_backward_for_tracks_of_the_right_end_only() -> None:
    maker, log = fake("multi_key", lambda track, frame, key: soft(block(0, 4 * (track - 1)), 0.9))
    carried = session(interval(4, {1: block(0, 0)}, {1: block(0, 0), 2: block(0, 4)}), session=maker)
    assert log[1:] == [
        ("key", 10, (1,)), ("key", 13, (1,)), ("step", 11), ("step", 12), "close",
        ("key", 13, (2,)), ("step", 12), ("step", 11), "close",
    ]  # fmt: skip
    assert carried.masks[1][1] == Rle.from_mask(block(0, 4))
    assert carried.masks[0][1] is None


def test_pairwise_fuses_both_directions_by_distance() -> None:
    """From the left the object is at column 0, from the right at column 8: the nearer label has more weight."""
    there = {10: block(0, 0), 14: block(0, 8)}
    maker, log = fake("pairwise", lambda track, frame, key: soft(there[key], 1.0))
    carried = session(interval(5, {1: there[10]}, {1: there[14]}), session=maker)
    assert log[1:] == [
        ("key", 10, (1,)), ("step", 11), ("step", 12), ("step", 13), "close",
        ("key", 14, (1,)), ("step", 13), ("step", 12), ("step", 11), "close",
    ]  # fmt: skip
    # Weights of the left one: 3/4, 2/4, 1/4; at one half the background is as probable, and comes first.
    assert carried.masks[1][0] == Rle.from_mask(there[10])
    assert carried.masks[2][0] is None
    assert carried.masks[3][0] == Rle.from_mask(there[14])
    np.testing.assert_allclose(carried.score[[1, 3], 0], 0.75)
    np.testing.assert_array_equal(carried.evidence.agreement[[1, 3], 0], 0)
    np.testing.assert_array_equal(carried.evidence.distance[:, 0], [0, 1, np.nan, 1, 0])


def test_the_most_probable_takes_the_pixel() -> None:
    """(1 - p) of both multiply to the background: .45 and .45 leave .3025 to it, .3 and .3 leave .49."""
    table = {1: (0.6, 0.45, 0.3), 2: (0.8, 0.44, 0.3)}

    def answer(track: int, frame: int, key: int) -> np.ndarray:
        out = np.zeros((H, W), np.float32)
        for place, value in enumerate(table[track]):
            out[:, place] = value
        return out

    maker, _ = fake("pairwise", answer)
    carried = session(interval(2, {1: block(0, 0), 2: block(0, 4)}), session=maker)
    first, second = (mask.to_mask() for mask in carried.masks[1])
    assert first[:, 1].all() and first.sum() == H
    assert second[:, 0].all() and second.sum() == H


def test_nothing_is_carried_across_a_cut_or_damage() -> None:
    for kind in ("multi_key", "pairwise"):
        maker, log = fake(kind, lambda track, frame, key: soft(block(0, 0), 0.9))
        carried = session(interval(6, {1: block(0, 0)}, {1: block(0, 0)}, cuts=(2, 4)), session=maker)
        assert [entry for entry in log if entry != "close"] == [
            ("key", 10, (1,)), ("step", 11), ("key", 15, (1,)), ("step", 14)
        ]  # fmt: skip
        assert [row[0] is None for row in carried.masks] == [False, False, True, True, False, False]
        assert carried.ends == (CarryEnd(1, 12, "left", "cut"), CarryEnd(1, 13, "right", "cut"))
    usable = np.array([1, 1, 0, 1, 1], bool)
    maker, log = fake("pairwise", lambda track, frame, key: soft(block(0, 0), 0.9))
    carried = session(interval(5, {1: block(0, 0)}, {1: block(0, 0)}, is_usable=usable), session=maker)
    assert ("step", 12) not in log
    assert {end.reason for end in carried.ends} == {"damaged"}


def test_a_failing_object_leaves_the_others() -> None:
    def answer(track: int, frame: int, key: int) -> np.ndarray:
        if track == 2 and frame >= 12:
            raise RuntimeError("boom\nand more")
        return soft(block(0, 4 * (track - 1)), 0.9)

    maker, _ = fake("multi_key", answer)
    carried = session(interval(5, {1: block(0, 0), 2: block(0, 4), 3: block(0, 8)}), session=maker)
    assert all(carried.masks[t][k] is not None for t in range(5) for k in (0, 2))
    assert [row[1] is not None for row in carried.masks] == [True, True, False, False, False]
    assert carried.ends == (CarryEnd(2, 12, "left", "failed: RuntimeError: boom"),)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (np.zeros((H, W + 1), np.float32), "ValueError: the soft mask of track 1 must be"),
        (np.full((H, W), np.nan, np.float32), r"ValueError: the soft mask of track 1 must lie in \[0, 1\]"),
        (np.full((H, W), 1.5, np.float32), r"ValueError: the soft mask of track 1 must lie in \[0, 1\]"),
    ],
)
def test_a_session_that_breaks_the_contract_is_named(answer: np.ndarray, text: str) -> None:
    maker, _ = fake("pairwise", lambda *_: answer)
    (end,) = session(interval(3, {1: block(0, 0)}), session=maker).ends
    assert re.match(f"failed: {text}", end.reason)


def test_a_lost_object_ends_where_it_is_last_seen() -> None:
    gone = fake("pairwise", lambda track, frame, key: None if frame >= 13 else soft(block(0, 0), 0.9))[0]
    carried = session(interval(6, {1: block(0, 0)}), session=gone)
    assert [row[0] is None for row in carried.masks] == [False, False, False, True, True, True]
    assert carried.ends == (CarryEnd(1, 13, "left", "lost"),)
    back = fake("pairwise", lambda track, frame, key: None if frame == 12 else soft(block(0, 0), 0.9))[0]
    carried = session(interval(6, {1: block(0, 0)}), session=back)
    assert [row[0] is None for row in carried.masks] == [False, False, True, False, False, False]
    assert carried.ends == ()


def test_boxes_are_carried_as_filled_boxes() -> None:
    seen = {}

    class Boxes(Fake):
        def add_key(self, frame_index: int, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
            seen.update(masks)
            super().add_key(frame_index, image, masks)

    log: list[Any] = []
    given_ = interval(3, {"masks": {1: None, 2: block(6, 6)}, "boxes": {1: [2.0, 3.0, 6.0, 8.0]}})
    carried = session(
        given_,
        session=lambda: Boxes(log, "pairwise", lambda track, frame, key: soft(block(4, 4 * track), 0.9)),
    )
    assert seen[1][3:8, 2:6].all() and seen[1].sum() == 20
    assert [row[0] for row in carried.masks] == [None] * 3
    assert carried.boxes_xyxy[2, 0].tolist() == [4, 4, 8, 8]
    assert carried.masks[2][1] == Rle.from_mask(block(4, 8))


def test_an_empty_label_says_absent() -> None:
    maker, log = fake("multi_key", lambda track, frame, key: soft(block(0, 0), 0.9))
    carried = session(interval(4, {1: np.zeros((H, W), bool)}, {1: block(0, 0)}), session=maker)
    assert log[1:] == [("key", 13, (1,)), ("step", 12), ("step", 11), "close"]
    assert carried.masks[1][0] is not None and carried.masks[0][0].is_empty


def test_growth_is_measured_towards_the_nearest_label() -> None:
    area = {11: 4, 12: 2, 13: 4}
    maker, _ = fake("multi_key", lambda track, frame, key: soft(block(0, 0, 4, area[frame]), 0.9))
    carried = session(interval(5, {1: block(0, 0)}, {1: block(0, 0, 2, 2)}), session=maker)
    np.testing.assert_allclose(
        carried.evidence.area_jump[:, 0], [np.nan, 0, np.log(2), np.log(4), np.nan], atol=1e-12
    )
    area |= {14: 1}
    alone = session(interval(5, {1: block(0, 0)}), session=maker)
    np.testing.assert_allclose(
        alone.evidence.area_jump[:, 0], [np.nan, 0, np.log(2), np.log(2), np.log(4)], atol=1e-12
    )
    cut = session(interval(5, {1: block(0, 0)}, {1: block(0, 0, 2, 2)}, cuts=(1,)), session=maker)
    np.testing.assert_allclose(
        cut.evidence.area_jump[:, 0], [np.nan, np.log(2), np.log(2), np.log(4), np.nan], atol=1e-12
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 7))
def test_ids_and_time_do_not_matter(seed: int, count: int) -> None:
    """Other ids give the same masks under their new names; played backwards the result is the same backwards."""
    rng = np.random.default_rng(seed)
    table = rng.random((2, 2, count, H, W)).astype(np.float32)
    ends = [rng.random((H, W)) < 0.3 for _ in range(4)]

    def carry(names: tuple[int, int], is_reversed: bool) -> list[list[Rle | None]]:
        def answer(track: int, frame: int, key: int) -> np.ndarray:
            t, side = frame - 10, int(key != 10)
            if is_reversed:
                t, side = count - 1 - t, 1 - side
            return table[names.index(track), side, t]

        left, right = dict(zip(names, ends[:2], strict=True)), dict(zip(names, ends[2:], strict=True))
        first, last = (right, left) if is_reversed else (left, right)
        carried = session(interval(count, first, last), session=fake("pairwise", answer)[0])
        order = np.argsort(names)
        rows = [[row[int(np.flatnonzero(order == k)[0])] for k in range(2)] for row in carried.masks]
        return rows[::-1] if is_reversed else rows

    plain = carry((1, 2), False)
    assert carry((9, 4), False) == plain
    assert carry((1, 2), True) == plain


def test_wrong_sessions_are_refused() -> None:
    with pytest.raises(ValueError, match="the method 'session' needs session: a folder with the weights"):
        session(interval(3, {1: block(0, 0)}))
    with pytest.raises(ValueError, match="kind of a session must be 'multi_key' or 'pairwise', got 'other'"):
        session(interval(3, {1: block(0, 0)}), session=fake("other", lambda *_: None)[0])


class FakeCore:
    """Mimics Cutie's InferenceCore: channel 0 of what step returns is the background."""

    def __init__(self, network: Any, cfg: Any) -> None:
        assert cfg is network.cfg
        self.calls: list[Any] = network.calls
        self.objects: list[int] = []

    def step(self, image: Any, mask: Any = None, objects: Any = None) -> Any:
        import torch

        assert image.shape == (3, H, W) and image.dtype == torch.float32 and 0 <= float(image.max()) <= 1
        if mask is not None:
            assert objects == sorted(objects) and set(mask.unique().tolist()) <= {0, *objects}
            self.objects = list(objects)
            self.last = torch.stack([mask == number for number in objects]).float()
        self.calls.append((None if mask is None else mask.numpy().copy(), objects))
        moved = torch.roll(self.last, 1, dims=2)
        self.last = moved if mask is None else self.last
        return torch.cat([1 - self.last.sum(0, keepdim=True), self.last])


@pytest.fixture
def cutie(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a fake package of Cutie's form where imports look, and return a network for it."""
    torch = pytest.importorskip("torch")
    core = ModuleType("cutie.inference.inference_core")
    core.InferenceCore = FakeCore  # type: ignore[attr-defined]
    default = ModuleType("cutie.utils.get_default_model")
    for name in ("cutie", "cutie.inference", "cutie.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "cutie.inference.inference_core", core)
    monkeypatch.setitem(sys.modules, "cutie.utils.get_default_model", default)
    _default_network.cache_clear()
    return SimpleNamespace(cfg=object(), calls=[], parameters=lambda: iter([torch.zeros(1)]))


def test_cutie_is_driven_one_labelled_frame_at_a_time(cutie: Any) -> None:
    given_ = interval(4, {5: block(0, 0), 9: block(6, 0)})
    carried = session(given_, session=cutie_session(cutie))
    masks = [entry for entry, _ in cutie.calls if entry is not None]
    assert len(masks) == 1
    assert np.array_equal(masks[0] == 1, block(0, 0)) and np.array_equal(masks[0] == 2, block(6, 0))
    for t in (1, 2, 3):
        assert carried.masks[t] == (Rle.from_mask(block(0, t)), Rle.from_mask(block(6, t)))
    np.testing.assert_allclose(carried.score[1:], 1)


def test_cutie_sees_the_smaller_of_overlapping_labels_in_front(cutie: Any) -> None:
    masks = {1: block(0, 0), 2: block(0, 0, 8, 8), 3: block(0, 0, 4, 4)}
    core = cutie_session(cutie)()
    core.add_key(0, np.zeros((H, W, 3), np.uint8), masks)
    (seen, objects) = cutie.calls[-1]
    # Tracks 1 and 3 cover the same pixels: the one drawn last stays, the other has no pixel and is left out.
    assert objects == [2, 3] and (seen[:4, :4] == 3).all() and (seen[4:8, 4:8] == 2).all()
    assert set(core.step(1, np.zeros((H, W, 3), np.uint8))) == {2, 3}


def test_cutie_that_answers_otherwise_is_refused(cutie: Any) -> None:
    core = cutie_session(cutie)()
    core.add_key(0, np.zeros((H, W, 3), np.uint8), {1: block(0, 0)})
    core._tracks.append(2)
    with pytest.raises(ValueError, match="Cutie returned 1 objects for 2"):
        core.step(1, np.zeros((H, W, 3), np.uint8))


def test_cutie_is_never_downloaded(cutie: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        InputError, match=r"weights are not at .*cutie-base-mega.pth; download them with its own"
    ):
        open_session("cutie")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "cutie-base-mega.pth").touch()
    with pytest.raises(InputError, match="Cutie's default model needs a CUDA device"):
        open_session("cutie", device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    made = SimpleNamespace(**vars(cutie), to=lambda place: made)
    sys.modules["cutie.utils.get_default_model"].get_default_model = lambda: made
    assert open_session("cutie")().kind == "pairwise"


def test_cutie_that_is_not_installed_is_told() -> None:
    pytest.importorskip("torch")
    with pytest.raises(MissingExtraError, match="Cutie is not installed; follow https://"):
        open_session("cutie")


@pytest.mark.parametrize("kind", ["multi_key", "pairwise"])
def test_stretches_without_a_frame_to_carry_to_ask_nothing(kind: str) -> None:
    maker, log = fake(kind, lambda *_: soft(block(0, 0), 0.9))
    one = session(interval(1, {1: block(0, 0)}), session=maker)
    two = session(interval(2, {1: block(0, 0)}, {1: block(1, 1)}), session=maker)
    assert set(log) == {"close"}
    assert [len(one.masks), len(two.masks)] == [1, 2] and one.ends == two.ends == ()
    assert two.masks[1][0] == Rle.from_mask(block(1, 1))


def test_no_object_is_no_work() -> None:
    maker, log = fake("pairwise", lambda *_: None)
    carried = session(interval(4, {}, {}), session=maker)
    assert carried.track_ids.tolist() == [] and set(log) == {"close"}
