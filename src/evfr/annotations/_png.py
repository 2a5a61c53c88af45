"""Label pictures whose pixels are numbers: PNG of one exact mode, checked before it is unpacked."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from evfr.annotations._parse import check_pixels
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["frame_number", "read_png", "write_png"]

_LAST_NUMBER = re.compile(r"([0-9]+)$")


def frame_number(name: str, where: str) -> int:
    """Return the number that a file's name ends in, before the suffix.

    Parameters
    ----------
    name : str
        For example ``"0001/000012.png"``.
    where : str
        The folder or zip, for the error's text.

    Returns
    -------
    int
        For example 12.

    Raises
    ------
    AnnotationError
        If the name ends in no number, or in one of more than nine digits.
    """
    found = _LAST_NUMBER.search(PurePosixPath(name).stem)
    if found is None or len(found[1]) > 9:
        raise AnnotationError(
            f"{where}: the name {name[:200]!r} must end in the number of its frame, of at most nine digits"
        )
    return int(found[1])


def read_png(data: bytes, where: str, modes: Sequence[str]) -> NDArray[Any]:
    """Return the numbers in a PNG.

    Parameters
    ----------
    data : bytes
        The file.
    where : str
        File and entry, for the error's text.
    modes : sequence of str
        Pillow's modes that are allowed, ``"I;16"``, ``"RGBA"``, ...

    Returns
    -------
    (H, W) or (H, W, C) uint8, uint16 or int32
        Pixels as stored.

    Raises
    ------
    AnnotationError
        If it is no whole PNG, of another mode, or larger than 2^26 pixels.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; here they are refused by their size instead.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
                check_pixels(picture.height, picture.width, where)
                if picture.mode not in modes:
                    raise AnnotationError(
                        f"{where}: the PNG has the mode {picture.mode}, these labels need {' or '.join(modes)}"
                    )
                return np.array(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise AnnotationError(f"{where} is no whole PNG: {error}") from error


def write_png(pixels: NDArray[Any]) -> bytes:
    """Return a PNG of (H, W) uint8 or uint16, or (H, W, 4) uint8 numbers."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
