"""Seq Mask R-CNN as a detector that carries what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evfr._core.annotations import Category
from evfr.errors import InputError
from evfr.models._detector import categories_from
from evfr.models._maskrcnn import RegionDetector
from evfr.models._seq_maskrcnn import seq_maskrcnn
from evfr.models._seq_maskrcnn_files import MODEL, read_settings
from evfr.models._seq_maskrcnn_session import SequenceSession, check_memory

__all__ = ["SeqMaskRcnnDetector"]


class SeqMaskRcnnDetector(RegionDetector):
    """Detect objects with masks, and carry them along a video by the same network (Lin et al. 2021 [1]_).

    Parameters
    ----------
    path : path
        What `evfr train seq-maskrcnn` wrote: ``model.safetensors`` with ``model.json`` beside it, or their folder.
    names : sequence of str or Category, or path, optional
        Other names for the classes; without it those of ``model.json``.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    min_score : float
        In [0, 1); `detect` returns detections with a higher probability.
    nms : float
        In [0, 1]; of two detections of one class with a higher IoU the better stays.
    limit : int
        At most so many detections a picture.
    memory_every : int or None
        The key frame, every ``memory_every``-th frame after it and the frame just before are remembered; None is what
        ``model.json`` says.
    memory_limit : int or None
        Frames remembered at most; None is what ``model.json`` says.
    top_k : int
        Cells of the memory that each cell of a frame reads; 0 reads all.

    Raises
    ------
    MissingExtraError
        If torch or torchvision is not installed.
    InputError
        If a file cannot be read or does not fit, has another number of classes than ``names``, or the GPU asked for is
        not here.
    ValueError
        If an option is out of its range.

    References
    ----------
    .. [1] Lin, Wu, Liu, Jia: Video Instance Segmentation with a Propose-Reduce Paradigm. ICCV 2021, arXiv:2103.13746.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        names: Sequence[Category | str] | str | Path | None = None,
        device: str = "cpu",
        min_score: float = 0.05,
        nms: float = 0.5,
        limit: int = 100,
        memory_every: int | None = None,
        memory_limit: int | None = None,
        top_k: int = 0,
    ) -> None:
        self.path = Path(path) / MODEL if Path(path).is_dir() else Path(path)
        self._options: dict[str, Any] = {
            "names": names,
            "device": device,
            "min_score": min_score,
            "nms": nms,
            "limit": limit,
            "memory_every": memory_every,
            "memory_limit": memory_limit,
            "top_k": top_k,
        }
        settings = read_settings(self.path)
        self._memory = (
            settings.memory_every if memory_every is None else memory_every,
            settings.memory_limit if memory_limit is None else memory_limit,
            top_k,
        )
        check_memory(*self._memory)
        categories = settings.categories if names is None else categories_from(names)
        if len(categories) != len(settings.categories):
            raise InputError(
                f"{self.path} has {len(settings.categories)} classes, {len(categories)} names were given"
            )
        module = seq_maskrcnn(
            self.path,
            class_count=len(categories),
            backbone=settings.backbone,
            channels=settings.channels,
            size=settings.size,
        )
        if module.fresh:
            raise InputError(
                f"{self.path} has no {', '.join(module.fresh)}: it is a plain Mask R-CNN; open it as kind='maskrcnn', "
                "or train seq-maskrcnn from it"
            )
        super().__init__(
            module,
            categories,
            device=device,
            min_score=min_score,
            nms=nms,
            limit=limit,
            name=str(self.path),
        )

    def open_session(self) -> SequenceSession:
        """Open a session that carries masks from one frame on, for `evfr.propagation.session`.

        Returns
        -------
        SequenceSession
            Of the kind ``"pairwise"``; sessions share the network, and a picture that was just detected in is not run
            through the backbone again.
        """
        every, limit, top_k = self._memory
        return SequenceSession(
            self._module,
            memory_every=every,
            memory_limit=limit,
            top_k=top_k,
            features=self._features,
        )

    def __repr__(self) -> str:
        return f"SeqMaskRcnnDetector({self.path.name!r}, {len(self.categories)} classes, {self._device})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options, not the network: a worker process reads the file again."""
        return _rebuild, (str(self.path), self._options)


def _rebuild(path: str, options: dict[str, Any]) -> SeqMaskRcnnDetector:
    return SeqMaskRcnnDetector(path, **options)
