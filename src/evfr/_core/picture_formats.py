"""Which kinds of pictures may be opened: by name, because among Pillow's others are some that run programs."""

from __future__ import annotations

from functools import cache

__all__ = ["picture_formats"]

# EPS calls Ghostscript, and Pillow goes by a file's content: a "mask.png" may be PostScript.
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF")


@cache
def picture_formats(*others: str) -> tuple[str, ...]:
    """Return those formats that this build of Pillow has, as ``PIL.Image.open(formats=...)`` takes them."""
    from PIL import Image

    Image.init()
    return tuple(name for name in (*_FORMATS, *others) if name in Image.OPEN)
