"""Carry masks by Seq Mask R-CNN's own head, as a session of `evfr.propagation.session`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.lazy import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SequenceSession", "check_memory"]


def check_memory(memory_every: int, memory_limit: int, top_k: int) -> None:
    """Refuse a memory that cannot be.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if memory_every < 1 or memory_limit < 2 or top_k < 0:
        raise ValueError(
            "memory_every must be 1 or more, memory_limit 2 or more (the key frame and the frame before) and top_k "
            f"0 (all) or more, got {memory_every}, {memory_limit} and {top_k}"
        )


class SequenceSession:
    """Follow objects from one labelled frame on, by attention to a memory of frames (Lin et al. 2021; Oh et al. 2019).

    Parameters
    ----------
    module : torch.nn.Module
        From `evfr.models.seq_maskrcnn`, in evaluation mode.
    memory_every : int
        The key frame, every ``memory_every``-th frame after it and the frame just before are remembered.
    memory_limit : int
        Frames remembered at most, the key frame and the one just before included; of the others the oldest goes first.
    top_k : int
        Cells of the memory that each cell of a frame reads; 0 reads all.
    features : callable or None
        From a picture to torchvision's scaled images and their pyramid, where a detector has computed them already.
    """

    kind: Literal["multi_key", "pairwise"] = "pairwise"

    def __init__(
        self,
        module: Any,
        *,
        memory_every: int = 5,
        memory_limit: int = 10,
        top_k: int = 0,
        features: Callable[[NDArray[np.uint8]], tuple[Any, Any]] | None = None,
    ) -> None:
        check_memory(memory_every, memory_limit, top_k)
        self._torch = require("torch", extra="train")
        self._compete = require("evfr.models._seq_maskrcnn_modules", extra="train").compete
        self._module, self._device = module, next(module.parameters()).device
        self._pyramid = features or self._computed
        self._every, self._limit, self._top_k = memory_every, memory_limit, top_k
        self._tracks: tuple[int, ...] = ()
        self._kept: list[tuple[Any, Any]] = []
        self._before: tuple[Any, Any] | None = None
        self._age = 0

    def add_key(
        self, frame_index: int, image: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Take the labels of the one labelled frame.

        Parameters
        ----------
        frame_index : int
            The frame.
        image : (H, W, 3) uint8
            RGB.
        masks : mapping of int to (H, W) bool
            By track id, one or more.

        Raises
        ------
        ValueError
            If it has a labelled frame already, or there is no mask.
        """
        if self._kept:
            raise ValueError(f"the session follows one labelled frame, got frame {frame_index} as well")
        if not masks:
            raise ValueError(f"no object to follow: frame {frame_index} has no mask")
        torch = self._torch
        self._tracks = tuple(masks)
        planes = torch.from_numpy(np.stack([masks[track] for track in self._tracks])).to(self._device)
        with torch.inference_mode():
            features, padded, inner = self._features(image)
            self._kept.append(self._memorise(features, _into(torch, planes.float(), inner, padded)))

    def step(self, frame_index: int, image: NDArray[np.uint8]) -> Mapping[int, NDArray[np.float32]]:
        """Segment the next frame.

        Parameters
        ----------
        frame_index : int
            The frame.
        image : (H, W, 3) uint8
            RGB.

        Returns
        -------
        mapping of int to (H, W) float32
            Soft masks in [0, 1] by track id; over all tracks and the background they sum to 1.

        Raises
        ------
        ValueError
            If there was no labelled frame before.
        """
        if not self._kept:
            raise ValueError(f"frame {frame_index} came before any labelled frame; call add_key first")
        torch = self._torch
        functional = torch.nn.functional
        memory = [*self._kept, *([self._before] if self._before else [])]
        with torch.inference_mode():
            features, _, inner = self._features(image)
            keys, values = (torch.cat([frame[part] for frame in memory], dim=2) for part in (0, 1))
            logits = self._module.propagation(features, keys, values, top_k=self._top_k)
            soft = self._compete(logits)[1:].exp()
            self._remember(self._memorise(features, _cut(soft, inner)))
            whole = functional.interpolate(
                soft[None, :, : inner[0], : inner[1]], image.shape[:2], mode="bilinear", align_corners=False
            )[0]
            found = whole.clamp(0, 1).cpu().numpy()
        return dict(zip(self._tracks, found, strict=True))

    def close(self) -> None:
        """Forget the memory."""
        self._kept.clear()
        self._before = None

    def _remember(self, now: tuple[Any, Any]) -> None:
        self._age += 1
        self._before = now
        if self._age % self._every == 0:
            self._kept.append(now)
            self._before = None
        if len(self._kept) + (self._before is not None) > self._limit:
            del self._kept[1]

    def _memorise(self, features: Any, masks: Any) -> tuple[Any, Any]:
        keys, values = self._module.propagation.memorise(features, masks)
        return keys, values

    def _features(self, image: NDArray[np.uint8]) -> tuple[Any, tuple[int, int], tuple[int, int]]:
        """Return the pyramid, the padded size and the size of the picture within it."""
        scaled, pyramid = self._pyramid(image)
        height, width = scaled.image_sizes[0]
        padded = int(scaled.tensors.shape[2]), int(scaled.tensors.shape[3])
        return pyramid, padded, (int(height), int(width))

    def _computed(self, image: NDArray[np.uint8]) -> tuple[Any, Any]:
        picture = self._torch.from_numpy(np.ascontiguousarray(image)).to(self._device).permute(2, 0, 1)
        scaled, _ = self._module.transform([picture.float() / 255.0])
        return scaled, self._module.backbone(scaled.tensors)


def _into(torch: Any, planes: Any, inner: tuple[int, int], padded: tuple[int, int]) -> Any:
    """Scale (K, H, W) masks to the size of the scaled picture, and pad them as it is padded."""
    scaled = torch.nn.functional.interpolate(planes[None], inner, mode="area")[0]
    return torch.nn.functional.pad(scaled, (0, padded[1] - inner[1], 0, padded[0] - inner[0]))


def _cut(soft: Any, inner: tuple[int, int]) -> Any:
    """Return masks without what lies on the padding."""
    kept = soft.clone()
    kept[:, inner[0] :] = 0
    kept[:, :, inner[1] :] = 0
    return kept
