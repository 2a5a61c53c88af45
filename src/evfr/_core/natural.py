"""Order names as people do."""

from __future__ import annotations

import re

__all__ = ["natural_key"]

_DIGITS = re.compile(r"(\d+)", re.ASCII)


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sort key under which ``img2`` comes before ``img10``; a total order on names.

    Examples
    --------
    >>> sorted(["img10.png", "img2.png", "img02.png"], key=natural_key)
    ['img02.png', 'img2.png', 'img10.png']
    """
    parts = tuple(
        (0, int(part), "") if index % 2 else (1, 0, part.casefold())
        for index, part in enumerate(_DIGITS.split(name))
    )
    return parts, name
