"""Masks of FiftyOne: arrays over the box of a detection, packed in its JSON or in pictures beside it."""

from __future__ import annotations

import base64
import binascii
import io
import math
import zlib
from collections.abc import Mapping
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.masks import Rle
    from evfr.annotations._paths import Place

__all__ = ["pack_mask", "read_mask"]

_HEAD_MOST = 4096


def pack_mask(inside: NDArray[np.bool_]) -> str:
    """Return a mask over its box as FiftyOne keeps it: base64 of zlib of NumPy's format.

    Parameters
    ----------
    inside : (h, w) bool
        The mask.

    Returns
    -------
    str
        ASCII.
    """
    import numpy as np

    sink = io.BytesIO()
    np.save(sink, inside, allow_pickle=False)
    return base64.b64encode(zlib.compress(sink.getvalue())).decode("ascii")


def read_mask(
    detection: Mapping[str, Any],
    corners: tuple[float, float, float, float],
    size: tuple[int, int],
    where: str,
    place: Place | None,
) -> Rle | None:
    """Return the mask of a detection over the whole picture, or None where it has none.

    Parameters
    ----------
    detection : mapping
        Its fields.
    corners : (float, float, float, float)
        x0, y0, x1, y1 of its box in pixels.
    size : (int, int)
        Height and width of the picture.
    where : str
        File and entry, for the error's text.
    place : Place or None
        Where masks in files lie.

    Returns
    -------
    Rle or None
        The mask, scaled to its box by nearest pixels where its size is another.

    Raises
    ------
    AnnotationError
        If it cannot be read, or leaves the picture.
    """
    import numpy as np

    from evfr._core.masks import Rle
    from evfr.annotations._parse import check_pixels

    inside = _found(detection, where, place)
    if inside is None:
        return None
    check_pixels(*size, where)
    x0, y0 = round(corners[0]), round(corners[1])
    width, height = round(corners[2]) - x0, round(corners[3]) - y0
    if x0 < 0 or y0 < 0 or x0 + width > size[1] or y0 + height > size[0] or min(width, height) < 1:
        raise AnnotationError(
            f"{where}: the box of the mask, {width}x{height} at {x0},{y0}, leaves the picture of {size[1]}x{size[0]}"
        )
    if inside.shape != (height, width):
        rows = (2 * np.arange(height) + 1) * inside.shape[0] // (2 * height)
        columns = (2 * np.arange(width) + 1) * inside.shape[1] // (2 * width)
        inside = inside[rows[:, None], columns]
    full = np.zeros(size, np.bool_)
    full[y0 : y0 + height, x0 : x0 + width] = inside
    return Rle.from_mask(full)


def _found(detection: Mapping[str, Any], where: str, place: Place | None) -> NDArray[np.bool_] | None:
    """Return the mask over its box, from the sample itself or from a picture below the folder."""
    import numpy as np

    from evfr.verbs._import_pictures import read_picture

    value = detection.get("mask")
    if value is not None:
        return _unpacked(value, where)
    file = detection.get("mask_path")
    if file is None:
        return None
    if not isinstance(file, str):
        raise AnnotationError(f"{where}: mask_path must name a file, got {file!r:.80}")
    wanted = file.replace("\\", "/")
    names = [name for name in (place.names if place else ()) if f"/{wanted}".endswith(f"/{name}")]
    if len(names) != 1 or place is None:
        raise AnnotationError(
            f"{where}: the mask {file[:80]!r} is not below the folder; export with export_media=True, and give the "
            "folder"
        )
    picture = read_picture(place.read(names[0]), f"{where}, {names[0]}")
    return np.asarray(picture.any(axis=2), np.bool_)


def _unpacked(value: Any, where: str) -> NDArray[np.bool_]:
    from evfr.annotations._parse import PIXELS_MOST

    text = value.get("$binary") if isinstance(value, dict) else value
    text = text.get("base64") if isinstance(text, dict) else text
    if not isinstance(text, str):
        raise AnnotationError(
            f"{where}: a mask must be the base64 text that FiftyOne writes, got {str(value)[:60]!r}"
        )
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(base64.b64decode(text, validate=True), PIXELS_MOST + _HEAD_MOST)
        if engine.unconsumed_tail or not engine.eof:
            raise ValueError("it is cut off, or larger than any picture")
        return _array(io.BytesIO(data), len(data))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise AnnotationError(f"{where}: the mask cannot be unpacked: {error!s:.120}") from error


def _array(stream: io.BytesIO, size: int) -> NDArray[np.bool_]:
    """Read NumPy's format: one picture of one byte a pixel, exactly as long as its head says."""
    import numpy as np

    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("it is an array of an unknown version")
    try:
        shape, is_columns_first, dtype = np.lib.format.read_array_header_1_0(stream)
    except (SyntaxError, TokenError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError(f"the head of the array cannot be read ({type(error).__name__})") from error
    if len(shape) != 2 or dtype.kind not in "bui" or dtype.itemsize != 1 or min(shape) < 1:
        raise ValueError(f"a mask must be a picture of one byte a pixel, got {shape} of {dtype}"[:100])
    if stream.tell() + math.prod(shape) != size:
        raise ValueError(f"the array claims {shape} and has {size - stream.tell()} bytes")
    flat: NDArray[np.bool_] = np.frombuffer(stream.read(), np.uint8) != 0
    return flat.reshape(shape, order="F" if is_columns_first else "C")
