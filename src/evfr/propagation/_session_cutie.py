"""Cutie as a propagation session, by the package that the user installed (Cheng et al. 2024)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.lazy import require
from evfr.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cutie_session"]

_WEIGHTS = "weights/cutie-base-mega.pth"
"""Where Cutie's default model looks for its weights, below torch.hub's folder."""


def cutie_session(network: Any = None, *, device: str = "auto") -> Callable[[], CutieSession]:
    """Return what opens Cutie sessions: pairwise, one labelled frame and the frames after it.

    Parameters
    ----------
    network : cutie.model.cutie.CUTIE or None
        A network with its ``cfg``, on a device of your choice; None is the package's own default model, which needs
        a GPU and weights that its own script downloaded before. evfr downloads nothing.
    device : str
        For the default model: ``auto`` or a CUDA device; a network given stays where it is.

    Returns
    -------
    callable
        Opens a session.

    Raises
    ------
    MissingExtraError
        If Cutie or torch is not installed.
    InputError
        If the default model has no weights or no GPU.
    """
    torch = require("torch", extra="torch")
    core = _package("cutie.inference.inference_core").InferenceCore
    chosen = _default_network(device) if network is None else network
    place = next(iter(chosen.parameters())).device
    return lambda: CutieSession(core(chosen, cfg=chosen.cfg), torch, place)


class CutieSession:
    """Follow objects by ``InferenceCore.step``; see `evfr.propagation.PropagationSession`."""

    kind: Literal["multi_key", "pairwise"] = "pairwise"

    def __init__(self, core: Any, torch: Any, device: Any) -> None:
        self._core = core
        self._torch = torch
        self._device = device
        self._tracks: list[int] = []

    def add_key(
        self, frame_index: int, image: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Take the labelled frame; where masks overlap, the smaller object is in front."""
        self._tracks = sorted(masks)
        numbers = np.zeros(image.shape[:2], np.int64)
        for track in sorted(masks, key=lambda name: -int(masks[name].sum())):
            numbers[masks[track]] = self._tracks.index(track) + 1
        # Cutie refuses an object without a pixel; one that is wholly covered is left out.
        there = [number for number in range(1, len(self._tracks) + 1) if (numbers == number).any()]
        index = self._torch.from_numpy(numbers).to(self._device)
        self._tracks = [self._tracks[number - 1] for number in there]
        with self._torch.inference_mode():
            self._core.step(self._picture(image), index, objects=there)

    def step(self, frame_index: int, image: NDArray[np.uint8]) -> Mapping[int, NDArray[np.float32]]:
        """Return the probabilities of the next frame: channel 0 of Cutie's is the background."""
        with self._torch.inference_mode():
            found = self._core.step(self._picture(image)).float().clamp(0, 1).cpu().numpy()
        if len(found) != len(self._tracks) + 1:
            raise ValueError(f"Cutie returned {len(found) - 1} objects for {len(self._tracks)}")
        return {track: found[place + 1] for place, track in enumerate(self._tracks)}

    def close(self) -> None:
        """Forget the memory."""
        self._core = None

    def _picture(self, image: NDArray[np.uint8]) -> Any:
        tensor = self._torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        return tensor.permute(2, 0, 1).float() / 255


def _package(name: str) -> Any:
    try:
        return require(name, extra="torch")
    except MissingExtraError as error:
        raise MissingExtraError(
            "Cutie is not installed; follow https://github.com/hkchengrex/Cutie (git clone, pip install -e .)"
        ) from error


@functools.lru_cache(maxsize=1)
def _default_network(device: str) -> Any:
    torch = require("torch", extra="torch")
    default = _package("cutie.utils.get_default_model")
    weights = Path(torch.hub.get_dir()) / _WEIGHTS
    if not weights.is_file():
        raise InputError(
            f"Cutie's weights are not at {weights}; download them with its own script "
            "(python cutie/utils/download_models.py), or pass a network of your own from Python"
        )
    if device == "cpu" or not torch.cuda.is_available():
        raise InputError(
            "Cutie's default model needs a CUDA device; on a CPU, build the network in Python and pass it to "
            "evfr.propagation.cutie_session"
        )
    return default.get_default_model().to("cuda" if device == "auto" else device)
