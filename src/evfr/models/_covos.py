"""Networks of CoVOS (Xu & Yao 2022): low-level features, decoder, and both behind one value on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evfr._core.lazy import require
from evfr._core.rng import spawn_seed
from evfr._core.tensor_files import read_state_dict
from evfr.models._state import load_by_name, rename

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CovosNetwork", "covos_decoder", "covos_network", "low_level_features"]

_RESNET_REST = ("layer2.", "layer3.", "layer4.", "fc.")


def _modules() -> Any:
    require("torch", extra="train")
    require("torchvision", extra="train")
    return require("evfr.models._covos_modules", extra="train")


def _seeded(build: Any, seed: int, name: str) -> Any:
    torch = require("torch", extra="train")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spawn_seed(seed, name))
        return build()


def low_level_features(weights: str | Path | None = None, *, seed: int = 0) -> Any:
    """Build the low-level features: ResNet-50 up to its first residual stage (Xu & Yao 2022, section 3.2).

    Parameters
    ----------
    weights : path or None
        A state dict of torchvision's ResNet-50 (``.safetensors``); its later stages are
        not read. None draws random weights: no knowledge of pictures, but edges and colours in 256 channels.
    seed : int
        Of the random weights.

    Returns
    -------
    torch.nn.Module
        (B, 3, H, W) in [0, 1] RGB to (B, 256, ceil(H / 4), ceil(W / 4)); 225,344 weights, all fixed.

    Raises
    ------
    MissingExtraError
        If torch or torchvision is not installed.
    InputError
        If the file cannot be read or does not fit.
    """
    module = _seeded(_modules().LowLevelFeatures, seed, "low-level features")
    if weights is not None:
        path = Path(weights)
        load_by_name(module, read_state_dict(path, extra="train"), path, ignore=_RESNET_REST)
    return module


def covos_decoder(
    weights: str | Path | None = None, *, names: Mapping[str, str] | None = None, seed: int = 0
) -> Any:
    """Build the decoder with its confidence layers (Xu & Yao 2022, sections 3.3 to 3.5 and supplement).

    Parameters
    ----------
    weights : path or None
        The user's state dict (``.safetensors``); it loads by name. Its shapes decide
        whether the last convolution is 1x1 (as released) or 3x3 (as in the supplement), its names which layers have
        biases. None draws random weights.
    names : mapping of str to str, optional
        From beginnings of the file's names to beginnings of ours, where they differ, for example
        ``{"module.w1": "current"}``. Nothing is matched by shape or order.
    seed : int
        Of the random weights.

    Returns
    -------
    torch.nn.Module
        661,707 weights with a 1x1 last convolution, 667,339 with 3x3. Names and shapes: ``current.weight`` and
        ``warped.weight`` 64x256x1x1 (W1, W2), ``reduce1.weight`` 128x289x3x3, ``reduce2.weight`` 64x128x3x3,
        ``block1..3.conv1..2.weight`` 64x64x3x3 with ``.bias`` 64, ``last.weight`` 11x64x1x1 with ``.bias`` 11.

    Raises
    ------
    MissingExtraError
        If torch or torchvision is not installed.
    InputError
        If the file cannot be read, or tensors are missing, unknown or misshapen: all are listed.
    ValueError
        If names are given without weights.
    """
    if weights is None:
        if names:
            raise ValueError("names rename the tensors of a file; give weights too")
        return _seeded(_modules().CovosDecoder, seed, "covos decoder")
    path = Path(weights)
    state = rename(read_state_dict(path, extra="train"), names or {}, path)
    form = _modules().form_of({name: tuple(tensor.shape) for name, tensor in state.items()})
    module = _seeded(lambda: _modules().CovosDecoder(**form), seed, "covos decoder")
    load_by_name(module, state, path)
    return module


class CovosNetwork:
    """Give features and decoder as functions on arrays, as `evfr.propagation.covos` takes them.

    Parameters
    ----------
    features : torch.nn.Module
        From `low_level_features`.
    decoder : torch.nn.Module
        From `covos_decoder`.
    device : str
        Where to compute, for example ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, features: Any, decoder: Any, *, device: str = "cpu") -> None:
        self._torch = require("torch", extra="train")
        self._features = features.to(device).eval()
        self._decoder = decoder.to(device).eval()
        self.device = device

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return low-level features of a picture.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.

        Returns
        -------
        (ceil(H / 4), ceil(W / 4), 256) float32
            0 or more.
        """
        torch = self._torch
        with torch.inference_mode():
            picture = torch.from_numpy(np.ascontiguousarray(image)).to(self.device)
            stage = self._features(picture.permute(2, 0, 1)[None].float() / 255.0)
            return np.ascontiguousarray(stage[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)

    def decode(
        self,
        current: NDArray[np.float32],
        warped: NDArray[np.float32],
        probabilities: NDArray[np.float32],
        corrected: NDArray[np.float32],
        size: tuple[int, int],
    ) -> NDArray[np.float32]:
        """Decode one frame.

        Parameters
        ----------
        current, warped : (h, w, 256) float32
            V and V^: features of the frame, and those warped to it.
        probabilities, corrected : (h, w, 11) float32
            P^ and P-: the background first, then up to 10 objects, the rest 0.
        size : (int, int)
            H and W of the picture.

        Returns
        -------
        (H, W, 11) float32
            0 to 1, before soft aggregation; the first channel and those without an object are to be dropped.
        """
        torch = self._torch
        with torch.inference_mode():
            planes = [
                torch.from_numpy(np.ascontiguousarray(array)).to(self.device).permute(2, 0, 1)[None]
                for array in (current, warped, probabilities, corrected)
            ]
            found = self._decoder(*planes, size)
            return np.ascontiguousarray(found[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)


def covos_network(
    weights: str | Path | None = None,
    *,
    features: str | Path | None = None,
    names: Mapping[str, str] | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> CovosNetwork:
    """Build features and decoder in one (Xu & Yao 2022).

    Parameters
    ----------
    weights : path or None
        Of the decoder; see `covos_decoder`.
    features : path or None
        Of ResNet-50; see `low_level_features`. A decoder must be used with the features it was trained on.
    names : mapping of str to str, optional
        See `covos_decoder`.
    seed : int
        Of random weights.
    device : str
        Where to compute.

    Returns
    -------
    CovosNetwork
        In evaluation mode.

    Raises
    ------
    MissingExtraError, InputError, ValueError
        As `covos_decoder` and `low_level_features` do.
    """
    return CovosNetwork(
        low_level_features(features, seed=seed), covos_decoder(weights, names=names, seed=seed), device=device
    )
