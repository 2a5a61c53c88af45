"""The papers' grids, by hand: which arms, which frames, which pairs."""

from __future__ import annotations

from typing import Any

import pytest

from evfr.experiments import Arm
from evfr.experiments._arms import evfr_arms, pertinence_arms, split_sampler, two_axis_arms

SAMPLERS = ("uniform", "random", "adaptive", "systematic")


def test_the_grid_of_66_cells() -> None:
    """S1, S2, S3, S5, S10 by four samplers, and uniform with copy-paste: 22 arms, 66 cells at three seeds."""
    arms, _ = evfr_arms((1, 2, 3, 5, 10), SAMPLERS, "uniform")
    assert len(arms) * 3 == 66
    assert [arm.name for arm in arms if arm.stride == 1] == ["S1", "S1 +cp"]
    assert {arm.name for arm in arms if arm.stride == 5} == {
        *(f"S5 {name}" for name in SAMPLERS),
        "S5 uniform +cp",
    }
    assert all((arm.copy_paste > 0) == arm.name.endswith("+cp") for arm in arms)
    # Nothing but copy-paste tells the two halves apart.
    assert {(arm.jitter, arm.flip) for arm in arms} == {("standard", 0.5)}
    assert {arm.signal for arm in arms if arm.sampler in ("adaptive", "systematic")} == {"flow"}


def test_every_published_pair_has_its_like_for_like_row() -> None:
    _, pairs = evfr_arms((1, 5), ("uniform",), "uniform")
    assert [(pair.arm, pair.baseline, pair.kind) for pair in pairs] == [
        ("S5 uniform", "S1", "like for like"),
        ("S5 uniform +cp", "S1 +cp", "like for like"),
        ("S5 uniform +cp", "S1", "as published"),
    ]


def test_copy_paste_for_another_first_sampler_keeps_its_full_set() -> None:
    arms, pairs = evfr_arms((1, 2), ("random", "uniform"), "uniform")
    names = [arm.name for arm in arms]
    assert "S1 +cp" in names and "S2 uniform +cp" in names and "S2 random +cp" not in names
    assert all(pair.baseline in names for pair in pairs)


def test_arms_without_copy_paste() -> None:
    arms, pairs = evfr_arms((1, 2), ("uniform",), "none")
    assert [arm.name for arm in arms] == ["S1", "S2 uniform"]
    assert [pair.kind for pair in pairs] == ["like for like"]


@pytest.mark.parametrize("strides", [(2, 3), (1, 1), (0, 1)])
def test_wrong_strides(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="strides must be different, 1 or more, with 1"):
        evfr_arms(strides, SAMPLERS, "none")


@pytest.mark.parametrize("samplers", [(), ("uniform", "uniform")])
def test_wrong_samplers(samplers: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="samplers must be different, and one at least"):
        evfr_arms((1, 2), samplers, "none")


def test_the_frames_of_pertinence() -> None:
    """The sets of Chataigner et al. 2019: 1, 20, 1by20, 400, and noised copies of frame 0 and of every 20th."""
    arms, pairs = pertinence_arms(20, 20)
    frames = {arm.name: arm.positions for arm in arms}
    assert frames["1"] == (0,)
    assert frames["20"] == tuple(range(20))
    assert frames["1by20"] == tuple(range(0, 400, 20))
    assert frames["400"] == tuple(range(400))
    assert frames["1x20"] == (0,) and frames["20x20"] == frames["1by20"]
    assert {arm.name: arm.copies for arm in arms} == {
        **dict.fromkeys(("1", "20", "1by20", "400"), 1),
        **dict.fromkeys(("1x20", "20x20"), 20),
    }
    assert {(pair.arm, pair.baseline) for pair in pairs if pair.kind == "as published"} == {
        ("20", "1"),
        ("400", "1by20"),
        ("1x20", "20"),
        ("20x20", "400"),
    }
    assert ("1by20", "20", "ours") in [(pair.arm, pair.baseline, pair.kind) for pair in pairs]


def test_pertinence_needs_two() -> None:
    with pytest.raises(ValueError, match="window and blocks must be 2 or more"):
        pertinence_arms(1, 20)


def test_two_axes_compare_at_equal_labels() -> None:
    arms, pairs = two_axis_arms((1, 2, 4), (5, 10, 20))
    assert len(arms) == 9
    found = {(pair.arm, pair.baseline) for pair in pairs}
    assert ("2 clips x 5", "1 clips x 10") in found and ("4 clips x 5", "2 clips x 10") in found
    labels = {arm.name: arm.clips * arm.per_clip for arm in arms}
    assert all(labels[a] == labels[b] for a, b in found)
    with pytest.raises(ValueError, match="clip_counts must be different numbers"):
        two_axis_arms((1, 1), (5,))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("uniform", ("uniform", "none")),
        ("adaptive", ("adaptive", "flow")),
        ("adaptive:ssim", ("adaptive", "ssim")),
        ("auto:feature", ("auto", "feature")),
        ("farthest", ("farthest", "none")),
    ],
)
def test_samplers_and_signals(text: str, found: tuple[str, str]) -> None:
    assert split_sampler(text) == found


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("best", "samplers must be of"),
        ("uniform:flow", "'uniform' takes no signal, got 'flow'"),
        ("adaptive:none", "takes one of flow, ssim, feature, difference, got 'none'"),
    ],
)
def test_wrong_sampler_words(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        split_sampler(text)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"name": " ", "stride": 1}, "needs a printable name"),
        ({"name": "a"}, "give exactly one of stride, n, per_clip and positions, got none"),
        ({"name": "a", "stride": 2, "n": 3}, "got stride, n"),
        ({"name": "a", "stride": 2, "positions": (1,)}, "got stride and positions"),
        ({"name": "a", "stride": -1}, "counts must be whole numbers of 0 or more"),
        (
            {"name": "a", "stride": 2, "iterations": 0.5},
            r"whole numbers of 0 or more, got \(2, 0, 0, 0, 0.5, 0\)",
        ),
        ({"name": "a", "positions": (1, 1)}, "positions must be 0 or more and increase"),
        ({"name": "a", "stride": 1, "signal": "sound"}, "signal must be one of"),
        ({"name": "a", "stride": 1, "sampler": "best"}, "sampler must be one of"),
        ({"name": "a", "stride": 1, "copies": 3}, "noised copies need copies and noise_window"),
        ({"name": "a", "stride": 1, "jitter": "some"}, "jitter must be one of"),
        ({"name": "a", "stride": 1, "copy_paste": 2.0}, "copy_paste must be a probability"),
    ],
)
def test_wrong_arms(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Arm(**values)
