"""A model embedder that needs no framework, and one whose preparing fails in chosen ways on chosen videos."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["BadPreprocess", "FakeModel", "FakePreprocess"]


@dataclass(frozen=True)
class FakePreprocess:
    """Shrink to a (size, size, 3) picture."""

    size: int = 8

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        small = cv2.resize(frame, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)


@dataclass(frozen=True)
class BadPreprocess(FakePreprocess):
    """Misbehave on frames that are ``height`` pixels high, after ``after`` of them in a process."""

    what: str = "kill"
    height: int = 64
    after: int = 5
    marks: str = ""

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if frame.shape[0] == self.height:
            _SEEN.append(1)
            if len(_SEEN) > self.after:
                self._misbehave()
        return super().__call__(frame)

    def _misbehave(self) -> None:
        if self.what.endswith("_once"):
            try:
                (Path(self.marks) / self.what).touch(exist_ok=False)
            except FileExistsError:
                return
        if self.what.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what.startswith("hang"):
            time.sleep(600)
        if self.what.startswith("bug"):
            raise TypeError("no such picture")


_SEEN: list[int] = []


@dataclass
class FakeModel:
    """Project pictures by a fixed random matrix; remember batches and which threads ran it."""

    preprocess: FakePreprocess = field(default_factory=FakePreprocess)
    batch_size: int = 16
    dimension: int = 12
    seconds_per_batch: float = 0.0
    fails_at_batch: int | None = None
    scale: float = 1.0
    device: str = "cpu"
    batches: list[int] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def embed_prepared(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(batch))
        self.threads.add(threading.get_ident())
        if self.fails_at_batch is not None and len(self.batches) > self.fails_at_batch:
            raise RuntimeError("the device is gone")
        time.sleep(self.seconds_per_batch)
        rng = np.random.default_rng(0)
        matrix = rng.standard_normal((batch[0].size, self.dimension)) / batch[0].size
        return np.asarray(self.scale * (batch.reshape(len(batch), -1) / 255.0) @ matrix, np.float32)

    def __call__(self, frames: Any) -> NDArray[np.float32]:
        ready = [self.preprocess(frame) for frame in frames]
        if not ready:
            return np.zeros((0, self.dimension), np.float32)
        return self.embed_prepared(np.stack(ready))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"name": "fake", "schema": 1, "size": self.preprocess.size, "scale": str(self.scale)}
