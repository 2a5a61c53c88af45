"""Which frames an arm trains on: the samplers of `evfr.sampling`, on the labelled frames of each clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.rng import generator, spawn_seed
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip
    from evfr.experiments._arms import Arm

__all__ = ["ClipMeasures", "choose", "cut_clips", "instance_counts"]


class ClipMeasures:
    """Measure clips when a sampler asks, once: weights by signal, thumbnails as embeddings.

    Parameters
    ----------
    clips : sequence of LabelledClip
        Their frames are compared in order, at the size they have.
    """

    def __init__(self, clips: Sequence[LabelledClip]) -> None:
        self._clips = clips
        self._known: dict[tuple[int, str], NDArray[Any]] = {}

    def weights(self, row: int, signal: str) -> NDArray[np.float64]:
        """Return the frame variance index of one clip, (F,) float64; ones for the signal ``none``."""
        from evfr.signals import fvi

        count = len(self._clips[row])
        if signal == "none" or count < 2:
            return np.ones(count)
        return self._once(row, signal, lambda: fvi(_dissimilarities(self._clips[row], signal)).weights)

    def embeddings(self, row: int) -> NDArray[np.float32]:
        """Return grey thumbnails of one clip, (F, 256) float32."""
        from evfr.embeddings import make_embedder

        return self._once(row, "thumbnail", lambda: make_embedder("thumbnail")(self._clips[row].images))

    def _once(self, row: int, name: str, measure: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        if (row, name) not in self._known:
            self._known[row, name] = measure()
        return self._known[row, name]


def choose(
    arm: Arm, clips: Sequence[LabelledClip], measures: ClipMeasures, seed: int
) -> dict[int, NDArray[np.int64]]:
    """Choose the frames of one arm.

    Parameters
    ----------
    arm : Arm
        How.
    clips : sequence of LabelledClip
        All that may be trained on.
    measures : ClipMeasures
        Of the same clips.
    seed : int
        Of the cell; an arm that draws nothing gives the same frames for every seed.

    Returns
    -------
    dict of int to (n,) int64
        Row of the clip, then places in it, strictly increasing; clips without a frame are left out.

    Raises
    ------
    InputError
        If the clips do not have the frames that the arm asks for.
    """
    rows = list(range(len(clips)))
    if arm.clips:
        if arm.clips > len(clips):
            raise InputError(
                f"arm {arm.name!r} wants {arm.clips} clips and there are {len(clips)} to train on"
            )
        rows = generator(spawn_seed(seed, "clips")).permutation(len(clips))[: arm.clips].tolist()
    counts = _counts(arm, [len(clips[row]) for row in rows])
    found = {}
    for row, n in sorted(zip(rows, counts, strict=True)):
        clip = clips[row]
        if arm.positions:
            if arm.positions[-1] + max(arm.noise_window, 1) > len(clip):
                raise InputError(
                    f"arm {arm.name!r} wants {arm.positions[-1] + max(arm.noise_window, 1)} labelled frames of "
                    f"each clip, and {clip.video_id} has {len(clip)}"
                )
            found[row] = np.array(arm.positions, np.int64)
        elif n > len(clip):
            raise InputError(
                f"arm {arm.name!r} wants {n} labelled frames of {clip.video_id}, which has {len(clip)}"
            )
        elif n:
            found[row] = _sampled(arm, row, n, measures, spawn_seed(seed, "subset", clip.video_id))
    if not found:
        raise InputError(f"arm {arm.name!r} chooses no frame")
    return found


def cut_clips(
    arm: Arm, clips: Sequence[LabelledClip], chosen: dict[int, NDArray[np.int64]]
) -> list[LabelledClip]:
    """Return the clips with an arm's frames only, and the noise of its copies.

    Parameters
    ----------
    arm : Arm
        Whose.
    clips : sequence of LabelledClip
        All.
    chosen : dict of int to (n,) int64
        Of `choose`.

    Returns
    -------
    list of LabelledClip
        One for each chosen clip, in their order.
    """
    from evfr.augmentation import temporal_std

    cut = []
    for row, places in sorted(chosen.items()):
        part = clips[row].take(places)
        if arm.copies > 1:
            stretches = [clips[row].images[place : place + arm.noise_window] for place in places.tolist()]
            part = replace(
                part,
                noise_std=np.stack([temporal_std(stretch) for stretch in stretches]),
                copies=arm.copies,
            )
        cut.append(part)
    return cut


def instance_counts(
    clips: Sequence[LabelledClip], chosen: dict[int, NDArray[np.int64]]
) -> dict[str, dict[str, int]]:
    """Count the objects of each class in chosen frames.

    Parameters
    ----------
    clips : sequence of LabelledClip
        All.
    chosen : dict of int to (n,) int64
        Of `choose`.

    Returns
    -------
    dict of str to dict of str to int
        Video, then class.
    """
    counts = {}
    for row, places in chosen.items():
        category = clips[row].category[places]
        counts[clips[row].video_id] = {
            name: int((category == number).sum()) for number, name in enumerate(clips[row].classes)
        }
    return counts


def _counts(arm: Arm, lengths: Sequence[int]) -> list[int]:
    if arm.stride:
        return [-(-length // arm.stride) for length in lengths]
    if arm.per_clip:
        return [arm.per_clip] * len(lengths)
    if arm.n:
        from evfr.sampling import allocate

        if arm.n > sum(lengths):
            raise InputError(
                f"arm {arm.name!r} wants {arm.n} frames and there are {sum(lengths)} labelled ones"
            )
        return [int(count) for count in allocate(arm.n, lengths, maximum=lengths)]
    return [len(arm.positions)] * len(lengths)


def _sampled(arm: Arm, row: int, n: int, measures: ClipMeasures, seed: int) -> NDArray[np.int64]:
    from evfr.sampling import SAMPLERS, takes_embeddings

    sampler = SAMPLERS[arm.sampler]
    if takes_embeddings(sampler):
        return sampler(measures.embeddings(row), n, seed=seed).indices
    weights = measures.weights(row, arm.signal)
    if arm.sampler == "uniform" and arm.stride:
        return sampler(weights, n, seed=seed, stride=arm.stride).indices
    return sampler(weights, n, seed=seed).indices


def _dissimilarities(clip: LabelledClip, signal: str) -> NDArray[np.float64]:
    import cv2

    from evfr.embeddings import make_embedder
    from evfr.signals import difference, feature_dissimilarity, optical_flow_dissimilarity, ssim_dissimilarity

    compare: dict[str, Callable[[Any, Any], float]] = {
        "flow": optical_flow_dissimilarity,
        "ssim": lambda a, b: ssim_dissimilarity(a, b, window="block"),
        "difference": difference,
        "feature": feature_dissimilarity,
    }
    if signal == "feature":
        prepared: Any = make_embedder("hog")(clip.images)
    else:
        prepared = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in clip.images]
    values = np.full(len(clip), np.nan)
    for t in range(len(clip) - 1):
        values[t] = compare[signal](prepared[t], prepared[t + 1])
    return values
