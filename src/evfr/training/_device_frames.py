"""Labelled frames as tensors that stay on one device, so that batches are gathered where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.lazy import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.labelled import LabelledClip

__all__ = ["DeviceFrames"]


class DeviceFrames:
    """Hold the frames of clips on one device; a clip with C copies counts each of its frames C times.

    Parameters
    ----------
    clips : sequence of LabelledClip
        One frame or more in all, of one size and one list of classes.
    device : str or torch.device
        Where the tensors are.

    Attributes
    ----------
    images : (N, 3, H, W) uint8 tensor
        Each frame once.
    ids : (N, H, W) uint8 tensor
        Maps of objects, see `LabelledClip`.
    category : (N, M) int16 tensor
        M is the most of any clip, 1 or more; -1 where there is no object.
    noise_std : (K + 1, 3, H, W) float32 tensor or None
        Of the K frames that are noised, and zeros last; None without noise.
    row : (V,) int64 tensor
        The frame of each of the V = ``len(frames)`` things to visit.
    noise_row : (N,) int64 tensor
        Row of ``noise_std`` for each frame.
    classes : tuple of str
        Names of the classes.

    Raises
    ------
    ValueError
        If there is no frame, or clips differ in size or classes.
    """

    __slots__ = ("category", "classes", "ids", "images", "noise_row", "noise_std", "row")

    def __init__(self, clips: Sequence[LabelledClip], device: Any = "cpu") -> None:
        torch = require("torch", extra="train")
        with_frames = [clip for clip in clips if len(clip)]
        if not with_frames:
            raise ValueError(f"there is no labelled frame to learn from in {len(clips)} clips")
        first = with_frames[0]
        for clip in with_frames[1:]:
            if clip.images.shape[1:] != first.images.shape[1:] or clip.classes != first.classes:
                raise ValueError(
                    f"clips must share size and classes, got {_told(first)} of {first.video_id} and "
                    f"{_told(clip)} of {clip.video_id}; read them with one width, height and list of classes"
                )

        def moved(arrays: list[NDArray[Any]]) -> Any:
            return torch.from_numpy(np.ascontiguousarray(np.concatenate(arrays))).to(device)

        most = max(1, *(clip.category.shape[1] for clip in with_frames))
        self.classes = first.classes
        self.images = moved([clip.images.transpose(0, 3, 1, 2) for clip in with_frames])
        self.ids = moved([clip.ids for clip in with_frames])
        self.category = moved(
            [
                np.pad(clip.category, ((0, 0), (0, most - clip.category.shape[1])), constant_values=-1)
                for clip in with_frames
            ]
        )
        counts = np.concatenate([np.full(len(clip), clip.copies) for clip in with_frames])
        self.row = moved([np.repeat(np.arange(len(counts)), counts)])
        is_noised = np.concatenate([np.full(len(clip), clip.noise_std is not None) for clip in with_frames])
        places = np.where(is_noised, np.cumsum(is_noised) - 1, is_noised.sum()).astype(np.int64)
        self.noise_row = moved([places])
        self.noise_std = None
        if is_noised.any():
            spreads = [clip.noise_std for clip in with_frames if clip.noise_std is not None]
            none = np.zeros((1, *first.images.shape[1:]), np.float32)
            self.noise_std = moved([spread.transpose(0, 3, 1, 2) for spread in [*spreads, none]])

    def __len__(self) -> int:
        return int(self.row.shape[0])

    def __repr__(self) -> str:
        count, _, height, width = self.images.shape
        return (
            f"DeviceFrames({count} frames of {width}x{height}, {len(self)} to visit, on {self.images.device})"
        )

    def batch(self, places: Any) -> tuple[Any, Any, Any, Any]:
        """Gather frames; nothing waits for the device.

        Parameters
        ----------
        places : (B,) int64 tensor
            On the device, in 0..V-1; see `visits`.

        Returns
        -------
        images : (B, 3, H, W) uint8 tensor
            RGB.
        ids : (B, H, W) uint8 tensor
            Maps of objects.
        category : (B, M) int16 tensor
            Their classes.
        noise_std : (B, 3, H, W) float32 tensor or None
            What is to be added anew, None where no frame has any.
        """
        rows = self.row.index_select(0, places)
        noise = None
        if self.noise_std is not None:
            noise = self.noise_std.index_select(0, self.noise_row.index_select(0, rows))
        return (
            self.images.index_select(0, rows),
            self.ids.index_select(0, rows),
            self.category.index_select(0, rows),
            noise,
        )


def _told(clip: LabelledClip) -> str:
    height, width = clip.images.shape[1:3]
    return f"{width}x{height} with classes {', '.join(clip.classes)}"
