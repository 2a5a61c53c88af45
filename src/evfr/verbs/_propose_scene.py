"""The pictures and the motion of one chunk of a video, for all key frames that are carried through it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evfr.verbs._carry_frames import Pictures, load_pictures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.motion import StepFieldMaker, StepFields
    from evfr.propagation import Propagator
    from evfr.verbs._carry_method import BoundMethod
    from evfr.verbs._propose_carry import CarryPass

__all__ = ["Scene"]

SHARED_BYTES = 1 << 29
"""Dense motion of a chunk that is kept for all key frames; where it would be larger each makes its own."""


class Scene:
    """Hold the pictures and the motion of one chunk, read and made once when the first key frame needs them."""

    def __init__(self, job: CarryPass, method: BoundMethod, first: int, last: int) -> None:
        self._job, self._first, self._last = job, first, last
        self._pictures: Pictures | None = None
        self._fields: dict[str, StepFields] = {}
        given = getattr(method.propagator, "keywords", {}).get("steps")
        self._propagator: Propagator = method.propagator
        if given:
            steps = {name: self._shared(name, maker) for name, maker in given.items()}
            if "proxy" in steps and (last - first) * math.prod(job.size) * 8 <= SHARED_BYTES:
                steps["best"] = self._shared("best", functools.partial(self._best, steps["proxy"]))
            self._propagator = functools.partial(method.propagator, steps=steps)

    @property
    def propagator(self) -> Propagator:
        """The method, with motion that all key frames of this chunk share."""
        return self._propagator

    def pictures(self) -> Pictures:
        """Return the pictures, at the size of the carry."""
        if self._pictures is None:
            job, table = self._job, self._job.measured.table
            assert table is not None
            self._pictures = load_pictures(
                job.measured.source.path, self._first, self._last, table, damaged=job.damaged, size=job.size
            )
        return self._pictures

    def _best(
        self, proxy: StepFieldMaker, frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]
    ) -> StepFields:
        from evfr.propagation import best_fields

        return best_fields(frames, proxy(frames, frame_index), side=self._job.side)

    def _shared(self, name: str, maker: StepFieldMaker) -> StepFieldMaker:
        import numpy as np

        def make(frames: Sequence[NDArray[np.uint8]], frame_index: NDArray[np.int64]) -> StepFields:
            if name not in self._fields:
                whole = np.arange(self._first, self._last + 1, dtype=np.int64)
                self._fields[name] = maker(self.pictures()[:], whole)
            fields = self._fields[name]
            own = slice(int(frame_index[0]) - self._first, int(frame_index[-1]) - self._first)
            return replace(
                fields,
                to_previous=fields.to_previous[own],
                to_next=fields.to_next[own],
                has_previous=None if fields.has_previous is None else fields.has_previous[own],
                has_next=None if fields.has_next is None else fields.has_next[own],
            )

        return make
