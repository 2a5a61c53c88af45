"""`evfr demo`: the main job with all defaults, on your video or on a clip drawn on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.selection import Selection

__all__ = ["demo"]


def demo(paths: str | Path | Sequence[str | Path] = (), *, out: Path = Path("evfr-out")) -> Selection:
    """Run the main job with all defaults: on your video, or on a clip that evfr draws in a second or two.

    Parameters
    ----------
    paths : path or sequence of paths
        Your videos; none draws the demo clip to ``OUT/demo.mp4``.
    out : Path
        Folder for the selected frames, the manifest and the report page.

    Returns
    -------
    Selection
        10 % of the frames, chosen by ``auto`` from optical flow.

    Raises
    ------
    InputError
        If no video has a usable frame.

    Examples
    --------
    >>> import evfr.verbs.demo
    >>> evfr.verbs.demo.demo()  # doctest: +SKIP
    Selection(30 frames of 1 videos)
    """
    from evfr._core.progress import current_progress
    from evfr.verbs.select import select
    from evfr.video import draw_clip

    inputs = [paths] if isinstance(paths, str | Path) else list(paths)
    if not inputs:
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        progress = current_progress()
        progress.start("drawing the demo clip")
        inputs = [draw_clip(folder / "demo.mp4")]
        progress.finish()
    return select(inputs, out=Path(out))
