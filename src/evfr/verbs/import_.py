"""`evfr import`: labels from an annotation tool, back on the frames of the original videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr._core.selection import Selection
    from evfr.verbs._export_package import ExportPackage
    from evfr.verbs._import_labels import Placed
    from evfr.verbs._import_match import Matches, Picture

__all__ = ["ImportResult", "import_"]

MOST_LISTED = 20


@dataclass(frozen=True, slots=True, repr=False)
class ImportResult:
    """Hold labels on the original frames, and how each picture found its frame.

    Attributes
    ----------
    labels : VideoAnnotations
        By video, on frame index and pts of the original.
    out : Path
        Where they are.
    format : str
        What the label file was read as.
    matched_by_name, matched_by_pixels : int
        Pictures whose labels were taken, found by name, and by the hash of bytes or pixels.
    unmatched : tuple of Picture
        Pictures whose labels were not taken, each with the reason.
    checked : int
        Pictures whose pixels were compared with their frame's.
    shifted : int
        Of the unmatched, those whose pixels are those of another frame than their name says.
    missing : tuple of str
        Pictures that were exported to be labelled and are not in the file.
    untouched : int
        Objects that are as they were exported.
    context_pictures, context_objects : int
        Pictures of context that have labels, and how many.
    empty : int
        Pictures without an object.
    sources : mapping of str to int
        Objects by who made them.
    notes : tuple of str
        What else to know.
    """

    labels: VideoAnnotations
    out: Path
    format: str
    matched_by_name: int
    matched_by_pixels: int
    unmatched: tuple[Picture, ...]
    checked: int
    shifted: int
    missing: tuple[str, ...]
    untouched: int
    context_pictures: int
    context_objects: int
    empty: int
    sources: dict[str, int]
    notes: tuple[str, ...]

    @property
    def guessed(self) -> int:
        """Pictures that were matched by order or likeness: none, ever."""
        return 0

    @property
    def failed_count(self) -> int:
        """How many pictures were not taken."""
        return len(self.unmatched)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict: everything but the labels themselves."""
        return {
            "out": str(self.out),
            "format": self.format,
            "videos": {video.video_id: video.frame_index.tolist() for video in self.labels.videos},
            "objects": len(self.labels),
            "matched_by_name": self.matched_by_name,
            "matched_by_pixels": self.matched_by_pixels,
            "guessed": self.guessed,
            "checked": self.checked,
            "shifted": self.shifted,
            "unmatched": [{"name": picture.name, "reason": picture.reason} for picture in self.unmatched],
            "missing": list(self.missing),
            "untouched": self.untouched,
            "context_pictures": self.context_pictures,
            "context_objects": self.context_objects,
            "empty": self.empty,
            "sources": dict(self.sources),
            "categories": [category.name for category in self.labels.categories],
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        return f"ImportResult({self.labels!r}, {self.failed_count} pictures not taken)"

    def __str__(self) -> str:
        taken = self.matched_by_name + self.matched_by_pixels
        lines = [
            f"{len(self.labels)} objects on {taken} pictures of {len(self.labels.videos)} videos in {self.out}",
            f"matched   {self.matched_by_name} by name, {self.matched_by_pixels} by pixels, {self.guessed} guessed",
        ]
        if self.checked:
            lines.append(f"checked   {self.checked} pictures against their frames, {self.shifted} shifted")
        if self.sources:
            made = ", ".join(f"{count} {source}" for source, count in self.sources.items())
            lines.append(f"made by   {made}; {self.untouched} are as they were exported")
        lines += [f"not taken {picture.name}: {picture.reason}" for picture in self.unmatched[:MOST_LISTED]]
        if len(self.unmatched) > MOST_LISTED:
            lines.append(f"not taken {len(self.unmatched) - MOST_LISTED} more; --json lists all")
        return "\n".join([*lines, *(f"note      {note}" for note in self.notes)])


def import_(
    file: Path,
    *,
    selection: str | Path | Selection,
    out: Path,
    format: str = "auto",
    images: Path | None = None,
    untouched: Literal["carried", "human"] = "carried",
    context_labels: Literal["drop", "keep", "fail"] = "drop",
    empty: Literal["keep", "drop"] = "keep",
    tracks: Literal["keep", "category"] = "keep",
    out_format: str = "auto",
) -> ImportResult:
    """Bring the labels of an annotation tool back onto the frames of the original videos, by identity only.

    A picture of the label file is the frame whose exported picture has its name, whatever the tool did to folders,
    endings and ids; with IMAGES also the one whose bytes or pixels it has. What neither fits is listed and not taken.

    Parameters
    ----------
    file : Path
        What the tool wrote: a file, folder or zip.
    selection : path or Selection
        The folder that ``evfr export`` wrote; or a selection whose pictures ``evfr extract`` wrote.
    out : Path
        The label file to write: ``.parquet`` keeps everything, other endings see OUT_FORMAT.
    format : str
        The tool that wrote the file: ``cvat``, ``cvat-video``, ``label-studio``, ``coco``, ``yolo``, ``fiftyone`` or
        ``datumaro``; ``auto`` is the one that the export was made for.
    images : Path or None
        A folder or zip with the pictures as they came back: finds pictures that were renamed, and compares all with
        the frames that they are said to be.
    untouched : {"carried", "human"}
        What an exported object is that nobody changed: ``carried`` as it was, with its trust; or ``human``, since a
        person saw it and left it.
    context_labels : {"drop", "keep", "fail"}
        What to do with labels on pictures of context: count them and leave them out, take them, or stop.
    empty : {"keep", "drop"}
        Whether a picture without an object was looked at and found empty, or not labelled yet.
    tracks : {"keep", "category"}
        Which objects of different frames are one: as the tool says (its tracks, or an attribute ``track_id``); or, for
        those without a track, all of a class (``category``), an error where a frame has two. ``evfr propagate`` needs
        tracks.
    out_format : str
        Format of the output; ``auto`` is ``evfr`` for ``.parquet`` and ``coco`` for ``.json``.

    Returns
    -------
    ImportResult
        The labels, and how each picture found its frame.

    Raises
    ------
    SelectionFileError
        If the export cannot be read.
    AnnotationError
        If the label file cannot be read, none of its pictures is of this export, or two are the same frame.
    ValueError
        If an argument is not allowed.

    Examples
    --------
    >>> import evfr
    >>> evfr.import_("instances.json", selection="to-label", out="labels.parquet")  # doctest: +SKIP
    """
    from evfr._core.atomic import refuse_remote
    from evfr.errors import AnnotationError
    from evfr.verbs._carry_write import check_out, write_labels
    from evfr.verbs._export_targets import TARGETS
    from evfr.verbs._import_labels import place_labels
    from evfr.verbs._import_match import identify
    from evfr.verbs._import_pictures import PictureFolder
    from evfr.verbs._import_pixels import PixelCheck
    from evfr.verbs._import_selection import open_export

    _check_words(
        untouched=(untouched, ("carried", "human")),
        context_labels=(context_labels, ("drop", "keep", "fail")),
        empty=(empty, ("keep", "drop")),
        tracks=(tracks, ("keep", "category")),
        format=(format, ("auto", *TARGETS)),
    )
    file, out = Path(file), Path(out)
    refuse_remote(out)
    chosen_format = check_out(out, out_format)
    package = open_export(selection, has_labels=untouched == "carried")
    tool = package.tool if format == "auto" else format
    if tool not in TARGETS:
        raise ValueError(
            f"format must be given for labels of {'a selection' if tool == 'selection' else repr(tool)}, one of "
            f"{', '.join(TARGETS)}: only an export says which tool it was made for"
        )
    if not file.exists():
        raise AnnotationError(f"{file} does not exist; give the file that the tool wrote")
    try:
        labels = TARGETS[tool].read(file, package)
    except AnnotationError as error:
        if format != "auto":
            raise
        raise AnnotationError(
            f"{error} (read as {tool}, which the export was made for; give format= if it is another's)"
        ) from error
    check = None
    if images is None:
        matches = identify(labels, package)
    else:
        with PictureFolder(Path(images)) as folder:
            check = PixelCheck(package)
            matches = identify(labels, package, images=folder, check=check)
    if not any(picture.is_taken for picture in matches.pictures):
        raise AnnotationError(_none_taken(file, matches, package))
    placed = place_labels(
        labels,
        matches,
        package,
        untouched=untouched,
        context_labels=context_labels,
        empty=empty,
        tracks=tracks,
    )
    write_labels(placed.labels, out, chosen_format)
    return _result(placed, matches, package, out, tool, check, context_labels, empty)


def _check_words(**given: tuple[str, Sequence[str]]) -> None:
    for name, (value, allowed) in given.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _none_taken(file: Path, matches: Matches, package: ExportPackage) -> str:
    if not matches.pictures:
        return f"{file} names no picture; export the labels from the tool again"
    first = matches.pictures[0]
    example = package.frames[0].name
    return (
        f"{file}: none of its {len(matches.pictures)} pictures is one of this export (the first is {first.name!r}: "
        f"{first.reason}; one of the export is {example!r}); is it of another export? Pictures that were renamed are "
        "found with images="
    )


def _result(
    placed: Placed,
    matches: Matches,
    package: ExportPackage,
    out: Path,
    tool: str,
    check: Any,
    context_labels: str,
    empty: str,
) -> ImportResult:
    from collections import Counter

    from evfr._core.annotations import SOURCES

    seen = {picture.frame.name for picture in matches.pictures if picture.frame is not None}
    missing = tuple(frame.name for frame in package.label_frames if frame.name not in seen)
    notes = []
    if missing:
        notes.append(
            f"{len(missing)} of {len(package.label_frames)} exported pictures are not in the file: {missing[0]}"
            + (", ..." if len(missing) > 1 else "")
        )
    if placed.context_objects:
        what = {"drop": "left out (context_labels='keep' takes them)", "keep": "taken"}[context_labels]
        notes.append(
            f"{placed.context_objects} labels on {placed.context_pictures} pictures of context were {what}"
        )
    if placed.empty:
        what = (
            "count as looked at and empty (empty='drop' leaves them out)"
            if empty == "keep"
            else "were left out"
        )
        notes.append(f"{placed.empty} pictures without an object {what}")
    if placed.new_categories:
        notes.append(f"classes that the export did not have: {', '.join(placed.new_categories)}")
    if placed.untracked:
        notes.append(
            f"{placed.untracked} objects have no track, which evfr propagate needs: give them an attribute track_id in "
            "the tool, or tracks='category' where no frame has two objects of a class"
        )
    if check is not None and check.missing:
        notes.append(
            "pictures were compared with the export's own only, for the original is gone or changed: "
            + ", ".join(check.missing)
        )
    made = Counter(placed.labels.source.tolist())
    return ImportResult(
        placed.labels,
        out,
        tool,
        matches.by_name,
        matches.by_pixels,
        matches.unmatched,
        sum(picture.is_checked for picture in matches.pictures),
        sum(picture.is_shifted for picture in matches.pictures),
        missing,
        placed.untouched,
        placed.context_pictures,
        placed.context_objects,
        placed.empty,
        {SOURCES[code]: made[code] for code in sorted(made)},
        tuple(notes),
    )
