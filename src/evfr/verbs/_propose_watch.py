"""Stop carrying what the judge does not see any more: between chunks, by the same rule that ends a sequence later."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evfr.verbs._propose_detect import Opened, guarded
from evfr.verbs._propose_score import Unseen, boxes_of, probabilities

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.annotations import FrameLabels
    from evfr.propagation import Carried, Side
    from evfr.verbs._measure import Measured

__all__ = ["Watch"]


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """Say which objects a pass need not carry on; travels to a child process.

    An object that is not seen on any scored frame of the last ``unseen.frames`` frames of a chunk ends there or before
    in the scores as well, so leaving it out changes no sequence but those that it would have competed with.

    Attributes
    ----------
    judge : Opened
        A detector or classifier from a file.
    unseen : Unseen
        When an object counts as gone.
    every : int
        Frames from one that is scored to the next.
    keys : tuple of K FrameLabels
        Objects of each key frame; key frames are scored whatever ``every`` is.
    measured : Measured
        The video and its frames.
    damaged : str
        As in `evfr.select`.
    """

    judge: Opened
    unseen: Unseen
    every: int
    keys: tuple[FrameLabels, ...]
    measured: Measured
    damaged: Any
    _own: dict[int, int] = field(default_factory=dict)

    def seen(
        self, parts: Mapping[int, tuple[FrameLabels, Carried]], first: int, last: int, side: Side
    ) -> dict[int, NDArray[np.bool_]]:
        """Return which tracks of what was carried through a chunk are to be carried on.

        Parameters
        ----------
        parts : mapping of int to (FrameLabels, Carried)
            By key frame: the labels that a part started from, and the part.
        first, last : int
            Frames of the chunk, both included.
        side : {"left", "right"}
            Where labels are: forward or backward.

        Returns
        -------
        dict of int to (K,) bool
            By key frame, for the tracks of its part.
        """
        import numpy as np

        scored = self._scored(first, last)
        out = {key: np.ones(len(part.track_ids), np.bool_) for key, (_, part) in parts.items()}
        is_forward = side == "left"
        if not scored:
            return out
        end = scored[-1] if is_forward else scored[0]
        if (end - first if is_forward else last - end) < self.unseen.frames - 1:
            return out
        window = [frame for frame in scored if abs(frame - end) < self.unseen.frames]
        doubted = {
            key: np.array([mask is not None for mask in self._masks(labels, part, end, side)], np.bool_)
            for key, (labels, part) in parts.items()
            if abs(end - key) >= self.unseen.frames
        }
        self._learn([key for key, flags in doubted.items() if flags.any()])
        for frame, image in self._pictures(window):
            rows = []
            for key, flags in doubted.items():
                labels, part = parts[key]
                masks = self._masks(labels, part, frame, side)
                rows += [(key, k, masks[k]) for k in np.flatnonzero(flags).tolist() if masks[k] is not None]
            if not rows:
                continue
            found = self._probabilities(frame, image, [mask for _, _, mask in rows])
            for (key, k, _), values in zip(rows, found, strict=True):
                own = self._own[int(parts[key][1].track_ids[k])]
                if values[own] >= self.unseen.below:
                    doubted[key][k] = False
            if not any(flags.any() for flags in doubted.values()):
                break
        return out | {key: ~flags for key, flags in doubted.items()}

    def _scored(self, first: int, last: int) -> list[int]:
        keys = {labels.frame_index for labels in self.keys}
        return [frame for frame in range(first, last + 1) if frame % self.every == 0 or frame in keys]

    @staticmethod
    def _masks(labels: FrameLabels, part: Carried, frame: int, side: Side) -> Sequence[Any]:
        """Return the masks of a part on one frame of the video; none before its labels."""
        row = (
            frame - labels.frame_index if side == "left" else frame - labels.frame_index + len(part.masks) - 1
        )
        return part.masks[row] if 0 <= row < len(part.masks) else [None] * len(part.track_ids)

    def _learn(self, keys: Sequence[int]) -> None:
        """Note the best class of each object on its key frame, as the scores do."""
        new = [
            labels
            for labels in self.keys
            if labels.frame_index in keys and not set(labels.track_ids.tolist()) <= self._own.keys()
        ]
        of_frame = {labels.frame_index: labels for labels in new}
        for frame, image in self._pictures(sorted(of_frame)):
            labels = of_frame[frame]
            found = self._probabilities(frame, image, labels.masks)
            self._own.update(zip(labels.track_ids.tolist(), found.argmax(axis=1).tolist(), strict=True))

    def _pictures(self, frames: Sequence[int]) -> Any:
        from evfr.video import extract_frames

        table = self.measured.table
        assert table is not None
        if frames:
            wanted = [frame for frame in frames if self._is_usable(frame)]
            for found in extract_frames(self.measured.source.path, wanted, table, damaged=self.damaged):
                yield found.frame_index, found.image

    def _is_usable(self, frame: int) -> bool:
        table = self.measured.table
        assert table is not None
        return bool((table.is_decoded if self.damaged == "keep" else table.is_selectable)[frame])

    def _probabilities(self, frame: int, image: Any, masks: Sequence[Any]) -> NDArray[np.float64]:
        table = self.measured.table
        assert table is not None
        where = f"{self.measured.source.video_id}: {self.judge.name} failed on frame {frame}"
        found: NDArray[np.float64] = guarded(
            where, functools.partial(probabilities, self.judge, image, boxes_of(masks, table))
        )
        return found
