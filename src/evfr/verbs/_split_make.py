"""Put labelled frames on two sides: whole videos, blocks of time with a gap, or (to see what leaks) single frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evfr.verbs._split_value import By, Split, runs_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import VideoAnnotations

__all__ = ["LabelledFrames", "by_frame", "by_time", "by_video", "labelled_frames", "nearest_apart"]

_TRIES = 8
_ALL_UP_TO = 12
"""So many videos are split in every way there is; of more, some ways are tried."""
_GRID = 40
_AS_GOOD = 0.01
"""Block places whose price is this near to the best one's count as equal, and the seed chooses among them."""
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrames:
    """Hold the labelled frames of one video.

    Attributes
    ----------
    video_id : str
        The video.
    frame_index : (F,) int64
        Its labelled frames.
    objects : (F, C) int64
        Objects of each class on each of them, crowds left out.
    """

    video_id: str
    frame_index: NDArray[np.int64]
    objects: NDArray[np.int64]


def labelled_frames(labels: VideoAnnotations) -> tuple[tuple[str, ...], list[LabelledFrames]]:
    """Count the objects of each class on each labelled frame.

    Parameters
    ----------
    labels : VideoAnnotations
        The labels.

    Returns
    -------
    classes : tuple of str
        Names of the C classes that have an object; crowds are none.
    videos : list of LabelledFrames
        Those with a labelled frame, in the order of the labels.

    Raises
    ------
    InputError
        If no frame is labelled.
    """
    import numpy as np

    from evfr.errors import InputError

    is_object = ~labels.is_crowd
    used = np.unique(labels.category_id[is_object])
    names = {item.category_id: item.name for item in labels.categories}
    classes = tuple(dict.fromkeys(names[number] for number in used.tolist()))
    column = np.array([classes.index(names[number]) for number in used.tolist()], np.int64)
    found = []
    for row, video in enumerate(labels.videos):
        if not len(video.frame_index):
            continue
        first, stop = np.searchsorted(labels.video_row, [row, row + 1])
        rows = first + np.flatnonzero(is_object[first:stop])
        objects = np.zeros((len(video.frame_index), len(classes)), np.int64)
        at = np.searchsorted(video.frame_index, labels.frame_index[rows])
        np.add.at(objects, (at, column[np.searchsorted(used, labels.category_id[rows])]), 1)
        found.append(LabelledFrames(video.video_id, video.frame_index, objects))
    if not found:
        raise InputError("no frame is labelled, so there is nothing to split; give labels of some frames")
    return classes, found


def by_video(videos: list[LabelledFrames], val: float, *, buffer: str, seed: int) -> Split:
    """Put whole videos on a side, so that frames and classes are shared out as asked.

    Parameters
    ----------
    videos : list of LabelledFrames
        Two or more.
    val : float
        Share of the labelled frames that is wanted in validation.
    buffer : str
        Kept with the split.
    seed : int
        What is tried, and in which order.

    Returns
    -------
    Split
        Of the best of several greedy tries.

    Raises
    ------
    InputError
        If there is one video only.

    Notes
    -----
    Price of a choice: the difference between its share of the labelled frames and ``val``, plus the mean over classes
    of the difference between its share of the objects and ``val``, plus one for each class that several videos have and
    one side lacks. Up to 12 videos the best choice is taken. Of more, a try adds, of a random half of the videos, the
    one that lowers the price most, or takes one out, or exchanges two, until nothing helps.
    """
    import numpy as np

    from evfr.errors import InputError

    if len(videos) < 2:
        raise InputError(
            f"a split by video needs two labelled videos or more, got {len(videos)}; split by time instead"
        )
    frames = np.array([len(video.frame_index) for video in videos], np.float64)
    counts = np.column_stack([frames, np.array([video.objects.sum(axis=0) for video in videos])])
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = counts / counts.sum(axis=0)
    # A class that several videos have can be on both sides, and then must be.
    can_share = (counts > 0).sum(axis=0) > 1
    rng = np.random.default_rng(seed)
    if len(videos) <= _ALL_UP_TO:
        bits = rng.permutation(np.arange(1, 2 ** len(videos) - 1))
        tries = (bits[:, None] >> np.arange(len(videos)) & 1).astype(np.bool_)
    else:
        tries = np.array([_greedy(shares, can_share, val, rng) for _ in range(_TRIES)])
    chosen = tries[int(_prices(tries @ shares, can_share, val).argmin())]
    val_side = {video.video_id for video, is_val in zip(videos, chosen.tolist(), strict=True) if is_val}
    whole = {video.video_id: ((int(video.frame_index[0]), int(video.frame_index[-1])),) for video in videos}
    return Split(
        train={name: runs for name, runs in whole.items() if name not in val_side},
        val={name: runs for name, runs in whole.items() if name in val_side},
        by="video",
        buffer=buffer,
        seed=seed,
    )


def by_time(
    videos: list[LabelledFrames],
    times: Mapping[str, NDArray[np.float64]],
    val: float,
    *,
    buffer: str,
    distance: float,
    blocks: int,
    seed: int,
) -> tuple[Split, tuple[str, ...]]:
    """Cut blocks of time out of each video, with a gap on both sides.

    Parameters
    ----------
    videos : list of LabelledFrames
        The videos.
    times : mapping of str to (F,) float64
        Where each labelled frame lies, in seconds or frames.
    val : float
        Share of the labelled frames of each video.
    buffer : str
        Kept with the split.
    distance : float
        The buffer, in the unit of ``times``: training frames that are not further from a validation frame are dropped.
    blocks : int
        Blocks of each video, one in each of as many stretches of equally many labelled frames.
    seed : int
        Chooses among places that are as good.

    Returns
    -------
    split : Split
        With the frames that truly lie between the sides of each video as ``buffer_frames``.
    whole : tuple of str
        Videos that are too short for blocks and a gap: in train as a whole.

    Raises
    ------
    InputError
        If all videos are too short.

    Notes
    -----
    A block lies where its shares of the objects of each class differ least from its share of the frames (mean over
    classes), plus the share of frames that are dropped.
    """
    import numpy as np

    from evfr.errors import InputError

    rng = np.random.default_rng(seed)
    sides: dict[str, dict[str, tuple[tuple[int, int], ...]]] = {"train": {}, "val": {}, "dropped": {}}
    gaps: dict[str, int] = {}
    whole = []
    for video in videos:
        index, at = video.frame_index, times[video.video_id]
        is_val = _blocks(at, video.objects, val, distance, blocks, rng)
        is_near = ~is_val & (nearest_apart(at, at[is_val]) <= distance + _TOLERANCE)
        is_train = ~is_val & ~is_near
        if not is_val.any() or not is_train.any():
            whole.append(video.video_id)
            is_val, is_near, is_train = np.zeros((3, len(index)), np.bool_)
            is_train = ~is_val
        for side, member in (("train", is_train), ("val", is_val), ("dropped", is_near)):
            if member.any():
                sides[side][video.video_id] = runs_of(index, member)
        if is_val.any():
            apart = nearest_apart(index[is_val].astype(np.float64), index[is_train].astype(np.float64))
            gaps[video.video_id] = int(apart.min()) - 1
    if not sides["val"]:
        raise InputError(
            f"no video is long enough for {blocks} blocks of {val:.0%} and a buffer of {buffer} on their sides; give a "
            "shorter buffer, or split by video"
        )
    return Split(**sides, by="time", buffer=buffer, buffer_frames=gaps, seed=seed), tuple(whole)


def by_frame(videos: list[LabelledFrames], val: float, *, buffer: str, seed: int) -> Split:
    """Put single frames on a side at random, as should not be done: neighbours are as good as the same picture."""
    import numpy as np

    rng = np.random.default_rng(seed)
    total = sum(len(video.frame_index) for video in videos)
    drawn = np.zeros(total, np.bool_)
    drawn[rng.permutation(total)[: min(max(1, round(val * total)), total - 1)]] = True
    train, held, place = {}, {}, 0
    for video in videos:
        member = drawn[place : place + len(video.frame_index)]
        place += len(member)
        if (~member).any():
            train[video.video_id] = runs_of(video.frame_index, ~member)
        if member.any():
            held[video.video_id] = runs_of(video.frame_index, member)
    by: By = "frame"
    return Split(train=train, val=held, by=by, buffer=buffer, seed=seed)


def _prices(sums: NDArray[np.float64], can_share: NDArray[np.bool_], val: float) -> NDArray[np.float64]:
    """Return how far choices are from what is wanted: rows of shares of the frames (first) and of each class."""
    import numpy as np

    apart = np.abs(sums - val)
    missing = can_share & ((sums < _TOLERANCE) | (sums > 1 - _TOLERANCE))
    of_classes = apart[:, 1:].mean(axis=1) if sums.shape[1] > 1 else 0.0
    return np.asarray(apart[:, 0] + of_classes + missing[:, 1:].sum(axis=1))


def _greedy(
    shares: NDArray[np.float64], can_share: NDArray[np.bool_], val: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose rows of a low price: add, take out and exchange while that helps; never none, never all."""
    import numpy as np

    member = np.zeros(len(shares), np.bool_)
    price = np.inf
    while True:
        inside, outside = np.flatnonzero(member), np.flatnonzero(~member)
        tried = rng.permutation(outside)[: max(_TRIES, (len(outside) + 1) // 2)]
        single = np.concatenate(
            [tried if len(outside) > 1 else outside[:0], inside if len(inside) > 1 else inside[:0]]
        )
        one, other = (
            part.ravel() for part in np.meshgrid(inside, tried[: max(1, 4096 // max(len(inside), 1))])
        )
        signed = np.where(member, -1.0, 1.0)[:, None] * shares
        moved = shares[member].sum(axis=0) + np.concatenate([signed[single], signed[one] + signed[other]])
        prices = _prices(moved, can_share, val)
        best = int(prices.argmin())
        if prices[best] >= price - _TOLERANCE:
            return member
        price = float(prices[best])
        at = best - len(single)
        member[[single[best]] if at < 0 else [one[at], other[at]]] ^= True


def _blocks(
    at: NDArray[np.float64],
    objects: NDArray[np.int64],
    val: float,
    distance: float,
    blocks: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return which labelled frames of a video lie in a validation block; none where there are too few."""
    import numpy as np

    count = len(at)
    is_val = np.zeros(count, np.bool_)
    if count < 2 * blocks:
        return is_val
    sums = np.vstack([np.zeros((1, objects.shape[1])), np.cumsum(objects, axis=0)])
    edges = np.linspace(0, count, blocks + 1).round().astype(int)
    for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        length = min(max(1, round(val * (stop - first))), stop - first - 1)
        room = stop - first - length
        starts = first + np.unique(np.append(np.arange(0, room, max(1, room // _GRID)), room))
        ends = starts + length
        low = np.searchsorted(at, at[starts] - distance - _TOLERANCE, side="left")
        high = np.searchsorted(at, at[ends - 1] + distance + _TOLERANCE, side="right")
        price = (starts - low + high - ends) / count
        total = sums[stop] - sums[first]
        if (total > 0).any():
            share = (sums[ends] - sums[starts])[:, total > 0] / total[total > 0]
            price = price + np.abs(share - length / (stop - first)).mean(axis=1)
        good = starts[price <= price.min() + _AS_GOOD]
        begin = int(rng.choice(good))
        is_val[begin : begin + length] = True
    return is_val


def nearest_apart(values: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each value is from the nearest of some increasing ones; infinity where there are none."""
    import numpy as np

    if not len(among):
        return np.full(len(values), np.inf)
    after = np.searchsorted(among, values)
    left = np.abs(values - among[np.maximum(after - 1, 0)])
    right = np.abs(values - among[np.minimum(after, len(among) - 1)])
    return np.asarray(np.minimum(left, right))
