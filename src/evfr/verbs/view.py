"""`evfr view`: look at a selection, at carried labels or at a store in the browser, and try other choices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr.verbs._view_guard import Guard

__all__ = ["ViewResult", "create_app", "view"]


@dataclass(frozen=True, slots=True)
class ViewResult:
    """Say what was viewed, after the viewer has ended.

    Attributes
    ----------
    folder : Path
        What was shown.
    url : str
        Where, without the token.
    video_count : int
        How many videos it has.
    """

    folder: Path
    url: str
    video_count: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        return {"folder": str(self.folder), "url": self.url, "video_count": self.video_count}

    def __str__(self) -> str:
        return f"viewed {self.folder} ({self.video_count} videos) at {self.url}"


def create_app(
    folder: str | Path,
    *,
    token: str,
    port: int,
    labels: Path | None = None,
    store: Path | None = None,
    edit: bool = False,
) -> Guard:
    """Return the viewer as an ASGI application, for a server of your own on this machine.

    Parameters
    ----------
    folder, labels, store, edit
        As in `view`.
    token : str
        What the address must carry; at least 16 characters that nobody can guess.
    port : int
        Where it will listen: requests for another host or port are refused.

    Returns
    -------
    Guard
        An ASGI application; its ``session`` holds what is shown.

    Raises
    ------
    InputError
        If the folder is nothing that can be viewed, or the labels cannot be read.
    ValueError
        If the token is too short.
    MissingExtraError
        If Starlette is not installed.
    """
    from evfr.verbs._view_app import make_app
    from evfr.verbs._view_session import ViewSession

    if len(token) < 16:
        raise ValueError(
            f"token must have 16 characters or more, got {len(token)}; use secrets.token_urlsafe(32)"
        )
    session = ViewSession(
        folder,
        labels=None if labels is None else Path(labels),
        store=None if store is None else Path(store),
        is_editable=edit,
    )
    return make_app(session, token=token, port=port)


def view(
    folder: str | Path,
    *,
    labels: Path | None = None,
    store: Path | None = None,
    edit: bool = False,
    port: int = 0,
    open: bool = True,
) -> ViewResult:
    """Show a selection, a review folder or a store in the browser, and try other budgets and methods.

    The address is printed and, on a desktop, opened; Ctrl-C ends it. It is served to this machine alone, and only
    to who has the printed address. Needs Starlette and uvicorn: ``python -m pip install 'evfr[view]'``.

    Parameters
    ----------
    folder : path
        A folder that `evfr select` wrote, the review folder of `evfr propagate`, or a store.
    labels : Path or None
        Labels to draw on the frames: the file that `evfr propagate` wrote, or any format that evfr reads.
    store : Path or None
        Where the measurements are kept; None is the user's cache folder, or ``EVFR_STORE``.
    edit : bool
        Allow the page to save selections below the folder; without it nothing there is ever changed.
    port : int
        Where to listen on 127.0.0.1; 0 takes a free port.
    open : bool
        Open the page in the browser.

    Returns
    -------
    ViewResult
        After the viewer has ended.

    Raises
    ------
    InputError
        If the folder is nothing that can be viewed, or the labels cannot be read.
    ValueError
        If the port is out of range.
    OSError
        If the port is taken.
    MissingExtraError
        If Starlette or uvicorn is not installed.

    Examples
    --------
    >>> import evfr
    >>> evfr.view("picks", open=False)  # doctest: +SKIP
    http://127.0.0.1:41873/?token=...
    """
    import secrets

    from evfr._core.lazy import require
    from evfr.verbs._view_serve import listen, serve

    require("uvicorn", extra="view")
    if not 0 <= port <= 65535:
        raise ValueError(f"port must lie in 0..65535, got {port}")
    token = secrets.token_urlsafe(32)
    with listen(port) as listener:
        taken = listener.getsockname()[1]
        app = create_app(folder, token=token, port=taken, labels=labels, store=store, edit=edit)
        url = f"http://127.0.0.1:{taken}/"
        serve(app, listener, address=f"{url}?token={token}", has_browser=open)
    return ViewResult(Path(folder), url, len(app.session))
