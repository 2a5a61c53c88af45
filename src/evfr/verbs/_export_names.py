"""Names of exported pictures that no tool and no system can spoil."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

__all__ = ["picture_name", "video_slugs"]

_OTHER = re.compile(r"[^A-Za-z0-9]+")
_LONGEST = 60


def video_slugs(video_ids: Iterable[str]) -> dict[str, str]:
    """Return a short ASCII name for each video; no two are equal, also where case does not count.

    Parameters
    ----------
    video_ids : iterable of str
        The videos, in order.

    Returns
    -------
    dict of str to str
        Letters, digits and ``-``. Where two would be equal, or nothing or too much is left of a name, eight digits of
        its hash stand at the end, so that the name of a video does not depend on where it stands.
    """
    ids = list(video_ids)
    plain = {name: _plain(name) for name in ids}
    counts: dict[str, int] = {}
    for slug in plain.values():
        counts[slug.casefold()] = counts.get(slug.casefold(), 0) + 1
    slugs = {}
    for name, slug in plain.items():
        if not slug or len(slug) > _LONGEST or counts[slug.casefold()] > 1:
            digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
            slug = f"{slug[:_LONGEST].rstrip('-') or 'video'}-{digest}"
        slugs[name] = slug
    return slugs


def picture_name(slug: str, frame_index: int, pts: int | None, role: str, image_format: str) -> str:
    """Return the file name of one picture, such as ``drive_f000042_p1302.png``.

    Parameters
    ----------
    slug : str
        Of the video.
    frame_index : int
        The frame.
    pts : int or None
        Its time stamp; a negative one is written with ``m``.
    role : str
        ``"context"`` is part of the name.
    image_format : str
        The ending.

    Returns
    -------
    str
        The name.
    """
    time = "none" if pts is None else str(pts).replace("-", "m")
    mark = "_context" if role == "context" else ""
    return f"{slug}_f{frame_index:06d}_p{time}{mark}.{image_format}"


def _plain(video_id: str) -> str:
    path = PurePosixPath(video_id)
    return _OTHER.sub("-", str(path.with_suffix("")) if path.suffix else video_id).strip("-")
