"""Decode one image file to upright 8-bit RGB, or say why it cannot be."""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from evfr._core.picture_formats import picture_formats

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BadImageError", "decode_image"]

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


class BadImageError(Exception):
    """An image that cannot be decoded; the text says why. It stays inside this family."""


def decode_image(data: bytes, *, max_pixels: int) -> NDArray[np.uint8]:
    """Decode an image to RGB as it is meant to be seen.

    EXIF orientation is applied; 16-bit samples are rounded to 8 (x / 257); CMYK, palettes, grey and 1 bit are
    converted; alpha is dropped, not blended.

    Parameters
    ----------
    data : bytes
        The image file.
    max_pixels : int
        Largest picture to accept; checked before memory is taken for it.

    Returns
    -------
    (H, W, 3) uint8
        RGB.

    Raises
    ------
    BadImageError
        If the image is empty, unknown, broken, cut short or too large.
    """
    if not data:
        raise BadImageError("empty")
    try:
        with warnings.catch_warnings():
            # Pillow only warns where we refuse, and warns about harmless metadata.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=picture_formats()) as image:
                if image.width * image.height > max_pixels:
                    raise BadImageError(f"{image.width}x{image.height} is more than {max_pixels} pixels")
                if _is_deep(data, image):
                    return _deep(data, image)
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _deep_tiff(data, max_pixels)
        raise BadImageError("not an image of a known format") from error
    except Image.DecompressionBombError as error:
        raise BadImageError("far too many pixels") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        IndexError,
        KeyError,
        TypeError,
        struct.error,
        EOFError,
    ) as error:
        # What Pillow's plugins raise on broken files is not narrower than this.
        raise BadImageError(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    mode = image.mode
    if mode.startswith("I;16") or mode == "I":
        samples = np.asarray(image).astype(np.int64)
        if samples.size and (samples.min() < 0 or samples.max() > 0xFFFF):
            raise BadImageError("32-bit samples")
        return _grey_to_rgb(_to_8_bit(samples))
    if mode == "F":
        raise BadImageError("floating-point samples")
    if mode == "PA" or (mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "RGBX", "LA", "La", "RGBa"):
        # Taking the colour bands drops alpha without blending it in.
        bands = image.split()
        image = Image.merge("RGB", bands[:3]) if len(bands) == 4 else bands[0]
    return np.array(image.convert("RGB"), np.uint8)


def _is_deep(data: bytes, image: Image.Image) -> bool:
    """Whether this is a colour PNG or TIFF of 16 bits, which Pillow would cut to 8 instead of rounding."""
    if data.startswith(_PNG_HEAD):
        return len(data) > 26 and data[24] == 16 and data[25] in (2, 4, 6)
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(258, ())
    return image.format == "TIFF" and len(bits) >= 3 and max(bits) == 16


def _deep(data: bytes, image: Image.Image) -> NDArray[np.uint8]:
    image.load()  # Pillow finds cut and corrupt files, which OpenCV fills in silently
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise BadImageError("16-bit samples that do not decode")
    picture = Image.fromarray(_swap(samples))
    orientation = image.getexif().get(0x0112, 1)
    if orientation != 1:
        picture.getexif()[0x0112] = orientation
        picture = ImageOps.exif_transpose(picture)
    return np.array(picture, np.uint8)


def _deep_tiff(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """Decode TIFF forms that Pillow does not know (16-bit colour)."""
    width, height = _tiff_size(data)
    if width * height > max_pixels:  # OpenCV would take the memory first
        raise BadImageError(f"{width}x{height} is more than {max_pixels} pixels")
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise BadImageError("a TIFF form that is not known") from error
    if samples is None or samples.dtype not in (np.uint8, np.uint16):
        raise BadImageError("a TIFF form that is not known")
    if samples.shape[0] * samples.shape[1] > max_pixels:
        raise BadImageError(f"{samples.shape[1]}x{samples.shape[0]} is more than {max_pixels} pixels")
    return _swap(samples)


def _tiff_size(data: bytes) -> tuple[int, int]:
    """Return the width and height that the first directory claims."""
    order = "<" if data[:2] == b"II" else ">"
    sides = {256: 0, 257: 0}
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, place)
            if tag in sides and kind in (3, 4):
                (side,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, place + 8)
                sides[tag] = max(sides[tag], side)
    except struct.error as error:
        raise BadImageError("a TIFF that is cut off") from error
    return sides[256], sides[257]


def _swap(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Return RGB of OpenCV's BGR, BGRA or grey."""
    shallow = samples.astype(np.uint8) if samples.dtype == np.uint8 else _to_8_bit(samples)
    if shallow.ndim == 2:
        return _grey_to_rgb(shallow)
    return np.ascontiguousarray(shallow[:, :, 2::-1])


def _to_8_bit(samples: NDArray[Any]) -> NDArray[np.uint8]:
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _grey_to_rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, None], 3, axis=2)
