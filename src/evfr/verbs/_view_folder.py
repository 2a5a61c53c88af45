"""What the viewer is pointed at: a selection, a folder to review, or a store; and the list of its videos.

Only an index is read: the manifest with its table, or the names of a store's files. What is wrong with one video is
kept with it and shown; only a folder that is none of the three is an error.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

    from evfr._core.types import Problem
    from evfr.verbs._measure import Damaged
    from evfr.verbs._request import Request
    from evfr.video import VideoSource

__all__ = ["ViewFolder", "ViewVideo", "check_regular", "open_folder"]

DAMAGED: tuple[Damaged, ...] = ("drop", "keep", "fail")
_KINDS = ("file", "images", "archive")
_STATUSES = ("ok", "partial", "failed")
_MANIFEST_MOST = 1 << 28


@dataclass(frozen=True, slots=True)
class ViewVideo:
    """Name one video of what is viewed.

    Attributes
    ----------
    video_id : str
        Its name.
    path : str
        Where it is, as recorded.
    source : VideoSource or None
        What opens it; None where nothing may.
    digest : str
        Hash of the bytes that were measured; empty where the manifest has none.
    damaged : str
        Under which policy its frames were measured.
    facts : mapping
        What the manifest says of it; empty for a store.
    problem : Problem or None
        Why it cannot be shown: nothing opens it then.
    """

    video_id: str
    path: str
    source: VideoSource | None
    digest: str
    damaged: Damaged = "drop"
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ViewFolder:
    """Hold what a folder says, without a look at its videos.

    Attributes
    ----------
    root : Path
        The folder, links followed.
    kind : {"selection", "review", "store"}
        What it is.
    videos : tuple of ViewVideo
        In order; the place of a video here is its address.
    request : Request
        What was asked for; the defaults for a store.
    shown : tuple of str
        The inputs as the user wrote them.
    manifest : mapping
        The content of ``selection.json``; empty for a store.
    table : pyarrow.Table or None
        The selected frames; None for a store.
    notes : tuple of str
        What is to be said about the folder.
    problems : tuple of Problem
        What the manifest says was wrong.
    """

    root: Path
    kind: Literal["selection", "review", "store"]
    videos: tuple[ViewVideo, ...]
    request: Request
    shown: tuple[str, ...] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)
    table: pa.Table | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def open_folder(folder: str | Path) -> ViewFolder:
    """Read what lies in a folder.

    Parameters
    ----------
    folder : str or Path
        A folder that `evfr select` wrote, the review folder of `evfr propagate`, or a store.

    Returns
    -------
    ViewFolder
        Its index.

    Raises
    ------
    InputError
        If it is none of these.
    SelectionFileError
        If its manifest or table is wrong.
    """
    from evfr.errors import InputError

    root = Path(os.path.realpath(folder))
    if not root.is_dir():
        raise InputError(
            f"{folder} is no folder; give one that evfr select or evfr propagate wrote, or a store"
        )
    if os.path.lexists(root / "selection.json"):
        return _open_selection(root)
    if any(_shards(root / "frames")):
        return _open_store(root)
    raise InputError(
        f"{folder} holds neither a selection.json nor the measurements of a store; give a folder that evfr select "
        "or evfr propagate wrote, or the folder passed as --store"
    )


def _open_selection(root: Path) -> ViewFolder:
    from evfr._core.selection import Selection
    from evfr._core.types import Problem
    from evfr.errors import SelectionFileError
    from evfr.verbs._request import Request

    for name in ("selection.json", "selection.parquet"):
        check_regular(root / name)
    selection = Selection.load(root)
    manifest = selection.manifest
    parameters = manifest["parameters"]
    is_review = str(parameters.get("method", "")).startswith("review of ")
    damaged = parameters.get("damaged", "drop")
    if damaged not in DAMAGED:
        raise SelectionFileError(
            f"{root / 'selection.json'}: damaged must be drop, keep or fail, got {damaged!r}"
        )
    request = (
        Request(damaged=damaged) if is_review else Request.from_dict(parameters, str(root / "selection.json"))
    )
    problems = tuple(Problem.from_dict(item) for item in manifest["problems"])
    names = [entry["video_id"] for entry in manifest["inputs"]]
    if len(set(names)) != len(names):
        raise SelectionFileError(
            f"{root / 'selection.json'}: two inputs have one video_id; the file was edited"
        )
    videos = tuple(_from_input(entry, damaged, problems) for entry in manifest["inputs"])
    paths = manifest.get("paths", ())
    shown = tuple(str(text) for text in paths) if isinstance(paths, list) else ()
    return ViewFolder(
        root,
        "review" if is_review else "selection",
        videos,
        request,
        shown,
        manifest,
        selection.table,
        problems=problems,
    )


def check_regular(path: Path) -> None:
    """Refuse what would lead out of the folder, or never end."""
    from evfr.errors import SelectionFileError

    try:
        found = path.lstat()
    except OSError as error:
        raise SelectionFileError(f"{path} cannot be read: {error.strerror}; run evfr select again") from error
    if not stat.S_ISREG(found.st_mode):
        raise SelectionFileError(
            f"{path} is a link or no file at all; give the folder that it was written to"
        )
    if found.st_size > _MANIFEST_MOST:
        raise SelectionFileError(
            f"{path} has {found.st_size} bytes, at most {_MANIFEST_MOST} are read; view parts of it"
        )


def _from_input(entry: Mapping[str, Any], damaged: Damaged, problems: Sequence[Problem]) -> ViewVideo:
    """Read one input of a manifest, which anyone may have edited: what does not fit is a problem of that video."""
    from evfr._core.types import Problem
    from evfr.errors import InputError, ProblemCode
    from evfr.video import VideoSource, printable, source_path

    name, path = entry["video_id"], printable(entry["path"])
    digest = entry.get("hash") or ""
    blank = ViewVideo(name, path, None, "", damaged, _facts(entry))
    if entry.get("kind") not in _KINDS or not isinstance(digest, str):
        text = "the manifest does not say what kind of video it is; select again"
        return replace(blank, problem=Problem(ProblemCode.E_UNREADABLE, text, name))
    try:
        source = VideoSource(name, source_path(entry["path"]), entry["kind"])
    except InputError as error:
        text = f"the viewer opens local videos only: {error}"
        return replace(blank, problem=Problem(ProblemCode.E_UNREADABLE, text, name))
    if blank.facts["status"] == "failed":
        own = [problem for problem in problems if problem.source == name and problem.code.is_error]
        text = "it could not be used when the selection was made; select again"
        found = own[0] if own else Problem(ProblemCode.E_FAILED, text, name)
        return replace(blank, source=source, problem=found)
    return replace(blank, source=source, digest=digest)


def _facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return those facts of an input that the list of videos shows, each of the type it must have."""

    def number(name: str) -> float:
        value = entry.get(name)
        is_good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15
        return value if is_good else 0  # type: ignore[return-value]

    signals = entry.get("signals")
    dynamicity = {
        str(name): item.get("dynamicity")
        for name, item in (signals if isinstance(signals, dict) else {}).items()
        if isinstance(item, dict) and isinstance(item.get("dynamicity"), float | int | None)
    }
    notes = entry.get("notes")
    return {
        "status": entry.get("status") if entry.get("status") in _STATUSES else "failed",
        "frame_count": int(number("frame_count")),
        "duration_seconds": float(number("duration_seconds")),
        "method": str(entry.get("method") or ""),
        "notes": tuple(str(note) for note in notes) if isinstance(notes, list) else (),
        "dynamicity": dynamicity,
    }


def _shards(stage: Path) -> Iterator[Path]:
    """Yield the folders of one stage of a store."""
    try:
        with os.scandir(stage) as entries:
            found = [e.name for e in entries if len(e.name) == 2 and e.is_dir()]
    except OSError:
        return
    digits = set("0123456789abcdef")
    yield from (stage / name for name in sorted(found) if set(name) <= digits)


def _open_store(root: Path) -> ViewFolder:
    """List the videos of a store: it keeps hashes of files by their place, and measurements by hash."""
    from evfr._core.natural import natural_key
    from evfr._core.store import Store
    from evfr.verbs._measure import MeasureJob, keys_of
    from evfr.verbs._request import Request
    from evfr.video import VideoSource, printable

    store = Store(root)
    measured = {entry.name for shard in _shards(root / "frames") for entry in os.scandir(shard)}
    places = dict(_hashed_places(root / ".hashes"))
    base = os.path.commonpath([os.path.dirname(path) for path in places]) if places else "/"  # noqa: PTH120
    videos, seen = [], set()
    for path, digest in sorted(places.items(), key=lambda item: natural_key(item[0])):
        video_id = printable(os.path.relpath(path, base))
        source = VideoSource(video_id, Path(path), "file")
        for damaged in DAMAGED:
            key, _, _ = keys_of(store, MeasureJob(source, root, (), "default", None, damaged, 1), digest)
            name = f"{key.digest}.parquet"
            if name in measured:
                seen.add(name)
                videos.append(ViewVideo(video_id, printable(path), source, digest, damaged))
                break
    notes = []
    lost = sum(name.endswith(".parquet") for name in measured) - len(seen)
    if lost:
        notes.append(
            f"{lost} measured videos are not shown: the store does not say where they lie (folders and zips of "
            "images, and files that were moved since); select from them to view them"
        )
    return ViewFolder(root, "store", tuple(videos), Request(), notes=tuple(notes))


def _hashed_places(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and the hash of every file whose hash a store remembers; of one path the newest, last."""
    from evfr._core.store_format import digest_of

    found: list[tuple[int, str, str]] = []
    for shard in _shards(folder):
        for name in os.listdir(shard):  # noqa: PTH208  (ten thousand names, no need of paths)
            try:
                known = json.loads((shard / name).read_bytes())
                identity, digest = known["identity"], known["hash"]
                path, _, changed = identity[:3]
                is_local = len(identity) == 6 and isinstance(path, str) and path.startswith("/")
                if is_local and known["check"] == digest_of(digest, *identity):
                    found.append((int(changed), path, str(digest)))
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                continue  # a cache: what is not exactly right says nothing
    yield from ((path, digest) for _, path, digest in sorted(found))
