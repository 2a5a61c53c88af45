"""One picture from one image file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from evfr.errors import InputError
from evfr.video._container import DEFAULT_MAX_PIXELS, printable
from evfr.video._pictures import BadImageError, decode_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_image"]


def read_image(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Read an image file as an upright RGB picture, as folders of images are read (ours).

    Parameters
    ----------
    path : str or Path
        JPEG, PNG, TIFF, WebP, BMP and others.
    max_pixels : int
        Largest picture to accept.

    Returns
    -------
    (H, W, 3) uint8
        RGB; EXIF orientation is applied.

    Raises
    ------
    InputError
        If the file cannot be read or is no image.
    """
    try:
        return decode_image(Path(path).read_bytes(), max_pixels=max_pixels)
    except OSError as error:
        raise InputError(f"cannot read the image {printable(str(path))}: {error.strerror}") from error
    except BadImageError as error:
        raise InputError(f"{printable(str(path))} is no image that can be read: {error}") from error
