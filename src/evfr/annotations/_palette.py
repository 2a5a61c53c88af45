"""Pictures with one label a pixel, with or without a palette: sizes are checked before pixels are decoded."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from evfr._core.picture_formats import picture_formats
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DAVIS_PALETTE", "picture_size", "read_labels", "write_labels"]

_PIXELS_MOST = 1 << 27
"""A little less than where Pillow itself refuses, so that the error is ours."""


def _davis_palette() -> NDArray[np.uint8]:
    """Spread the bits of each index over the high bits of R, G and B, as PASCAL VOC and DAVIS colour labels."""
    index = np.arange(256)
    palette = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((index >> channel) & 1) << (7 - bit)
        index = index >> 3
    return palette.astype(np.uint8)


DAVIS_PALETTE: NDArray[np.uint8] = _davis_palette()
"""(256, 3) uint8: black, dark red, dark green, ..."""


def _open(data: bytes, where: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is ours
            image = Image.open(io.BytesIO(data), formats=picture_formats("GIF"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"{where} is no readable picture: {error}") from error
    if image.width * image.height > _PIXELS_MOST:
        raise AnnotationError(f"{where} claims {image.width}x{image.height} pixels, more than {_PIXELS_MOST}")
    return image


def picture_size(data: bytes, where: str) -> tuple[int, int]:
    """Return (width, height) from a picture's header."""
    with _open(data, where) as image:
        return image.size


def read_labels(
    data: bytes, where: str, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.integer[Any]], bool]:
    """Decode a picture of labels; (width, height) is checked before any pixel is.

    Parameters
    ----------
    data : bytes
        The file.
    where : str
        For errors.
    size : (int, int) or None
        Width and height that it must have.

    Returns
    -------
    labels : (H, W) uint8, uint16 or int32
        Palette indices or grey values.
    has_palette : bool
        Whether the values are indices into a palette.

    Raises
    ------
    AnnotationError
        If it cannot be decoded, has another size, or several channels.
    """
    with _open(data, where) as image:
        if size is not None and image.size != size:
            raise AnnotationError(
                f"{where} has {image.width}x{image.height} pixels, but the labels before have {size[0]}x{size[1]}; "
                "all pictures of one video need one size"
            )
        if image.mode not in ("P", "L", "1", "I;16", "I;16B", "I"):
            raise AnnotationError(
                f"{where} is a picture of kind {image.mode}; labels need one value a pixel (palette or grey), "
                "not colours"
            )
        has_palette = image.mode == "P"
        try:
            labels = np.asarray(image)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise AnnotationError(f"{where} is cut off or broken: {error}") from error
    return (labels.view(np.uint8) if labels.dtype == np.bool_ else labels), has_palette


def write_labels(labels: NDArray[np.integer[Any]], *, palette: NDArray[np.uint8] | None = None) -> bytes:
    """Encode labels as PNG: 8 bits with or without a palette, grey 16 bits where a value up to 65535 needs them."""
    is_small = palette is not None or int(labels.max(initial=0)) < 256
    image = Image.fromarray(labels.astype(np.uint8 if is_small else np.uint16))
    if palette is not None:
        image.putpalette(palette.tobytes())  # makes it a picture of kind P
    sink = io.BytesIO()
    image.save(sink, format="PNG")
    return sink.getvalue()
