"""Write and read ``export.json``: the map from pictures to frames that an import works from."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import SelectionFileError

if TYPE_CHECKING:
    from evfr.verbs._export_package import ExportPackage

__all__ = ["EXPORT_FILE", "FORMAT", "LABELS_FILE", "VERSION", "read_export", "write_export"]

EXPORT_FILE = "export.json"
LABELS_FILE = "pre-annotations.parquet"
FORMAT = "evfr-export"
VERSION = 1
_BYTES_MOST = 1 << 30


def write_export(package: ExportPackage) -> Path:
    """Write ``export.json``, and the labels that are there already beside it, each atomically.

    Parameters
    ----------
    package : ExportPackage
        The export; its folder exists.

    Returns
    -------
    Path
        The file ``export.json``.
    """
    import hashlib

    from evfr import __version__
    from evfr._core.atomic import atomic_write_bytes
    from evfr.annotations import write

    labels = None
    if package.labels is not None:
        path = package.folder / LABELS_FILE
        write(package.labels, path, format="evfr")
        labels = {"file": LABELS_FILE, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    places: dict[str, int] = {}
    frames = []
    for frame in package.frames:
        places[frame.video_id] = places.get(frame.video_id, -1) + 1
        frames.append(
            {
                "name": frame.name,
                "video_id": frame.video_id,
                "frame_index": frame.frame_index,
                "pts": frame.pts,
                "time_base": [frame.time_base.numerator, frame.time_base.denominator],
                "time_seconds": frame.time_seconds,
                "luma_hash": f"{frame.luma_hash:016x}",
                "width": frame.width,
                "height": frame.height,
                "role": frame.role,
                "of": frame.of,
                "sha256": frame.sha256,
                "pixels_sha256": frame.pixels_sha256,
                "sequence": places[frame.video_id],
            }
        )
    data = {
        "format": FORMAT,
        "version": VERSION,
        "evfr": __version__,
        "tool": package.tool,
        "has_zip": package.has_zip,
        "context": {"seconds": package.context_seconds, "frames": package.context_frames},
        "categories": [
            {"category_id": c.category_id, "name": c.name, "supercategory": c.supercategory}
            for c in package.categories
        ],
        "videos": [
            {
                "video_id": video.video_id,
                "path": video.path,
                "digest": video.digest,
                "frame_count": video.frame_count,
                "width": video.width,
                "height": video.height,
            }
            for video in package.videos
        ],
        "frames": frames,
        "labels": labels,
    }
    path = package.folder / EXPORT_FILE
    text = json.dumps(data, indent=1, ensure_ascii=True, allow_nan=False)
    atomic_write_bytes(path, text.encode("ascii") + b"\n")
    return path


def read_export(path: str | Path, *, has_labels: bool = True) -> ExportPackage:
    """Read ``export.json`` and check everything it says.

    Parameters
    ----------
    path : str or Path
        The folder of an export, or its ``export.json``.
    has_labels : bool
        Whether to read the labels that were there already; they must then be unchanged.

    Returns
    -------
    ExportPackage
        As it was written.

    Raises
    ------
    SelectionFileError
        If the file is missing, is no export of a known version, a field is wrong or unknown, or the labels beside it
        are gone or changed.
    """
    from evfr._core.annotations import Category
    from evfr.verbs._export_package import ExportFrame, ExportPackage, ExportVideo

    path = Path(path)
    path = path / EXPORT_FILE if path.is_dir() else path
    data = _load(path)
    where = str(path)
    head = _fields(
        data,
        where,
        format=str,
        version=int,
        evfr=str,
        tool=str,
        has_zip=bool,
        context=dict,
        categories=list,
        videos=list,
        frames=list,
        labels=(dict, None),
    )
    context = _fields(head["context"], f"{where}, context", seconds=(float, int), frames=int)
    if not (0 <= context["seconds"] < float("inf") and context["frames"] >= 0):
        raise SelectionFileError(f"{where}: context must be 0 or more, got {context}; the file was edited")
    categories = []
    for number, entry in enumerate(head["categories"]):
        at = f"{where}, category {number}"
        categories.append(Category(**_fields(entry, at, category_id=int, name=str, supercategory=str)))
    for what, values in (
        ("id", [c.category_id for c in categories]),
        ("name", [c.name for c in categories]),
    ):
        if len(set(values)) != len(values):
            raise SelectionFileError(f"{where}: two categories have the same {what}; the file was edited")
    videos = []
    for number, entry in enumerate(head["videos"]):
        at = f"{where}, video {number}"
        fields = _fields(
            entry, at, video_id=str, path=str, digest=str, frame_count=int, width=int, height=int
        )
        videos.append(ExportVideo(**fields))
    if len({video.video_id for video in videos}) != len(videos):
        raise SelectionFileError(f"{where}: a video stands there twice; the file was edited")
    frames = []
    places: dict[str, int] = {}
    for number, entry in enumerate(head["frames"]):
        at = f"{where}, frame {number}"
        fields = _fields(
            entry,
            at,
            name=str,
            video_id=str,
            frame_index=int,
            pts=(int, None),
            time_base=list,
            time_seconds=(float, int),
            luma_hash=str,
            width=int,
            height=int,
            role=str,
            of=(int, None),
            sha256=str,
            pixels_sha256=str,
            sequence=int,
        )
        place = places[fields["video_id"]] = places.get(fields["video_id"], -1) + 1
        if fields.pop("sequence") != place:
            raise SelectionFileError(f"{at}: sequence must be {place}, the place among its video's pictures")
        fields["time_base"] = _fraction(fields["time_base"], at)
        fields["luma_hash"] = _hash(fields["luma_hash"], at)
        if fields["pts"] is not None and not -(2**63) < fields["pts"] < 2**63:
            raise SelectionFileError(f"{at}: pts must be 64 bits, got {fields['pts']}")
        fields["time_seconds"] = float(fields["time_seconds"])
        if not (fields["sha256"] and fields["pixels_sha256"]):
            raise SelectionFileError(
                f"{at}: sha256 and pixels_sha256 must be there; the file was edited or cut"
            )
        try:
            frames.append(ExportFrame(**fields))
        except SelectionFileError as error:
            raise SelectionFileError(f"{at}: {error}; the file was edited or cut") from error
    try:
        return ExportPackage(
            path.parent,
            head["tool"],
            tuple(videos),
            tuple(frames),
            tuple(categories),
            _labels(path, head["labels"]) if has_labels else None,
            float(context["seconds"]),
            context["frames"],
            head["has_zip"],
        )
    except SelectionFileError as error:
        if str(error).startswith(where):
            raise
        raise SelectionFileError(f"{where}: {error}; the file was edited or cut") from error


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _BYTES_MOST:
            raise SelectionFileError(f"{path} has more than {_BYTES_MOST} bytes; it is no export of evfr")
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SelectionFileError(
            f"{path} does not exist; give the folder that evfr export wrote, with its {EXPORT_FILE}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SelectionFileError(f"{path} is no readable JSON: {error!s:.200}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SelectionFileError(f"{path} is no export of evfr (no format {FORMAT!r})")
    if data.get("version") != VERSION:
        raise SelectionFileError(
            f"{path} has export version {data.get('version')!r:.40}, this evfr reads {VERSION}; export again"
        )
    return data


def _fields(entry: Any, where: str, **kinds: Any) -> dict[str, Any]:
    """Return the fields of a JSON object, each of its kind, none missing and none unknown."""
    if not isinstance(entry, dict) or set(entry) != set(kinds):
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise SelectionFileError(
            f"{where} must have the fields {', '.join(kinds)}, got {found!s:.200}; the file was edited or cut"
        )
    for name, kind in kinds.items():
        allowed = kind if isinstance(kind, tuple) else (kind,)
        value = entry[name]
        is_good = (value is None and None in allowed) or (
            isinstance(value, tuple(k for k in allowed if k is not None))
            and (not isinstance(value, bool) or bool in allowed)
        )
        if not is_good:
            names = " or ".join("null" if k is None else k.__name__ for k in allowed)
            raise SelectionFileError(
                f"{where}: {name} must be {names}, got {value!r:.80}; the file was edited or cut"
            )
    return dict(entry)


def _fraction(parts: list[Any], where: str) -> Fraction:
    if len(parts) != 2 or not all(isinstance(p, int) and not isinstance(p, bool) and p > 0 for p in parts):
        raise SelectionFileError(f"{where}: time_base must be two whole numbers above 0, got {parts!r:.80}")
    return Fraction(*parts)


def _hash(text: str, where: str) -> int:
    if len(text) != 16 or set(text) - set("0123456789abcdef"):
        raise SelectionFileError(f"{where}: luma_hash must be 16 hexadecimal digits, got {text!r:.80}")
    return int(text, 16)


def _labels(path: Path, entry: dict[str, Any] | None) -> Any:
    import hashlib

    from evfr.annotations import read

    if entry is None:
        return None
    fields = _fields(entry, f"{path}, labels", file=str, sha256=str)
    file = path.with_name(LABELS_FILE)
    if fields["file"] != LABELS_FILE:
        raise SelectionFileError(f"{path}: labels must lie in {LABELS_FILE}, got {fields['file']!r:.80}")
    advice = "put it back, or give untouched='human' to import without it"
    if not file.is_file():
        raise SelectionFileError(f"{file}, the labels that were exported, does not exist; {advice}")
    if hashlib.sha256(file.read_bytes()).hexdigest() != fields["sha256"]:
        raise SelectionFileError(f"{file} is not what the export wrote; {advice}")
    return read(file, format="evfr")
