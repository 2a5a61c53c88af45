"""See the pictures that ``evfr extract`` or ``evfr select`` wrote as an export, so that their labels come back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.selection import Selection
    from evfr.verbs._export_package import ExportPackage

__all__ = ["open_export"]


def open_export(path: str | Path | Selection, *, has_labels: bool) -> ExportPackage:
    """Read an export, or make one of a selection whose pictures have the names that ``evfr extract`` gives them.

    Parameters
    ----------
    path : path or Selection
        The folder of an export or its ``export.json``; or a selection.
    has_labels : bool
        As in `read_export`.

    Returns
    -------
    ExportPackage
        Of a selection: without hashes, so that only names match.

    Raises
    ------
    SelectionFileError
        If it is neither.
    """
    from evfr._core.selection import Selection
    from evfr.errors import SelectionFileError
    from evfr.verbs._export_file import EXPORT_FILE, read_export

    if isinstance(path, Selection):
        return _of_selection(path)
    path = Path(path)
    if path.name == EXPORT_FILE or (path / EXPORT_FILE).is_file():
        return read_export(path, has_labels=has_labels)
    if path.is_dir() and not (path / "selection.json").is_file():
        raise SelectionFileError(
            f"{path} has neither {EXPORT_FILE} nor selection.json; give the folder that evfr export wrote"
        )
    return _of_selection(Selection.load(path))


def _of_selection(chosen: Selection) -> ExportPackage:
    from evfr._core.types import PTS_NONE
    from evfr.errors import SelectionFileError
    from evfr.verbs._export_package import ExportFrame, ExportPackage, ExportVideo
    from evfr.video import frame_file_name

    entries = {entry["video_id"]: entry for entry in chosen.manifest["inputs"]}
    videos, frames = [], []
    for name, entry in entries.items():
        part = chosen.for_video(name).table
        if not part.num_rows:
            continue
        try:
            video = ExportVideo(
                name,
                entry["path"],
                entry.get("hash") or "",
                int(entry["frame_count"]),
                int(entry["width"]),
                int(entry["height"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SelectionFileError(
                f"the selection does not say frame_count, width and height of {name!r}; select again"
            ) from error
        videos.append(video)
        for row in part.to_pylist():
            pts = row["pts"]
            frames.append(
                ExportFrame(
                    frame_file_name(name, row["frame_index"], PTS_NONE if pts is None else pts, "jpg"),
                    name,
                    row["frame_index"],
                    pts,
                    Fraction(row["time_base_num"], row["time_base_den"]),
                    row["time_seconds"],
                    row["luma_hash"],
                    video.width,
                    video.height,
                    "label",
                )
            )
    return ExportPackage(chosen.folder or Path(), "selection", tuple(videos), tuple(frames))
