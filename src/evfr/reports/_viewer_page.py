"""Make the page of `evfr view`, and hand out the files that it may load: the report's scripts and its own."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from evfr.reports._page import SCRIPTS, STYLES, data_block

__all__ = ["ASSETS", "render_viewer", "viewer_asset"]

VIEWER_STYLES = (*STYLES, "assets/carry.css", "assets/viewer.css")
VIEWER_SCRIPTS = (
    *(name for name in SCRIPTS if name != "assets/report.js"),
    "assets/outline.js",
    "assets/carry_lanes.js",
    "assets/viewer_api.js",
    "assets/viewer_state.js",
    "assets/viewer_list.js",
    "assets/viewer_form.js",
    "assets/viewer_labels.js",
    "assets/viewer_player.js",
    "assets/viewer_map.js",
    "assets/viewer_side.js",
    "assets/viewer.js",
)
MEDIA_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
ASSETS = {name.rpartition("/")[2]: name for name in (*VIEWER_STYLES, *VIEWER_SCRIPTS)}
"""What the page asks for under ``/assets/``, and the file of the package that it is."""


def render_viewer(token: str) -> str:
    """Render the page of the viewer, which fetches everything but its token.

    Unlike a report it stands on several files: they are served under ``/assets/`` by `viewer_asset`. The page
    has no script and no style of its own, so that a policy of ``'self'`` is enough.

    Parameters
    ----------
    token : str
        What the page sends along with every request, in the header ``X-Evfr-Token``.

    Returns
    -------
    str
        ASCII only.
    """
    parts: dict[str, Any] = {
        "styles": "\n".join(
            f'<link rel="stylesheet" href="/assets/{_base(name)}">' for name in VIEWER_STYLES
        ),
        "scripts": "\n".join(
            f'<script src="/assets/{_base(name)}" defer></script>' for name in VIEWER_SCRIPTS
        ),
        "data": data_block("viewer", {"token": token}),
    }
    # One pass: what is filled in is never searched for marks again.
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _read("assets/viewer.html").decode("ascii"))


def viewer_asset(name: str) -> tuple[bytes, str]:
    """Return one of the files that the viewer's page loads.

    Parameters
    ----------
    name : str
        A key of `ASSETS`; no other name reaches a file.

    Returns
    -------
    tuple of bytes and str
        Content and media type.

    Raises
    ------
    ValueError
        If the page has no such file.
    """
    if name not in ASSETS:
        raise ValueError(f"the viewer has no file {name!r}; it has {', '.join(ASSETS)}")
    return _read(ASSETS[name]), MEDIA_TYPES[name.rpartition(".")[2]]


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _read(name: str) -> bytes:
    return resources.files("evfr.reports").joinpath(name).read_bytes()
