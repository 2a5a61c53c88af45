"""One picture of labels a frame: from pixels to objects and back, for DAVIS and for plain mask folders."""

from __future__ import annotations

import os
import secrets
import shutil
import zipfile
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.atomic import atomic_file, atomic_write_bytes, make_folder
from evfr.annotations._parse import check_pixels
from evfr.annotations._paths import safe_name
from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from evfr._core.annotations import ObjectRow

__all__ = ["Priority", "paint", "write_tree"]

Priority = Literal["low", "high", "small"]
"""Who is in front where objects overlap: the lowest track, the highest track, or the smallest mask."""


def paint(
    rows: Sequence[ObjectRow],
    values: Sequence[int],
    size: tuple[int, int],
    priority: Priority | None,
    where: str,
) -> NDArray[np.int64]:
    """Paint the masks of one frame into one picture.

    Parameters
    ----------
    rows : sequence of ObjectRow
        The objects of the frame; each needs a mask.
    values : sequence of int
        What each paints; equal values may overlap.
    size : (int, int)
        Width and height.
    priority : {"low", "high", "small"} or None
        Who wins a pixel; None makes an overlap an error.
    where : str
        For errors.

    Returns
    -------
    (H, W) int64
        0 where there is no object.

    Raises
    ------
    AnnotationError
        If an object has no mask, or two overlap without a priority.
    """
    check_pixels(size[1], size[0], where)
    picture = np.zeros((size[1], size[0]), np.int64)
    order = list(range(len(rows)))
    areas = [0 if row.mask is None else row.mask.area for row in rows]
    # Painted from the back to the front.
    if priority == "low":
        order.sort(key=lambda i: -rows[i].track_id)
    elif priority == "high":
        order.sort(key=lambda i: rows[i].track_id)
    elif priority == "small":
        order.sort(key=lambda i: (-areas[i], -rows[i].track_id))
    elif priority is not None:
        raise ValueError(f"priority must be 'low', 'high', 'small' or None, got {priority!r}")
    for i in order:
        row = rows[i]
        if row.mask is None:
            raise AnnotationError(
                f"{where}: track {row.track_id} has a box and no mask; pictures of labels hold masks only"
            )
        mask = row.mask.to_mask()
        if priority is None:
            others = picture[mask]
            hit = others[(others != 0) & (others != values[i])]
            if hit.size:
                other = rows[list(values).index(int(hit[0]))].track_id
                raise AnnotationError(
                    f"{where}: tracks {other} and {row.track_id} overlap in {hit.size} pixels, and a picture holds one "
                    "object a pixel; give priority='small' (small objects in front), 'low' or 'high' (by track)"
                )
        picture[mask] = values[i]
    return picture


def write_tree(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    """Write files below a folder that is new or empty, or into a new zip.

    Parameters
    ----------
    path : Path
        The folder, or a path that ends in ``.zip``.
    files : iterable of (str, bytes)
        Relative names and contents.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    AnnotationError
        If the folder has something in it, or a name leads out of it or is none that a file can have.
    """
    if path.suffix.lower() == ".zip":
        with atomic_file(path) as sink, zipfile.ZipFile(sink, "w") as archive:
            for name, data in files:
                archive.writestr(zipfile.ZipInfo(_file_name(name, path, "strict")), data)
        return path
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise AnnotationError(
            f"{path} is there and not empty; labels are written to a new folder, so that none are mixed"
        )
    make_folder(path.parent)
    temporary = path.parent / f".evfr-{os.getpid()}-{secrets.token_hex(6)}.tmp"
    try:
        made: set[Path] = set()
        for name, data in files:
            target = temporary / _file_name(name, path, "surrogateescape")
            if target.parent not in made:
                make_folder(target.parent)
                made.add(target.parent)
            atomic_write_bytes(target, data, is_durable=False)
        make_folder(temporary)
        temporary.replace(path)
    except OSError as error:
        raise AnnotationError(f"cannot write {path}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _file_name(name: str, path: Path, errors: str) -> str:
    try:
        safe_name(name, str(path)).encode("utf-8", errors)
    except UnicodeEncodeError as error:
        raise AnnotationError(
            f"{path}: {name!r:.200} is no Unicode text and no file can be called so; rename the video"
        ) from error
    return name
