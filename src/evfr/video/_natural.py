"""Order file names as people do, and know images and videos by their extension."""

from __future__ import annotations

import os

from evfr._core.natural import natural_key
from evfr.errors import ProblemCode
from evfr.video._container import fail

__all__ = ["IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "image_names", "is_image_name", "is_video_name", "natural_key"]

_IMAGES = ".jpg .jpeg .jpe .jfif .png .bmp .dib .tif .tiff .webp .ppm .pgm .pbm .pnm .tga .jp2 .avif"
_VIDEOS = (
    ".mp4 .m4v .mov .qt .mkv .webm .avi .divx .ts .m2ts .mts .mpg .mpeg .vob .m2v .m1v .flv .f4v .wmv .asf .ogv "
    ".ogg .ogm .3gp .3g2 .mxf .gxf .dv .nut .gif .apng .y4m .264 .h264 .avc .26l .265 .h265 .hevc .266 .vvc "
    ".ivf .obu .av1 .mjpg .mjpeg .mj2 .rm .rmvb .wtv .nuv .dav .ser .cine .trp .tp .mod .tod"
)
IMAGE_SUFFIXES = frozenset(_IMAGES.split())
VIDEO_SUFFIXES = frozenset(_VIDEOS.split())


def is_image_name(name: str) -> bool:
    """Whether the extension is an image's; hidden files (a leading dot) are none."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def is_video_name(name: str) -> bool:
    """Whether the extension is a video's; hidden files (a leading dot) are none."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122


def image_names(folder: str | os.PathLike[str]) -> list[str]:
    """Return the names of the image files directly inside a folder, in natural order.

    Raises
    ------
    VideoError
        If the folder cannot be listed (``E_NOT_FOUND``, ``E_UNREADABLE``).
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if is_image_name(e.name) and not _is_folder(e)]
    except FileNotFoundError as error:
        raise fail(ProblemCode.E_NOT_FOUND, "no such folder; check the path", folder) from error
    except OSError as error:
        message = f"cannot be listed: {error.strerror}; check its permissions"
        raise fail(ProblemCode.E_UNREADABLE, message, folder) from error
    return sorted(names, key=natural_key)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
