"""What is compared: arms (how frames are chosen and trained on), pairs of arms, and the grids of the papers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from evfr.augmentation import Augmentation

__all__ = [
    "SCORES",
    "SIGNALS",
    "Arm",
    "Comparison",
    "evfr_arms",
    "pertinence_arms",
    "split_sampler",
    "two_axis_arms",
]

SIGNALS = ("none", "flow", "ssim", "feature", "difference")
"""What weighs the frames: nothing, OFVD, SSVD, FSD, plain difference."""
SCORES = ("mask_ap", "box_ap", "accuracy", "iou", "gscore", "mean_iou")
"""What arms can be compared by."""

Comparing = Literal["as published", "like for like", "ours"]


@dataclass(frozen=True, slots=True)
class Arm:
    """Say how one arm of an experiment chooses its frames and trains on them.

    Exactly one of ``stride``, ``n``, ``per_clip`` and ``positions`` says how many frames a clip gives.

    Attributes
    ----------
    name : str
        Its name in tables.
    stride : int
        One frame in so many of each clip, rounded up (S1, S2, ... of Yoon & Choi 2023).
    n : int
        Frames over all clips together, divided evenly.
    per_clip : int
        Frames of each clip.
    positions : tuple of int
        Places of each clip's frames, 0 its first labelled frame.
    clips : int
        Clips, drawn by seed, nested: more clips hold all of fewer; 0 is all.
    sampler : str
        A key of `evfr.sampling.SAMPLERS`.
    signal : str
        What weighs the frames, one of `SIGNALS`.
    copies : int
        Noised copies of each frame (Chataigner et al. 2019); 1 adds no noise.
    noise_window : int
        Successive frames whose variance over time is the noise's.
    jitter, flip, copy_paste
        As in `Augmentation`.
    iterations : int
        Of this arm; 0 is the plan's, equal for all.

    Raises
    ------
    ValueError
        If a value is out of range, or not exactly one says how many frames.
    """

    name: str
    stride: int = 0
    n: int = 0
    per_clip: int = 0
    positions: tuple[int, ...] = ()
    clips: int = 0
    sampler: str = "uniform"
    signal: str = "none"
    copies: int = 1
    noise_window: int = 0
    jitter: Literal["none", "standard", "large"] = "none"
    flip: float = 0.0
    copy_paste: float = 0.0
    iterations: int = 0

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.name.isprintable():
            raise ValueError(f"an arm needs a printable name, got {self.name!r}")
        counts = {"stride": self.stride, "n": self.n, "per_clip": self.per_clip}
        given = [name for name, value in counts.items() if value]
        numbers = (*counts.values(), self.clips, self.iterations, self.noise_window)
        if any(type(number) is not int for number in numbers) or min(numbers) < 0:
            raise ValueError(f"arm {self.name!r}: counts must be whole numbers of 0 or more, got {numbers}")
        if len(given) + bool(self.positions) != 1:
            raise ValueError(
                f"arm {self.name!r}: give exactly one of stride, n, per_clip and positions, "
                f"got {', '.join(given) or 'none'}{' and positions' if self.positions else ''}"
            )
        if any(b <= a for a, b in pairwise(self.positions)) or (self.positions and self.positions[0] < 0):
            raise ValueError(f"arm {self.name!r}: positions must be 0 or more and increase")
        if self.signal not in SIGNALS:
            raise ValueError(
                f"arm {self.name!r}: signal must be one of {', '.join(SIGNALS)}, got {self.signal!r}"
            )
        if self.copies < 1 or (self.copies > 1) != (self.noise_window > 1):
            raise ValueError(
                f"arm {self.name!r}: noised copies need copies and noise_window of 2 or more, got {self.copies} "
                f"and {self.noise_window}"
            )
        from evfr.sampling import SAMPLERS

        if self.sampler not in SAMPLERS:
            raise ValueError(
                f"arm {self.name!r}: sampler must be one of {', '.join(SAMPLERS)}, got {self.sampler!r}"
            )
        _ = self.augmentation

    @property
    def augmentation(self) -> Augmentation:
        """What is done to training pictures."""
        return Augmentation(jitter=self.jitter, flip=self.flip, copy_paste=self.copy_paste)

    @property
    def is_drawn(self) -> bool:
        """Whether the frames depend on the seed."""
        return self.clips > 0 or not (self.positions or self.sampler == "uniform")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Name two arms whose scores are compared.

    Attributes
    ----------
    arm, baseline : str
        Names of arms.
    kind : {"as published", "like for like", "ours"}
        The paper's own pair, the pair with the same augmentation on both sides, or one that we add.
    """

    arm: str
    baseline: str
    kind: Comparing = "like for like"


def split_sampler(text: str) -> tuple[str, str]:
    """Read ``SAMPLER`` or ``SAMPLER:SIGNAL``.

    Parameters
    ----------
    text : str
        For example ``uniform``, ``adaptive:ssim``.

    Returns
    -------
    (str, str)
        Sampler and signal: ``flow`` where a sampler that weighs frames has none, ``none`` for all others.

    Raises
    ------
    ValueError
        If either is unknown.
    """
    from evfr.sampling import SAMPLERS, takes_embeddings

    sampler, _, signal = text.partition(":")
    if sampler not in SAMPLERS:
        raise ValueError(f"samplers must be of {', '.join(SAMPLERS)}, got {sampler!r}")
    weighs = sampler not in ("uniform", "random") and not takes_embeddings(SAMPLERS[sampler])
    if signal and (not weighs or signal not in SIGNALS[1:]):
        allowed = f"takes one of {', '.join(SIGNALS[1:])}" if weighs else "takes no signal"
        raise ValueError(f"sampler {sampler!r} {allowed}, got {signal!r}")
    return sampler, signal or ("flow" if weighs else "none")


def evfr_arms(
    strides: Sequence[int],
    samplers: Sequence[str],
    copy_paste: Literal["none", "uniform", "all"],
    *,
    is_augmented: bool = True,
) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    """Return the grid of Yoon & Choi 2023: reduced datasets S1, S2, ... by samplers, with copy-paste and without.

    Parameters
    ----------
    strides : sequence of int
        1 must be among them: it is the full set.
    samplers : sequence of str
        As for `split_sampler`.
    copy_paste : {"none", "uniform", "all"}
        Which samplers are also trained with copy-paste.
    is_augmented : bool
        Whether pictures are jittered and mirrored in all arms; not where the model takes them as they are.

    Returns
    -------
    (tuple of Arm, tuple of Comparison)
        Each arm is compared with S1 as published (without copy-paste) and like for like (S1 trained the same way).

    Raises
    ------
    ValueError
        If there is no S1, or something stands twice.
    """
    if 1 not in strides or len(set(strides)) < len(strides) or min(strides) < 1:
        raise ValueError(f"strides must be different, 1 or more, with 1 (the full set), got {list(strides)}")
    if len(set(samplers)) < len(samplers) or not samplers:
        raise ValueError(f"samplers must be different, and one at least, got {list(samplers)}")
    arms, comparisons = [], []
    for is_pasted in (False, True):
        suffix = " +cp" if is_pasted else ""
        for stride in sorted(strides):
            for text in samplers:
                sampler, signal = split_sampler(text)
                if is_pasted and (copy_paste == "none" or (copy_paste == "uniform" and text != "uniform")):
                    continue
                if stride == 1 and text != samplers[0]:
                    continue  # all frames are all frames
                name = f"S1{suffix}" if stride == 1 else f"S{stride} {text}{suffix}"
                arms.append(
                    Arm(
                        name,
                        stride=stride,
                        sampler="uniform" if stride == 1 else sampler,
                        signal="none" if stride == 1 else signal,
                        jitter="standard" if is_augmented else "none",
                        flip=0.5 if is_augmented else 0.0,
                        copy_paste=0.5 if is_pasted else 0.0,
                    )
                )
    names = [arm.name for arm in arms]
    if (
        copy_paste != "none" and "S1 +cp" not in names
    ):  # the like-for-like row needs the full set with copy-paste
        whole = next(arm for arm in arms if arm.name == "S1")
        arms.append(replace(whole, name="S1 +cp", copy_paste=0.5))
    for arm in arms:
        if arm.name in ("S1", "S1 +cp"):
            continue
        is_pasted = arm.copy_paste > 0
        comparisons.append(Comparison(arm.name, "S1 +cp" if is_pasted else "S1", "like for like"))
        if is_pasted:
            comparisons.append(Comparison(arm.name, "S1", "as published"))
    return tuple(arms), tuple(comparisons)


def pertinence_arms(window: int, blocks: int) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    """Return the arms of Chataigner et al. 2019: do more frames of the same video help?

    Parameters
    ----------
    window : int
        Successive frames of a block, 2 or more (20 in the paper).
    blocks : int
        Blocks, 2 or more (20 in the paper): the full stretch has ``window * blocks`` frames of each video.

    Returns
    -------
    (tuple of Arm, tuple of Comparison)
        With the paper's window and blocks: ``1``, ``20``, ``1by20``, ``400``, ``1x20``, ``20x20``, and ours
        ``1by20`` against ``20``.

    Raises
    ------
    ValueError
        If a number is too small.
    """
    if window < 2 or blocks < 2:
        raise ValueError(f"window and blocks must be 2 or more, got {window} and {blocks}")
    length = window * blocks
    firsts = tuple(range(0, length, window))
    one, few, spaced = "1", str(window), f"1by{window}"
    whole, noised, all_noised = str(length), f"1x{window}", f"{blocks}x{window}"
    arms = (
        Arm(one, positions=(0,)),
        Arm(few, positions=tuple(range(window))),
        Arm(spaced, positions=firsts),
        Arm(whole, positions=tuple(range(length))),
        Arm(noised, positions=(0,), copies=window, noise_window=window),
        Arm(all_noised, positions=firsts, copies=window, noise_window=window),
    )
    comparisons = (
        Comparison(few, one, "as published"),
        Comparison(whole, spaced, "as published"),
        Comparison(noised, few, "as published"),
        Comparison(all_noised, whole, "as published"),
        Comparison(noised, one, "ours"),
        *((Comparison(spaced, few, "ours"),) if window == blocks else ()),
    )
    return arms, comparisons


def two_axis_arms(
    clip_counts: Sequence[int], frame_counts: Sequence[int]
) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    """Return a grid of clips by frames of each clip (ours): are labels better spent on more clips, or within a clip?

    Parameters
    ----------
    clip_counts, frame_counts : sequence of int
        Different, 1 or more.

    Returns
    -------
    (tuple of Arm, tuple of Comparison)
        Arms of equal labels are compared, more clips against fewer.

    Raises
    ------
    ValueError
        If a number stands twice or is below 1.
    """
    for name, counts in (("clip_counts", clip_counts), ("frame_counts", frame_counts)):
        if len(set(counts)) < len(counts) or not counts or min(counts) < 1:
            raise ValueError(f"{name} must be different numbers of 1 or more, got {list(counts)}")
    arms = tuple(
        Arm(f"{clips} clips x {frames}", per_clip=frames, clips=clips)
        for clips in sorted(clip_counts)
        for frames in sorted(frame_counts)
    )
    return arms, tuple(_equal_labels(arms))


def _equal_labels(arms: Sequence[Arm]) -> Iterator[Comparison]:
    by_labels: dict[int, list[Arm]] = {}
    for arm in arms:
        by_labels.setdefault(arm.clips * arm.per_clip, []).append(arm)
    for group in by_labels.values():
        for fewer, more in pairwise(group):
            yield Comparison(more.name, fewer.name, "like for like")
