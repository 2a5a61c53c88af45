"""FiftyOne: a folder that ``fiftyone.Dataset.from_dir`` loads with its fields, and its exports back."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import ObjectRow, VideoAnnotations
    from evfr.annotations._paths import Place
    from evfr.verbs._export_package import ExportFrame, ExportPackage

__all__ = ["LABEL_FIELD", "read", "write"]

FOLDER = "fiftyone"
LABEL_FIELD = "labels"
"""Name of the field with the labels, there and back."""

_NO_FIELD = ("box", "is_crowd", "source", "trust")
_KNOWN = frozenset(
    (
        *("_id", "id", "_cls", "tags", "attributes", "label", "bounding_box"),
        *("mask", "mask_path", "confidence", "index", "instance"),
    )
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OWN = "evfr_own_"


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write a dataset of FiftyOne: a sample for each picture, context among them, told apart by tags.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        The folder ``fiftyone``, for ``fiftyone.Dataset.from_dir(folder, dataset_type=fiftyone.types.FiftyOneDataset)``.

    Raises
    ------
    AnnotationError
        If an object has neither box nor mask.

    Notes
    -----
    Samples have ``video_id``, ``frame_index``, ``pts`` and ``time_seconds``, the tag ``label`` or ``context``, and in
    ``labels`` what is there already: ``index`` is the track, ``confidence`` the score, ``trust`` a field of each label.
    ``metadata.json`` says no version, so that each FiftyOne since 0.8 reads it as its first layout, which its
    importer promises to go on with (checked with 1.22).
    """
    from evfr.annotations._json import dump_json

    folder = package.folder / FOLDER
    folder.mkdir(exist_ok=True)
    info = {"evfr": "export.json says which sample is which frame", "tool": package.tool}
    metadata = {"media_type": "image", "info": info}
    if package.categories:
        metadata["default_classes"] = [category.name for category in package.categories]
    return (
        folder,
        dump_json(folder / "metadata.json", metadata),
        dump_json(folder / "samples.json", {"samples": list(_samples(package))}),
    )


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read what FiftyOne exports as ``FiftyOneDataset`` or ``FiftyOneImageDetectionDataset``, by picture.

    Parameters
    ----------
    path : Path
        The folder or zip, or its ``samples.json`` or ``labels.json``.
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        One video a picture, named as the sample's file. Of samples with several fields of detections the one that is
        named ``labels`` is read, else the only one there is. Samples of context without an object are left out.

    Raises
    ------
    AnnotationError
        If it is no such export, has no or several fields of detections, or an entry is wrong.

    Notes
    -----
    Masks that FiftyOne keeps in the samples are read without pickles and no further than they claim; masks in files
    (``mask_path``) are read from below the folder. Where a mask's size is not that of its box, as FiftyOne allows, it
    is scaled to the nearest pixel.
    """
    from evfr.verbs._import_match import NameIndex
    from evfr.verbs._tool_sequence import by_picture

    samples, place = _load(path)
    try:
        field = _field_of(samples, str(path))
        names = [category.name for category in package.categories]
        for sample in samples:
            for detection in _detections(sample, field, str(path)):
                label = detection.get("label")
                if isinstance(label, str) and label not in names:
                    names.append(label)
        from evfr.annotations._parse import named_categories

        categories = named_categories(names or ["object"])
        ids = {category.name: category.category_id for category in categories}
        index = NameIndex(package.frames)
        pictures = []
        for number, sample in enumerate(samples):
            where = f"{path}, sample {number + 1}"
            name = sample.get("filepath")
            if not isinstance(name, str) or not name:
                raise AnnotationError(f"{where}: filepath must name the picture, got {name!r:.80}")
            frame, _ = index.find(name)
            width, height = _size(sample, frame, where)
            rows = [
                _row(detection, ids, (height, width), f"{where}, detection {place_ + 1}", place)
                for place_, detection in enumerate(_detections(sample, field, where))
            ]
            if rows or frame is None or frame.role == "label":
                pictures.append((name, width, height, rows))
        return by_picture(pictures, categories)
    finally:
        if place is not None:
            place.__exit__(None, None, None)


def _load(path: Path) -> tuple[list[Mapping[str, Any]], Place | None]:
    """Return the samples of an export, and the folder or zip that they came from."""
    from evfr.annotations._json import load_json
    from evfr.annotations._paths import open_place

    if not path.is_dir() and path.suffix.lower() == ".json":
        data = load_json(path)
        place = open_place(path.parent) if path.parent.is_dir() else None
        return _samples_of(data, str(path)), place
    place = open_place(path)
    try:
        for base in ("samples.json", "labels.json"):
            names = [name for name in place.names if name.rsplit("/", 1)[-1] == base]
            if len(names) == 1:
                return _samples_of(_parse(place.read(names[0]), f"{path}: {names[0]}"), str(path)), place
        parts = sorted(
            name for name in place.names if "samples" in name.split("/")[:-1] and name.endswith(".json")
        )
        if parts:
            found = []
            for name in parts:
                found += _samples_of(_parse(place.read(name), f"{path}: {name}"), f"{path}: {name}")
            return found, place
        raise AnnotationError(
            f"{path} has no samples.json or labels.json; export the dataset as fiftyone.types.FiftyOneDataset, or "
            "as FiftyOneImageDetectionDataset for boxes"
        )
    except AnnotationError:
        place.__exit__(None, None, None)
        raise


def _parse(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{where} is no JSON: {error!s:.200}") from error


def _samples_of(data: Any, where: str) -> list[Mapping[str, Any]]:
    """Return samples of either layout: ``labels`` maps pictures, without their ending, to detections."""
    if isinstance(data, dict) and isinstance(data.get("labels"), dict) and "samples" not in data:
        return [
            {"filepath": name, LABEL_FIELD: {"_cls": "Detections", "detections": found or []}}
            for name, found in data["labels"].items()
        ]
    samples = data.get("samples") if isinstance(data, dict) else None
    if not isinstance(samples, list) or not all(isinstance(sample, dict) for sample in samples):
        raise AnnotationError(f"{where} lists no samples; it is no export of FiftyOne")
    return samples


def _field_of(samples: list[Mapping[str, Any]], where: str) -> str:
    kinds: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        for name, value in sample.items():
            is_label = isinstance(value, dict) and isinstance(value.get("_cls"), str)
            if is_label and name != "metadata":
                kinds[name].add(value["_cls"])
    found = sorted(name for name, classes in kinds.items() if classes <= {"Detections"})
    others = sorted(name for name in kinds if name not in found)
    if LABEL_FIELD in found or not kinds:
        return LABEL_FIELD
    if len(found) != 1:
        what = ", ".join(found) or f"others are {', '.join(others)}"
        raise AnnotationError(
            f"{where} has {len(found)} fields of detections ({what}); export the one to import under the name "
            f"{LABEL_FIELD!r}"
        )
    return found[0]


def _detections(sample: Mapping[str, Any], field: str, where: str) -> list[Mapping[str, Any]]:
    value = sample.get(field)
    if value is None:
        return []
    found = value.get("detections", []) if isinstance(value, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise AnnotationError(f"{where}: {field} must be Detections, got {str(value)[:80]!r}")
    return found


def _size(sample: Mapping[str, Any], frame: ExportFrame | None, where: str) -> tuple[int, int]:
    """Return the size that the sample states, else that of the frame that its name fits."""
    from evfr.annotations._parse import whole

    stated = sample.get("metadata")
    if isinstance(stated, dict) and stated.get("width") is not None and stated.get("height") is not None:
        return (
            whole(stated["width"], where, "metadata.width", least=1),
            whole(stated["height"], where, "metadata.height", least=1),
        )
    return (1, 1) if frame is None else (frame.width, frame.height)


def _row(
    detection: Mapping[str, Any],
    ids: Mapping[str, int],
    size: tuple[int, int],
    where: str,
    place: Place | None,
) -> ObjectRow:
    from evfr._core.annotations import NO_TRACK, ObjectRow
    from evfr.annotations._parse import category_of, number, split_facts, whole
    from evfr.verbs._tool_fiftyone_masks import read_mask

    box = detection.get("bounding_box")
    if not isinstance(box, list) or len(box) != 4:
        raise AnnotationError(f"{where}: bounding_box must be four numbers, got {str(box)[:80]!r}")
    left, top = (number(value, where, "bounding_box") for value in box[:2])
    across, down = (number(value, where, "bounding_box", least=0.0) for value in box[2:])
    height, width = size
    corners = (left * width, top * height, (left + across) * width, (top + down) * height)
    track = detection.get("index")
    score = detection.get("confidence")
    mask = read_mask(detection, corners, size, where, place)
    row = ObjectRow(
        "",
        0,
        category_of(detection.get("label"), ids, where),
        NO_TRACK if track is None else whole(track, where, "index", least=0),
        None if mask is not None else corners,
        mask,
        score=math.nan if score is None else number(score, where, "confidence"),
    )
    return split_facts(row, _facts_of(detection, where), where)


def _facts_of(detection: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Yield the fields that FiftyOne has no meaning for, under the names that `extra_facts` gave them."""
    given = detection.get("attributes")
    more = given if isinstance(given, dict) else {}
    for name, value in {**more, **{k: v for k, v in detection.items() if k not in _KNOWN}}.items():
        if value is None or name.startswith("_"):
            continue
        if isinstance(value, dict) and "value" in value:
            value = value["value"]  # an Attribute of the old kind
        if not isinstance(value, (str, bool, int, float)):
            raise AnnotationError(f"{where}: the field {name!r} must be a text, number or truth value")
        if name == "trust":
            name = "evfr_trust"
        elif name.startswith(_OWN):
            try:
                name = bytes.fromhex(name.removeprefix(_OWN)).decode()
            except ValueError as error:
                raise AnnotationError(f"{where}: {name!r:.80} is no field that evfr wrote") from error
        yield name, value


def _samples(package: ExportPackage) -> Iterator[dict[str, Any]]:
    of_frame: dict[tuple[str, int], list[ObjectRow]] = defaultdict(list)
    for row in () if package.labels is None else package.labels.objects():
        of_frame[row.video_id, row.frame_index].append(row)
    names = {category.category_id: category.name for category in package.categories}
    for frame in package.frames:
        sample: dict[str, Any] = {
            "filepath": f"../{package.path_of(frame).relative_to(package.folder).as_posix()}",
            "tags": [frame.role],
            "metadata": {"_cls": "ImageMetadata", "width": frame.width, "height": frame.height},
            "video_id": frame.video_id,
            "frame_index": frame.frame_index,
            "pts": frame.pts,
            "time_seconds": frame.time_seconds,
        }
        if frame.role == "label":
            rows = of_frame[frame.video_id, frame.frame_index]
            found = [_detection(row, names, frame) for row in rows]
            sample[LABEL_FIELD] = {"_cls": "Detections", "detections": found}
        yield sample


def _detection(row: ObjectRow, names: Mapping[int, str], frame: ExportFrame) -> dict[str, Any]:
    from evfr._core.annotations import NO_TRACK
    from evfr.annotations._parse import extra_facts
    from evfr.verbs._tool_fiftyone_masks import pack_mask

    box = row.box_xyxy
    if row.mask is not None and not row.mask.is_empty:
        box = row.mask.box_xyxy
    if box is None:
        raise AnnotationError(
            f"{frame.name}: an object with track {row.track_id} has neither a box nor pixels; leave it out"
        )
    x0, y0, x1, y1 = box
    across, down = frame.width, frame.height
    detection: dict[str, Any] = {
        "_cls": "Detection",
        "label": names[row.category_id],
        "bounding_box": [x0 / across, y0 / down, (x1 - x0) / across, (y1 - y0) / down],
    }
    if row.mask is not None and not row.mask.is_empty:
        inside = row.mask.to_mask()[int(y0) : int(y1), int(x0) : int(x1)]
        detection["mask"] = {"$binary": {"base64": pack_mask(inside), "subType": "00"}}
    if row.track_id != NO_TRACK:
        detection["index"] = row.track_id
    if not math.isnan(row.score):
        detection["confidence"] = row.score
    for name, value in extra_facts(row, *_NO_FIELD).items():
        if name == "evfr_trust":
            detection["trust"] = value
        elif name in _KNOWN or name == "trust" or not _PLAIN.fullmatch(name) or name.startswith(_OWN):
            detection[_OWN + name.encode().hex()] = value
        else:
            detection[name] = value
    return detection
