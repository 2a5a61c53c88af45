"""What a model wants done to a picture before it sees it, as one small value that needs no model and no torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from evfr.embeddings._classic import checked_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Fit", "Interpolation", "Preprocess"]

Fit = Literal["none", "exact", "shortest", "longest", "cover"]
Interpolation = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming", "area"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

FITS = ("none", "exact", "shortest", "longest", "cover")
PIL_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

SUPPORTS = {"nearest": 0.5, "lanczos": 3.0, "bilinear": 1.0, "bicubic": 2.0, "box": 0.5, "hamming": 1.0}


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize, crop and order the channels of a frame; carry along how the model normalises it.

    Calling it gives the picture that the model takes, still in 8 bit: small enough to be sent between
    processes. The normalisation, ``(pixel * rescale - mean) / std``, is done by `normalised`, or by the
    embedder on its device.

    Attributes
    ----------
    fit : {"none", "exact", "shortest", "longest", "cover"}
        How the frame meets ``size``. ``"exact"`` stretches it to (height, width); ``"shortest"`` and
        ``"longest"`` bring that edge to ``size`` pixels and keep the proportions; ``"cover"`` cuts the
        largest middle part of the proportions of (height, width), then stretches; ``"none"`` keeps it.
    size : int or (int, int) or None
        The edge in pixels for shortest and longest, (height, width) for exact and cover, None for none.
    interpolation : str
        ``"nearest"``, ``"bilinear"``, ``"bicubic"``, ``"lanczos"``, ``"box"`` and ``"hamming"`` as Pillow has
        them, with antialiasing; ``"area"`` is OpenCV's average over areas (bilinear where it enlarges).
    crop : (int, int) or None
        Height and width of the middle that is cut out after the resizing; a smaller picture is padded
        with zeros.
    crop_rounding : {"floor", "even"}
        Which pixel the cut starts at where the margin is odd: the lower one (transformers) or the even one
        (torchvision, timm).
    channels : {"rgb", "bgr"}
        Order of the channels that the model takes; ``mean`` and ``std`` are in that order.
    rescale : float
        Factor of the 8-bit pixels.
    mean, std : (float, float, float)
        Subtracted after ``rescale``, divided by last.

    Examples
    --------
    >>> import numpy as np
    >>> prepare = Preprocess("shortest", 32, crop=(24, 24))
    >>> prepare(np.zeros((90, 160, 3), np.uint8)).shape
    (24, 24, 3)
    """

    fit: Fit = "exact"
    size: int | tuple[int, int] | None = (224, 224)
    interpolation: Interpolation = "bilinear"
    crop: tuple[int, int] | None = None
    crop_rounding: Literal["floor", "even"] = "floor"
    channels: Literal["rgb", "bgr"] = "rgb"
    rescale: float = 1 / 255
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}")
        if self.fit == "none" and self.size is not None:
            raise ValueError(f"fit='none' takes no size, got {self.size}")
        if self.fit in ("shortest", "longest") and not (isinstance(self.size, int) and self.size >= 1):
            raise ValueError(f"fit={self.fit!r} needs size as one number of pixels, got {self.size}")
        if self.fit in ("exact", "cover") and not _is_pair(self.size):
            raise ValueError(f"fit={self.fit!r} needs size as (height, width) in pixels, got {self.size}")
        if self.crop is not None and not _is_pair(self.crop):
            raise ValueError(f"crop must be (height, width) in pixels, got {self.crop}")
        if self.interpolation not in (*PIL_FILTERS, "area"):
            allowed = ", ".join((*PIL_FILTERS, "area"))
            raise ValueError(f"interpolation must be one of {allowed}, got {self.interpolation!r}")
        if self.crop_rounding not in ("floor", "even"):
            raise ValueError(f"crop_rounding must be 'floor' or 'even', got {self.crop_rounding!r}")
        if self.channels not in ("rgb", "bgr"):
            raise ValueError(f"channels must be 'rgb' or 'bgr', got {self.channels!r}")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != 3 or not np.isfinite(values).all():
                raise ValueError(f"{name} must be three finite numbers, got {values}")
        if 0 in self.std or not np.isfinite(self.rescale) or self.rescale == 0:
            raise ValueError(f"std and rescale must not be 0, got {self.std} and {self.rescale}")

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture that the model takes: (H, W, 3) uint8 RGB to (h, w, 3) uint8.

        Raises
        ------
        TypeError, ValueError
            If the frame is not (H, W, 3) uint8.
        """
        (frame,) = checked_frames((frame,))
        if self.fit == "cover":
            assert isinstance(self.size, tuple)  # __post_init__ saw to it
            frame = _cover(frame, *self.size)
        picture = self._resized(frame)
        if self.channels == "bgr":
            picture = picture[..., ::-1]
        return np.array(picture, order="C")

    def normalised(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return ``(pixel * rescale - mean) / std`` of prepared pictures, (B, h, w, 3) float32."""
        pixels = np.asarray(batch, dtype=np.float32) * np.float32(self.rescale)
        mean, std = (np.asarray(values, dtype=np.float32) for values in (self.mean, self.std))
        return np.asarray((pixels - mean) / std)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of the prepared picture of a frame of (height, width)."""
        return self.crop or self._resized_size(height, width)

    @property
    def parameters(self) -> dict[str, Any]:
        """All of it, JSON-ready, for the key of stored vectors."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    def _resized_size(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.size, tuple):
            return self.size
        if self.size is None:
            return height, width
        # int(), not round(): so do transformers and torchvision.
        short, long = sorted((height, width))
        if self.fit == "shortest":
            edges = self.size, max(1, int(self.size * long / short))
        else:
            edges = max(1, int(self.size * short / long)), self.size
        return edges if height <= width else (edges[1], edges[0])

    def _resized(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        full_height, full_width = frame.shape[:2]
        height, width = self._resized_size(full_height, full_width)
        crop_height, crop_width = self.crop or (height, width)
        kept_height, kept_width = min(crop_height, height), min(crop_width, width)
        top, left = self._margin(height - kept_height), self._margin(width - kept_width)
        if (height, width) == (full_height, full_width):
            picture = frame[top : top + kept_height, left : left + kept_width]
        elif self.interpolation == "area":
            is_smaller = full_height * full_width > height * width
            method = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
            resized = np.asarray(cv2.resize(frame, (width, height), interpolation=method), dtype=np.uint8)
            picture = resized[top : top + kept_height, left : left + kept_width]
        else:
            rows = _Span(top, kept_height, height, full_height)
            columns = _Span(left, kept_width, width, full_width)
            picture = _resampled(frame, rows, columns, self.interpolation)
        if (kept_height, kept_width) == (crop_height, crop_width):
            return picture
        padded = np.zeros((crop_height, crop_width, 3), np.uint8)
        down, right = (crop_height - kept_height) // 2, (crop_width - kept_width) // 2
        padded[down : down + kept_height, right : right + kept_width] = picture
        return padded

    def _margin(self, spare: int) -> int:
        return spare // 2 if self.crop_rounding == "floor" else round(spare / 2)


class _Span(NamedTuple):
    """Along one axis: ``kept`` pixels from ``start`` of ``size`` that were ``full``."""

    start: int
    kept: int
    size: int
    full: int

    def source(self, support: float) -> tuple[int, int, float, float]:
        """Return the pixels that the filter reads, first and behind the last, and the box inside them."""
        step = self.full / self.size
        first, last = self.start * step, min(self.full, (self.start + self.kept) * step)
        reach = support * max(1.0, step) + 1
        low, high = max(0, math.floor(first - reach)), min(self.full, math.ceil(last + reach))
        return low, high, first - low, last - low


def _resampled(
    frame: NDArray[np.uint8], rows: _Span, columns: _Span, interpolation: str
) -> NDArray[np.uint8]:
    """Resample only what is kept, first along the rows: Pillow itself picks the order by the cost, and with
    pixels rounded to 8 bit in between the order shows."""
    method, support = PIL_FILTERS[interpolation], SUPPORTS[interpolation]
    top, bottom, first_row, last_row = rows.source(support)
    left, right, first_column, last_column = columns.source(support)
    image = Image.fromarray(np.ascontiguousarray(frame[top:bottom, left:right]))
    image = image.resize(
        (columns.kept, bottom - top), method, box=(first_column, 0, last_column, bottom - top)
    )
    image = image.resize((columns.kept, rows.kept), method, box=(0, first_row, columns.kept, last_row))
    return np.asarray(image)


def _is_pair(size: Any) -> bool:
    return isinstance(size, tuple) and len(size) == 2 and all(isinstance(s, int) and s >= 1 for s in size)


def _cover(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut the largest middle part of a frame that has the proportions of (height, width)."""
    full_height, full_width = frame.shape[:2]
    if full_width * height > full_height * width:
        kept = max(1, full_height * width // height)
        left = (full_width - kept) // 2
        return frame[:, left : left + kept]
    kept = max(1, full_width * height // width)
    top = (full_height - kept) // 2
    return frame[top : top + kept]
