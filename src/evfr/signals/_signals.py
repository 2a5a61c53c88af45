"""The signals by name: what each keeps of a frame, how it compares two, what its values depend on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from evfr.signals._grey import grey_at
from evfr.signals._measures import (
    FARNEBACK,
    feature_dissimilarity,
    mean_difference,
    mean_flow,
    motion_magnitude,
)
from evfr.signals._ssim import ssim_dissimilarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr._core.types import FrameView

__all__ = [
    "PROFILES",
    "Difference",
    "Embedder",
    "Feature",
    "Flow",
    "Motion",
    "Signal",
    "Ssim",
    "feature_dissimilarities",
    "make_signals",
    "signal_parameters",
]

PROFILES = ("fast", "default", "reference")
"""From quick to exact: they set the working width of the flow and the window of SSIM."""

SCHEMA_VERSION = 1

FLOW_WIDTHS: dict[str, int | None] = {"fast": 160, "default": 320, "reference": None}
SSIM_WINDOWS: dict[str, Literal["gaussian", "block"]] = {
    "fast": "block",
    "default": "block",
    "reference": "gaussian",
}
DIFFERENCE_WIDTH = 320
_BLOCK_ROWS = 4096

Embedder = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]
"""(N, H, W, 3) uint8 RGB frames to (N, D) float32; a ``parameters`` mapping lets results be stored."""


class Signal(Protocol):
    """Compare consecutive frames: what ``prepare`` returns for two of them goes to ``compare``."""

    def prepare(self, frame: FrameView) -> Any:
        """Return all that is needed of a frame later; called in order, while the decoder still has it."""

    def compare(self, previous: Any, current: Any) -> float:
        """Return the dissimilarity of two prepared frames, NaN if unmeasurable; called from any thread."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Mean length of the dense optical flow (OFVD, Eq. 2 of Yoon & Choi 2023).

    Attributes
    ----------
    width : int or None
        Working width in pixels; None is the video's own.
    """

    width: int | None = 320

    def prepare(self, frame: FrameView) -> NDArray[np.uint8]:
        """Return the grey picture at the working width."""
        return grey_at(frame, self.width)

    def compare(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> float:
        """Return the mean flow in pixels of the working width."""
        return mean_flow(previous, current)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the values depend on, JSON-ready."""
        return {"width": self.width, "method": "farneback", **FARNEBACK}


@dataclass(frozen=True, slots=True)
class Ssim:
    """One minus the structural similarity (SSVD, Eq. 3-4 of Yoon & Choi 2023), at full resolution.

    Attributes
    ----------
    window : {"gaussian", "block"}
        Exact Gaussian window, or 8 x 8 blocks at stride 4.
    """

    window: Literal["gaussian", "block"] = "block"

    def prepare(self, frame: FrameView) -> NDArray[np.uint8]:
        """Return the grey picture."""
        return grey_at(frame, None)

    def compare(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> float:
        """Return 1 - SSIM; NaN where the picture is smaller than the window."""
        if min(current.shape) < (11 if self.window == "gaussian" else 8):
            return math.nan
        return ssim_dissimilarity(previous, current, window=self.window)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the values depend on, JSON-ready."""
        return {"window": self.window}


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean absolute grey difference (ours).

    Attributes
    ----------
    width : int or None
        Working width in pixels; None is the video's own.
    """

    width: int | None = DIFFERENCE_WIDTH

    def prepare(self, frame: FrameView) -> NDArray[np.uint8]:
        """Return the grey picture at the working width."""
        return grey_at(frame, self.width)

    def compare(self, previous: NDArray[np.uint8], current: NDArray[np.uint8]) -> float:
        """Return the mean difference in grey levels."""
        return mean_difference(previous, current)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the values depend on, JSON-ready."""
        return {"width": self.width}


@dataclass(frozen=True, slots=True)
class Motion:
    """Mean length of the codec's motion vectors (ours); ranks frames badly, see `motion_magnitude`."""

    def prepare(self, frame: FrameView) -> float:
        """Return the magnitude of the frame's own vectors, NaN where it has none."""
        vectors = frame.motion_vectors()
        return motion_magnitude(vectors, frame.luma().shape) if len(vectors) else math.nan

    def compare(self, previous: float, current: float) -> float:
        """Return the later frame's magnitude: its vectors lead there from its references."""
        return current

    @property
    def parameters(self) -> dict[str, Any]:
        """What the values depend on, JSON-ready."""
        return {}


@dataclass(frozen=True, slots=True)
class Feature:
    """One minus the cosine of two frames' features (FSD, Eq. 5 of Yoon & Choi 2023).

    Attributes
    ----------
    embedder : callable
        (N, H, W, 3) uint8 RGB to (N, D) float32.
    """

    embedder: Embedder

    def prepare(self, frame: FrameView) -> NDArray[np.float64]:
        """Return the frame's features."""
        features = np.asarray(self.embedder(frame.rgb()[np.newaxis]))
        if features.ndim != 2 or features.shape[0] != 1:
            raise ValueError(f"the embedder must map (1, H, W, 3) to (1, D), it returned {features.shape}")
        return np.asarray(features[0], dtype=np.float64)

    def compare(self, previous: NDArray[np.float64], current: NDArray[np.float64]) -> float:
        """Return 1 - cosine; NaN for a zero vector."""
        return feature_dissimilarity(previous, current)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the values depend on, JSON-ready."""
        described = getattr(self.embedder, "parameters", None)
        if not isinstance(described, Mapping):
            raise ValueError(
                f"{self.embedder!r} has no 'parameters' mapping, so its results cannot be named in a store; "
                "give it one, or score without a store"
            )
        return {"embedder": dict(described)}


def feature_dissimilarities(
    embeddings: NDArray[np.floating[Any]],
    frame_index: NDArray[np.int64],
    is_usable: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Measure one minus the cosine of each frame's features and the next one's (FSD, Eq. 5 of Yoon & Choi 2023).

    Parameters
    ----------
    embeddings : (M, D) float16, float32 or float64
        Features of decoded frames, in order; D of 1 or more.
    frame_index : (M,) int64
        Which frames they are, increasing.
    is_usable : (M,) bool, optional
        False for frames at which nothing shall be measured.

    Returns
    -------
    (M,) float64
        In [0, 2]; entry i compares rows i and i + 1, the last is 0.0. NaN where a row is zero or not finite, where
        one of the two is not usable, and where frames are missing in between.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    Computed in float64, equal to `feature_dissimilarity` of each pair. Features kept as float16 carry a relative
    error of up to 2^-11 each; on four real clips (MobileNetV2) that moved values by less than .1 % and 2e-5, and
    the order of frames hardly (Spearman .99998 or more against float32).
    """
    count = len(embeddings)
    usable = np.ones(count, bool) if is_usable is None else np.asarray(is_usable, bool)
    if embeddings.ndim != 2 or frame_index.shape != (count,) or usable.shape != (count,):
        raise ValueError(
            f"embeddings must be (M, D) with M indices and M flags, got {embeddings.shape}, "
            f"{frame_index.shape} and {usable.shape}"
        )
    values = np.zeros(count, np.float64)
    for start in range(0, max(0, count - 1), _BLOCK_ROWS):
        rows = np.asarray(embeddings[start : start + _BLOCK_ROWS + 1], np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            rows = rows / np.abs(rows).max(axis=1, keepdims=True)
            left, right = rows[:-1], rows[1:]
            lengths = np.sqrt((rows * rows).sum(axis=1))
            cosine = (left * right).sum(axis=1) / (lengths[:-1] * lengths[1:])
        found = np.clip(1.0 - cosine, 0.0, 2.0)
        found[(left == right).all(axis=1)] = 0.0
        values[start : start + len(found)] = found
    apart = (np.diff(frame_index) != 1) | ~usable[:-1] | ~usable[1:]
    values[:-1][apart] = np.nan
    return values


def make_flow(profile: str, embedder: Embedder | None) -> Flow:
    """Return the flow signal of a profile."""
    return Flow(FLOW_WIDTHS[profile])


def make_ssim(profile: str, embedder: Embedder | None) -> Ssim:
    """Return the SSIM signal of a profile."""
    return Ssim(SSIM_WINDOWS[profile])


def make_feature(profile: str, embedder: Embedder | None) -> Feature:
    """Return the feature signal of an embedder, the same in every profile."""
    if embedder is None:
        raise ValueError(
            "signal 'feature' needs an embedder; pass embedder=, for example make_embedder('hog')"
        )
    return Feature(embedder)


def make_difference(profile: str, embedder: Embedder | None) -> Difference:
    """Return the difference signal, the same in every profile."""
    return Difference()


def make_motion(profile: str, embedder: Embedder | None) -> Motion:
    """Return the motion-vector signal, the same in every profile."""
    return Motion()


def make_signals(
    names: Sequence[str], *, profile: str = "default", embedder: Embedder | None = None
) -> dict[str, Signal]:
    """Build the signals asked for, in the order asked.

    Parameters
    ----------
    names : sequence of str
        Keys of `SIGNALS`, each once.
    profile : str
        One of `PROFILES`.
    embedder : callable, optional
        What ``"feature"`` uses: (N, H, W, 3) uint8 RGB to (N, D) float32.

    Returns
    -------
    dict of str to Signal
        For `score_frames`.

    Raises
    ------
    ValueError
        If a name or the profile is unknown, a name is repeated, or ``"feature"`` has no embedder.
    """
    from evfr.signals import SIGNALS

    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")
    for name in names:
        if name not in SIGNALS:
            raise ValueError(f"signal must be one of {', '.join(SIGNALS)}, got {name!r}")
    if len(set(names)) != len(names):
        raise ValueError(f"each signal can be asked for once, got {list(names)}")
    return {name: SIGNALS[name](profile, embedder) for name in names}


def signal_parameters(
    name: str, *, profile: str = "default", embedder: Embedder | None = None
) -> dict[str, Any]:
    """Describe all that a signal's values depend on besides the video, for the key of a stored result.

    Parameters
    ----------
    name : str
        A key of `SIGNALS`.
    profile : str
        As in `make_signals`.
    embedder : callable, optional
        As in `make_signals`.

    Returns
    -------
    dict
        JSON-ready: the signal, a schema version, widths, windows, methods. Profiles that compute the same
        values have the same description, so that they share what is stored.

    Raises
    ------
    ValueError
        As in `make_signals`, or if the embedder has no ``parameters``.
    """
    signal: Any = make_signals([name], profile=profile, embedder=embedder)[name]
    return {"signal": name, "schema": SCHEMA_VERSION, **signal.parameters}
