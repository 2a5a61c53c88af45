"""The labelled pixels that an SVM learns from: counted, standardised and drawn without ever holding all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.labelled import IGNORE_ID
from evfr._core.lazy import require
from evfr._core.progress import current_progress
from evfr._core.rng import generator, spawn_seed
from evfr.augmentation import noised
from evfr.training._hypercolumns import centres, columns_at, levels_of
from evfr.training._ranks import share_of
from evfr.training._visits import visits

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["LabelledPoints", "block_draw", "usable_deviation"]

_AT_ONCE = 1 << 14
"""Hypercolumns that are computed at once: 96 MB at the full width."""

_CONSTANT = 1e-6


class LabelledPoints:
    """Give the pixels of N pictures: frames of clips, each as often as it has copies.

    Parameters
    ----------
    clips : sequence of LabelledClip
        Of one size and one list of classes.
    seed : int
        Of the copies' noise.
    shrink : int
        Every how many pixels the truth is taken.

    Attributes
    ----------
    classes : tuple of str
        Names of the C classes.
    size : (int, int)
        h and w of the truth.
    count : int
        Labelled pixels of all pictures.
    is_seen : (1 + C,) bool
        Which labels they have.

    Raises
    ------
    ValueError
        If clips differ in size or classes, or no pixel is labelled.
    """

    def __init__(self, clips: Sequence[LabelledClip], *, seed: int, shrink: int) -> None:
        self._clips = [clip for clip in clips if len(clip)]
        if not self._clips:
            raise ValueError(f"there is no labelled frame to learn from in {len(clips)} clips")
        first = self._clips[0]
        for clip in self._clips[1:]:
            if clip.images.shape[1:] != first.images.shape[1:] or clip.classes != first.classes:
                raise ValueError(f"clips must share size and classes, got {first!r} and {clip!r}")
        self._seed = seed
        self._places = [
            (number, place, copy)
            for number, clip in enumerate(self._clips)
            for place in range(len(clip))
            for copy in range(clip.copies)
        ]
        self.classes = first.classes
        height, width = first.images.shape[1:3]
        self.picture_size = height, width
        self.size = -(-height // shrink), -(-width // shrink)
        # The pixel of the truth that a point lies in.
        self._rows, self._columns = (
            ((2 * np.arange(count) + 1) * side) // (2 * count)
            for side, count in zip(self.picture_size, self.size, strict=True)
        )
        found = np.zeros(256, np.int64)
        for number, clip in enumerate(self._clips):
            for place in range(len(clip)):
                labels = self._labels(number, place)
                found += clip.copies * np.bincount(labels.ravel(), minlength=256)
        self.count = int(found[:IGNORE_ID].sum())
        self.is_seen = found[: 1 + len(self.classes)] > 0
        if not self.count:
            raise ValueError(f"no pixel of the {len(self)} pictures is labelled: all are to be ignored")

    def __len__(self) -> int:
        return len(self._places)

    def _labels(self, number: int, place: int) -> NDArray[np.uint8]:
        labels: NDArray[np.uint8] = self._clips[number].label_map(place)[self._rows[:, None], self._columns]
        return labels

    def labels(self, which: int) -> NDArray[np.uint8]:
        """Return the truth (h, w) uint8 of a picture: 0, 1 + class, or `IGNORE_ID`."""
        return self._labels(*self._places[which][:2])

    def picture(self, which: int) -> NDArray[np.uint8]:
        """Return a picture (H, W, 3) uint8, with the noise of its copy; the same whenever it is asked for."""
        number, place, copy = self._places[which]
        clip = self._clips[number]
        if clip.noise_std is None:
            image: NDArray[np.uint8] = clip.images[place]
            return image
        names = ("noise", clip.video_id, str(int(clip.frame_index[place])), str(copy))
        return noised(clip.images[place], clip.noise_std[place], generator(spawn_seed(self._seed, *names)))

    def parts(self, taps: Any) -> Iterator[tuple[Any, NDArray[np.uint8]]]:
        """Yield all labelled pixels, some at a time: hypercolumns (P, D), a tensor, and labels (P,)."""
        torch = require("torch", extra="train")
        device = next(taps.parameters()).device
        y, x = self.positions(torch, device)
        progress = current_progress()
        progress.start("reading hypercolumns", len(self))
        for which in range(len(self)):
            labels = self.labels(which).ravel()
            judged = np.flatnonzero(labels != IGNORE_ID)
            levels = levels_of(taps, self.picture(which)[None]) if len(judged) else []
            for start in range(0, len(judged), _AT_ONCE):
                rows = judged[start : start + _AT_ONCE]
                at = torch.from_numpy(rows).to(device)
                same = torch.zeros_like(at)
                yield columns_at(torch, levels, taps.strides, same, y[at], x[at]), labels[rows]
            progress.advance(1)
        progress.finish()

    def positions(self, torch: Any, device: Any) -> tuple[Any, Any]:
        """Return where the points of a picture lie, (h w,) and (h w,), in its pixels, row by row."""
        y, x = (
            centres(torch, side, count, device)
            for side, count in zip(self.picture_size, self.size, strict=True)
        )
        return y.repeat_interleave(len(x)), x.repeat(len(y))

    def all_columns(self, taps: Any) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return all labelled pixels at once: hypercolumns (P, D) and labels (P,)."""
        columns = np.empty((self.count, taps.channels), np.float32)
        labels = np.empty(self.count, np.uint8)
        begin = 0
        for part, own in self.parts(taps):
            columns[begin : begin + len(own)] = part.cpu().numpy()
            labels[begin : begin + len(own)] = own
            begin += len(own)
        return columns, labels

    def standardise(self, taps: Any, scores: Any) -> None:
        """Set mean and deviation of each channel over all labelled pixels, part by part (Chan et al. 1983)."""
        torch = require("torch", extra="train")
        count = 0
        mean = torch.zeros(taps.channels, dtype=torch.float64, device=scores.mean.device)
        squares = torch.zeros_like(mean)
        for part, _ in self.parts(taps):
            values = part.double()
            own = values.mean(dim=0)
            apart = own - mean
            total = count + len(values)
            squares += ((values - own) ** 2).sum(dim=0) + apart**2 * (count * len(values) / total)
            mean += apart * (len(values) / total)
            count = total
        deviation = (squares / count).sqrt()
        scores.mean.copy_(mean)
        scores.deviation.copy_(
            torch.from_numpy(usable_deviation(mean.cpu().numpy(), deviation.cpu().numpy()))
        )


def usable_deviation(mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the deviations, and 1 for channels that do not vary beyond the rounding of float32."""
    return np.where(deviation <= _CONSTANT * np.abs(mean), 1.0, deviation)


def block_draw(
    points: LabelledPoints, taps: Any, seed: int, batch_points: int, block_frames: int, block_steps: int
) -> Callable[[Generator, int], tuple[Any, Any]]:
    """Return a function that draws the pixels of an iteration, hypercolumns (P, D) and labels (P,).

    Iteration i takes pixels of block i // S, which is computed when it is first asked for and held until another one
    is: what is drawn depends on the iteration alone, and never on which blocks were held before.
    """
    torch = require("torch", extra="train")
    device = next(taps.parameters()).device
    y, x = points.positions(torch, device)
    pixels = len(y)
    share = share_of(batch_points)
    held: dict[int, tuple[list[Any], Any, Any]] = {}

    def block(number: int) -> tuple[list[Any], Any, Any]:
        if number not in held:
            held.clear()
            chosen = visits(len(points), block_frames, number, seed)
            each = [levels_of(taps, points.picture(int(which))[None]) for which in chosen]
            levels = [torch.cat(same) for same in zip(*each, strict=True)]
            labels = np.concatenate([points.labels(int(which)).ravel() for which in chosen])
            order = generator(spawn_seed(seed, "pixels", str(number))).permutation(len(labels))
            held[number] = levels, torch.from_numpy(labels).to(device), torch.from_numpy(order).to(device)
        return held[number]

    def draw(rng: Generator, iteration: int) -> tuple[Any, Any]:
        del rng
        number, step = divmod(iteration, block_steps)
        levels, labels, order = block(number)
        # A block of fewer pixels than its steps take is gone through again.
        places = torch.arange(step * batch_points, (step + 1) * batch_points, device=device)[share]
        at = order[places % len(order)]
        within = at % pixels
        columns = columns_at(torch, levels, taps.strides, at // pixels, y[within], x[within])
        return columns, labels[at]

    return draw
