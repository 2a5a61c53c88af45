r"""Hold what `evfr export` writes against the annotation tools themselves, and what they write against `evfr import`.

Each tool lives in an environment of its own; name the Python of each one you have::

    python -m venv /tmp/fiftyone && /tmp/fiftyone/bin/python -m pip install fiftyone
    python scripts/check_annotation_tools.py fiftyone=/tmp/fiftyone/bin/python datumaro=... label-studio-sdk=... \
        cvat=...

The packages are ``fiftyone``, ``datumaro``, ``label-studio`` (the server, whose empty database takes minutes to make),
``label-studio-sdk``, and ``cvat-cli`` with evfr itself. For every tool and
format a small export is drawn, the tool loads it, and what it sees is compared with the labels that went in; then the
tool writes the labels in its own way, `evfr` imports that, and it is compared again. ``--golden FOLDER`` keeps the
files that the tools wrote, from which the tests read. ``--data FOLDER`` has the clips that CVAT's tracking is tried on.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("fiftyone", "datumaro", "label-studio", "label-studio-sdk", "cvat")
SIZES_OF_GOLDEN = 60_000


# ---- inside the environment of a tool: nothing of evfr, but for cvat --------------------------------------------


def packed(mask: Any) -> str:
    """Return a mask as text that two programs can compare."""
    import numpy as np

    return np.packbits(np.asarray(mask, np.bool_)).tobytes().hex()


def inside_fiftyone(folder: Path) -> dict[str, Any]:
    import fiftyone as fo
    import numpy as np

    kinds = {
        "fiftyone": (fo.types.FiftyOneDataset, {"dataset_dir": str(folder / "fiftyone/fiftyone")}),
        "coco": (
            fo.types.COCODetectionDataset,
            {
                "data_path": str(folder / "coco/frames"),
                "labels_path": str(folder / "coco/instances.json"),
                "label_types": ["detections", "segmentations"],
                "include_id": False,
                "use_polylines": False,
            },
        ),
        "yolo": (
            fo.types.YOLOv5Dataset,
            {"dataset_dir": str(folder / "yolo/yolo"), "yaml_path": "data.yaml", "split": "train"},
        ),
    }
    seen: dict[str, Any] = {}
    for name, (kind, options) in kinds.items():
        data = fo.Dataset.from_dir(dataset_type=kind, **options)
        schema = data.get_field_schema()
        fields = [f for f in ("labels", "ground_truth", "detections", "segmentations") if f in schema]
        data.compute_metadata()
        found: dict[str, Any] = {}
        for sample in data:
            width, height = sample.metadata.width, sample.metadata.height
            objects = []
            for item in [i for f in fields if sample[f] for i in sample[f].detections]:
                x, y, w, h = item.bounding_box
                box = [x * width, y * height, (x + w) * width, (y + h) * height]
                mask = None
                if item.mask is not None:
                    full = np.zeros((height, width), bool)
                    x0, y0 = round(box[0]), round(box[1])
                    full[y0 : y0 + item.mask.shape[0], x0 : x0 + item.mask.shape[1]] = item.mask
                    mask = packed(full)
                facts = {}
                if name == "fiftyone":
                    trust = item.get_field("trust") if item.has_field("trust") else None
                    facts = {"track": item.index, "score": item.confidence, "trust": trust}
                objects.append({"label": item.label, "box": box, "mask": mask, **facts})
            found[Path(sample.filepath).stem] = objects
            if name == "fiftyone":
                assert sample["video_id"] and sample["frame_index"] is not None and sample["pts"] is not None
        seen[name] = found
        back = folder / "back"
        if name == "fiftyone":
            data.export(str(back / "fiftyone"), dataset_type=fo.types.FiftyOneDataset, export_media=False)
            data.export(
                str(back / "fiftyone-detections"),
                dataset_type=fo.types.FiftyOneImageDetectionDataset,
                label_field="labels",
                export_media=False,
            )
            picks = data.match_tags("label")
            picks.export(
                labels_path=str(back / "fiftyone-coco/instances.json"),
                dataset_type=fo.types.COCODetectionDataset,
                label_field="labels",
                export_media=False,
                tolerance=0,
            )
            picks.export(
                str(back / "fiftyone-yolo"),
                dataset_type=fo.types.YOLOv5Dataset,
                label_field="labels",
                classes=["car", "person & dog"],
                split="train",
            )
        data.delete()
    return {"version": fo.__version__, "seen": seen}


def inside_datumaro(folder: Path) -> dict[str, Any]:
    import datumaro as dm

    places = {
        "datumaro": (folder / "datumaro/datumaro", "datumaro"),
        "coco": (folder / "stage/coco", "coco"),
        "yolo": (folder / "yolo/yolo", "yolo"),
        "cvat": (folder / "stage/cvat", "cvat"),
        "cvat-video, boxes": (folder / "stage/cvat-video", "cvat"),
    }
    seen = {}
    for name, (place, kind) in places.items():
        data = dm.Dataset.import_from(str(place), kind)
        labels = [label.name for label in data.categories()[dm.AnnotationType.label]]
        found: dict[str, Any] = {}
        for item in data:
            objects = []
            for entry in item.annotations:
                if entry.attributes.get("outside"):
                    continue
                is_mask = entry.type == dm.AnnotationType.mask
                x, y, w, h = entry.get_bbox()
                objects.append(
                    {
                        "label": labels[entry.label],
                        "box": None if is_mask else [x, y, x + w, y + h],
                        "mask": packed(entry.image) if is_mask else None,
                    }
                )
                if name == "datumaro":
                    said = entry.attributes
                    track = None if entry.object_id == -1 else entry.object_id
                    score, trust = said.get("evfr_score"), said.get("evfr_trust")
                    objects[-1] |= {"track": track, "score": score, "trust": trust}
            found[Path(item.id).name] = objects
        seen[name] = found
        back = folder / "back"
        if name == "datumaro":
            picks = data.get_subset("label").as_dataset()
            data.export(str(back / "datumaro"), "datumaro", save_media=False)
            picks.export(str(back / "datumaro-coco"), "coco_instances", save_media=False)
            picks.export(str(back / "datumaro-cvat"), "cvat", save_media=False)
            picks.transform("random_split", splits=[("train", 0.6), ("val", 0.4)], seed=1)
            picks.export(str(back / "datumaro-yolo"), "yolo_ultralytics", save_media=True)
    return {"version": importlib.import_module("datumaro.version").__version__, "seen": seen}


def inside_label_studio(folder: Path) -> dict[str, Any]:
    """Let the server import tasks and predictions, post what its page posts for them, and export; no port is opened."""
    import importlib.metadata
    import importlib.util

    root = Path(importlib.util.find_spec("label_studio").origin).parent
    data = os.environ.get("LABEL_STUDIO_DATA") or str(folder / "server")
    os.environ |= {
        **dict.fromkeys(("LABEL_STUDIO_BASE_DATA_DIR", "BASE_DATA_DIR"), data),
        "DJANGO_DB": "sqlite",
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "0",
        "LATEST_VERSION_CHECK": "0",
        "FRONTEND_SENTRY_DSN": "",
    }
    Path(data).mkdir(exist_ok=True)
    sys.path.insert(0, str(root))
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from organizations.models import Organization
    from rest_framework.test import APIClient
    from users.models import User

    settings.ALLOWED_HOSTS = ["*"]
    call_command("migrate", verbosity=0)
    user = User.objects.filter(email="a@example.org").first()
    if user is None:
        user = User.objects.create_user(email="a@example.org", password="none that matters")
        user.active_organization = Organization.create_organization(created_by=user, title="check")
        user.save()
    client = APIClient()
    client.force_authenticate(user=user)

    def post(place: str, value: Any) -> Any:
        answer = client.post(place, value, format="json")
        assert answer.status_code == 201, (place, answer.status_code, str(answer.data)[:500])
        return answer.data

    place, seen = folder / "label-studio/label-studio", {}
    (folder / "back").mkdir(exist_ok=True)
    for name, config, tasks in (
        ("pictures", "config.xml", "tasks.json"),
        ("videos", "config-videos.xml", "videos.json"),
    ):
        project = post("/api/projects/", {"title": name, "label_config": (place / config).read_text()})["id"]
        sent = json.loads((place / tasks).read_text())
        made = post(f"/api/projects/{project}/import?return_task_ids=true", sent)["task_ids"]
        assert len(made) == len(sent)
        found = 0
        for number in made:
            task = client.get(f"/api/tasks/{number}/").data
            said = [{**r, "origin": "prediction"} for p in task["predictions"] for r in p["result"]]
            found += len(said)
            post(f"/api/tasks/{number}/annotations/", {"result": said, "lead_time": 1.0})
        seen[name] = [len(made), found, sum(len(p["result"]) for t in sent for p in t.get("predictions", []))]
        answer = client.get(f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        (folder / "back" / f"label-studio-{name}.json").write_bytes(body)
    return {"version": importlib.metadata.version("label-studio"), "seen": seen}


def inside_label_studio_sdk(folder: Path) -> dict[str, Any]:
    import importlib.metadata

    import numpy as np
    from label_studio_sdk.converter import Converter, brush
    from label_studio_sdk.label_interface import LabelInterface

    place = folder / "label-studio/label-studio"
    seen = {}
    for name, config, tasks in (
        ("label-studio", "config.xml", "tasks.json"),
        ("label-studio, videos", "config-videos.xml", "videos.json"),
    ):
        interface = LabelInterface((place / config).read_text())
        interface.validate()
        found: dict[str, Any] = {}
        done = json.loads((place / tasks).read_text())
        for number, task in enumerate(done):
            objects = []
            for prediction in task.get("predictions", []):
                wrong = interface.validate_prediction(prediction, return_errors=True)
                assert not wrong, wrong
                objects += [seen_region(region, brush, np) for region in prediction["result"]]
            found[Path(task["data"].get("image") or task["data"]["video"]).stem] = objects
            # What a person does who accepts every prediction: it becomes an annotation of the same regions.
            results = [
                {**r, "origin": "prediction"} for p in task.pop("predictions", []) for r in p["result"]
            ]
            task |= {
                "id": number + 1,
                "annotations": [{"id": number + 1, "was_cancelled": False, "result": results}],
            }
        seen[name] = found
        back = folder / "back" / f"{Path(tasks).stem}-accepted.json"
        back.parent.mkdir(exist_ok=True)
        back.write_text(json.dumps(done))
    # COCO of the converter names pictures by their address; that it takes our regions is what is tried.
    converter = Converter(str(place / "config.xml"), str(folder), download_resources=False)
    converter.convert_to_coco(
        str(folder / "back/tasks-accepted.json"), str(folder / "back/label-studio-coco"), is_dir=False
    )
    return {"version": importlib.metadata.version("label-studio-sdk"), "seen": seen}


def seen_region(region: dict[str, Any], brush: Any, np: Any) -> dict[str, Any]:
    value = region["value"]
    kind = region["type"]
    said = region.get("meta", {}).get("evfr", {})
    seen = {
        "label": value.get(kind, value.get("labels"))[0],
        "box": None,
        "mask": None,
        "track": said.get("track_id"),
        "score": region.get("score"),
        "trust": said.get("evfr_trust"),
    }
    if kind == "videorectangle":
        return {"label": seen["label"], "frames": len(value["sequence"])}
    height, width = region["original_height"], region["original_width"]
    if kind == "brushlabels":
        flat = np.array(brush.decode_rle(value["rle"]))
        mask = flat.reshape(height, width, 4)[:, :, 3] > 0
        assert brush.mask2rle(mask.astype(np.uint8) * 255) == value["rle"], (
            "not as Label Studio itself writes it"
        )
        seen["mask"] = packed(mask)
    else:
        x, y, w, h = (value[key] for key in ("x", "y", "width", "height"))
        seen["box"] = [x * width / 100, y * height / 100, (x + w) * width / 100, (y + h) * height / 100]
    return seen


def inside_cvat(folder: Path) -> dict[str, Any]:
    """Make the requests that cvat-sdk would send of labels and shapes; no server is asked."""
    import importlib.metadata
    from xml.etree import ElementTree

    from cvat_sdk import models
    from cvat_sdk.masks import decode_mask, encode_mask

    seen = {}
    for name in ("cvat", "cvat-video"):
        base = folder / name if name == "cvat" else folder / name / "cvat-video"
        specs = json.loads((base / "labels.json").read_text())
        labels = [models.PatchedLabelRequest(**spec) for spec in specs]
        models.TaskWriteRequest(name="evfr", labels=labels)
        found: dict[str, Any] = {}
        for file in [base / "annotations.xml"] if name == "cvat" else sorted(base.glob("*.xml")):
            root = ElementTree.parse(file).getroot()
            size = root.find("meta/original_size")
            holders = [(image, image) for image in root.iter("image")]
            holders += [(track, track) for track in root.iter("track")]
            for holder, head in holders:
                for shape in holder:
                    if shape.get("outside") == "1":
                        continue
                    sized = head if size is None else None
                    width = int(sized.get("width") if sized is not None else size.findtext("width"))
                    height = int(sized.get("height") if sized is not None else size.findtext("height"))
                    is_mask = shape.tag == "mask"
                    if is_mask:
                        left, top, w, h = (int(shape.get(k)) for k in ("left", "top", "width", "height"))
                        runs = [int(value) for value in shape.get("rle").split(",")]
                        points = [*runs, left, top, left + w - 1, top + h - 1]
                        mask = decode_mask(points, image_width=width, image_height=height)
                        assert encode_mask(mask) == points, "not as cvat-sdk itself writes it"
                    else:
                        points = [float(shape.get(k)) for k in ("xtl", "ytl", "xbr", "ybr")]
                    label = shape.get("label") or head.get("label")
                    spec = next(entry for entry in specs if entry["name"] == label)
                    allowed = {entry["name"] for entry in spec["attributes"]}
                    given = {entry.get("name"): entry.text for entry in shape}
                    assert set(given) <= allowed, (
                        f"attributes that the labels do not have: {set(given) - allowed}"
                    )
                    models.LabeledShapeRequest(
                        type="mask" if is_mask else "rectangle",
                        frame=int(shape.get("frame") or head.get("id")),
                        label_id=1,
                        points=[float(value) for value in points],
                        attributes=[
                            models.AttributeValRequest(spec_id=number, value=value)
                            for number, value in enumerate(given.values())
                        ],
                    )
                    key = head.get("name") or f"{file.stem} {shape.get('frame')}"
                    found.setdefault(Path(key).stem, []).append(
                        {
                            "label": label,
                            "box": None if is_mask else points,
                            "mask": packed(mask) if is_mask else None,
                            "track": int(given["track_id"]) if "track_id" in given else None,
                            "score": float(given["evfr_score"]) if "evfr_score" in given else None,
                            "trust": float(given["evfr_trust"]) if "evfr_trust" in given else None,
                        }
                    )
        seen[name] = found
    return {"version": importlib.metadata.version("cvat-sdk"), "seen": seen}


def inside_cvat_tracking(data: Path) -> dict[str, Any]:
    """Let the worker of cvat-cli's agent follow labels of a real clip, and compare with the truth of each frame."""
    import time

    import cvat_sdk.auto_annotation as cvataa
    import numpy as np
    from cvat_cli._internal import agent_driver_tracking as driver
    from cvat_cli._internal.agent import get_function_driver_class
    from cvat_cli._internal.agent_driver import set_worker_current_function
    from cvat_cli._internal.common import FunctionLoader
    from cvat_sdk.masks import decode_mask, encode_mask
    from PIL import Image

    from evfr._core.masks import Rle, box_iou, iou
    from evfr.video import open_video

    rows = []
    for clip, first, steps in clips(data, open_video):
        pictures, masks = first
        truth = [Rle.from_mask(mask) for mask in masks]
        height, width = masks[0].shape
        x0, y0, x1, y1 = truth[0].box_xyxy
        function = FunctionLoader("evfr.verbs.cvat_tracking", None, {}).load()
        set_worker_current_function(function)
        driver_class = get_function_driver_class(function.spec)
        driver_class.init_worker(iter(map(str, range(10**6))).__next__)
        assert driver_class.get_remote_function_fields(function.spec) == {
            "supported_shape_types": ["mask", "polygon", "rectangle"]
        }
        from evfr.verbs.cvat_tracking import _polygon_of

        shapes = [
            cvataa.TrackableShape(type="mask", points=encode_mask(masks[0])),
            cvataa.TrackableShape(type="polygon", points=_polygon_of(truth[0])),
            cvataa.TrackableShape(type="rectangle", points=[x0, y0, x1, y1]),
        ]
        states = driver._worker_job_init_tracking(1, Image.fromarray(pictures[0]), shapes)
        spent = time.process_time()
        found = [
            driver._worker_job_track(1, Image.fromarray(picture), states)
            for picture in pictures[1 : max(steps) + 1]
        ]
        spent = (time.process_time() - spent) / max(steps)
        for k in steps:
            values: list[float | None] = []
            for shape in found[k - 1]:
                if shape is None:
                    values.append(None)
                elif shape.type == "mask":
                    seen = decode_mask(shape.points, image_width=width, image_height=height)
                    values.append(iou(Rle.from_mask(seen), truth[k]))
                elif shape.type == "polygon":
                    values.append(iou(Rle.from_polygons([shape.points], height, width), truth[k]))
                else:
                    boxes = np.array([shape.points]), np.array([truth[k].box_xyxy])
                    values.append(float(box_iou(*boxes)[0, 0]))
            copied = iou(truth[0], truth[k])
            copied_box = float(box_iou(np.array([truth[0].box_xyxy]), np.array([truth[k].box_xyxy]))[0, 0])
            rows.append([clip, k, *values, copied, copied_box, spent])
    return {"rows": rows}


def clips(data: Path, open_video: Any) -> Any:
    """Yield (name, (pictures, masks), steps) of clips with a mask for every frame, at half size."""
    import io
    import zipfile

    import cv2
    import numpy as np
    from PIL import Image

    steps = (1, 5, 10, 20, 30)

    def half(picture: Any) -> Any:
        return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)

    def half_mask(picture: Any) -> Any:
        values = (np.asarray(picture) > 0).astype(np.float32)
        return cv2.resize(values, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) >= 0.5

    with zipfile.ZipFile(data / "seq/chair_masks.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        masks = [half_mask(Image.open(io.BytesIO(archive.read(name)))) for name in names[:31]]
    with open_video(data / "seq/chair.mp4") as reader:
        pictures = [half(frame.rgb()) for frame in itertools.islice(reader, 31)]
    yield "chair", (pictures, masks), steps
    for clip in ("dog", "blackswan", "car-shadow"):
        with zipfile.ZipFile(data / f"seq/davis_{clip}.zip") as archive:
            images = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:31]
            labels = sorted(name for name in archive.namelist() if name.endswith(".png"))[:31]
            pictures = [
                half(np.asarray(Image.open(io.BytesIO(archive.read(n))).convert("RGB"))) for n in images
            ]
            masks = [half_mask(Image.open(io.BytesIO(archive.read(n))).convert("L")) for n in labels]
        yield clip, (pictures, masks), steps


INSIDE = {
    "fiftyone": inside_fiftyone,
    "datumaro": inside_datumaro,
    "label-studio": inside_label_studio,
    "label-studio-sdk": inside_label_studio_sdk,
    "cvat": inside_cvat,
    "cvat-tracking": inside_cvat_tracking,
}


# ---- outside: with evfr ------------------------------------------------------------------------------------------


def expected_of(package: Any, *, boxes_only: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Return what a tool should see, by picture: label, box or mask, track, score and trust."""
    from math import isnan

    names = {category.category_id: category.name for category in package.categories}
    stems = {(frame.video_id, frame.frame_index): frame.stem for frame in package.label_frames}
    out: dict[str, list[dict[str, Any]]] = {stem: [] for stem in stems.values()}
    for row in package.labels.objects():
        has_mask = row.mask is not None and not boxes_only
        out[stems[row.video_id, row.frame_index]].append(
            {
                "label": names[row.category_id],
                "box": row.box_xyxy if row.mask is None or not has_mask else row.mask.box_xyxy,
                "own": row.box_xyxy if row.box_xyxy is not None else row.mask.box_xyxy,
                "mask": packed(row.mask.to_mask()) if has_mask else None,
                "track": None if row.track_id < 0 else row.track_id,
                "score": None if isnan(row.score) else row.score,
                "trust": None if isnan(row.trust) else row.trust,
            }
        )
    return out


def is_equal(expected: list[dict[str, Any]], seen: list[dict[str, Any]]) -> bool:
    """Whether a tool sees the objects of one picture: masks exactly, boxes within 0.01 px, nothing more or less."""

    def facts(entry: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(entry.get(key) for key in ("track", "score", "trust") if key in seen[0])

    def near(box: Any, other: Any) -> bool:
        return (
            box is not None
            and other is not None
            and all(abs(a - b) <= 0.01 for a, b in zip(box, other, strict=True))
        )

    if not seen:
        return not expected
    masks = sorted((e["label"], e["mask"], facts(e)) for e in expected if e["mask"])
    if sorted((s["label"], s["mask"], facts(s)) for s in seen if s["mask"]) != masks:
        return False
    boxes = [s for s in seen if s["box"] is not None]
    for e in expected:
        if not e["mask"] and not any(s["label"] == e["label"] and near(s["box"], e["own"]) for s in boxes):
            return False
    return all(
        any(
            s["label"] == e["label"] and (near(s["box"], e["box"]) or near(s["box"], e["own"]))
            for e in expected
        )
        for s in boxes
    )


def write_all(folder: Path) -> dict[str, Any]:
    """Write a drawn export for each tool; return the packages."""
    from helpers.tool_package import draw_package, labels_for

    packages = {}
    for tool in ("fiftyone", "datumaro", "label-studio", "coco", "yolo", "cvat", "cvat-video"):
        packages[tool] = draw_package(folder / tool, tool)
        importlib.import_module(f"evfr.verbs._tool_{tool.replace('-', '_')}").write(packages[tool])
    # The layouts in which Datumaro looks for these formats.
    stage = folder / "stage"
    for source, target in (
        ("coco/instances.json", "coco/annotations/instances_default.json"),
        ("cvat/annotations.xml", "cvat/annotations.xml"),
    ):
        (stage / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / source, stage / target)
    shutil.copytree(folder / "coco/frames", stage / "coco/images/default")
    shutil.copytree(folder / "cvat/frames", stage / "cvat/images")
    # Datumaro reads no masks of tracks, so it is shown boxes.
    rows = [row for row in labels_for().objects() if row.mask is None and row.video_id != "b"]
    boxes = draw_package(folder / "cvat-video-boxes", "cvat-video", labels=labels_for(rows))
    module = importlib.import_module("evfr.verbs._tool_cvat_video")
    module.write(boxes)
    (stage / "cvat-video").mkdir(parents=True)
    shutil.copy(folder / "cvat-video-boxes/cvat-video/drive-a.xml", stage / "cvat-video/annotations.xml")
    packages["cvat-video, boxes"] = boxes
    return packages


def seen_equals(name: str, package: Any, seen: Any) -> tuple[str, bool]:
    """Return how many pictures a tool loaded, and whether it sees the labels that went in."""
    if isinstance(seen, list):
        return f"{seen[0]} tasks", seen[1] == seen[2]
    if name == "label-studio, videos":
        counts = sum(entry["frames"] for found in seen.values() for entry in found)
        return f"{len(seen)} videos", counts == len(package.labels)
    expected = expected_of(package, boxes_only=name == "yolo")
    if name.startswith("cvat-video"):
        places = {}
        for video in package.videos:
            for place, frame in enumerate(package.sequence(video.video_id)):
                slug = frame.name.partition("_")[0]
                places[f"{slug} {place}"] = places[f"frame_{place:06d}"] = frame.stem
        if name.endswith("boxes"):
            first = package.sequence(package.videos[0].video_id)
            places = {f"frame_{place:06d}": frame.stem for place, frame in enumerate(first)}
            expected = {frame.stem: expected.get(frame.stem, []) for frame in first}
        seen = {places[key]: found for key, found in seen.items()}
    equal = all(is_equal(objects, seen.get(stem, [])) for stem, objects in expected.items())
    extra = [stem for stem, found in seen.items() if found and stem not in expected]
    return f"{len(seen)} pictures", equal and not extra


def came_back(file: Path, tool: str, package: Any, *, boxes: bool) -> str:
    """Import a file of a tool; return what came back of the labels."""
    from helpers.tool_package import placed

    found = importlib.import_module(f"evfr.verbs._tool_{tool.replace('-', '_')}").read(file, package)
    done = placed(found, package, tracks="keep")
    want = package.labels
    same = done.untouched
    # A format of boxes gives back objects whose boxes nobody changed, and with them their masks.
    missing = len(want) - same
    return (
        f"{same} of {len(want)}"
        + (f", {missing} not as they were" if missing else "")
        + (" (boxes)" if boxes else "")
    )


GOLDEN: dict[str, tuple[str, ...]] = {
    "label-studio": ("label-studio-pictures.json", "label-studio-videos.json"),
    "fiftyone": ("fiftyone/samples.json", "fiftyone-detections/labels.json"),
    "datumaro": ("datumaro/annotations/label.json", "datumaro/annotations/context.json"),
    "label-studio-sdk": (),
    "cvat": (),
}
"""Files that the tests read; those of CVAT, COCO and YOLO come from another script of theirs."""

BACK = {
    "fiftyone": (
        ("fiftyone", "fiftyone", False),
        ("fiftyone-detections", "fiftyone", True),
        ("fiftyone-coco/instances.json", "coco", False),
        ("fiftyone-yolo", "yolo", True),
    ),
    "datumaro": (
        ("datumaro", "datumaro", False),
        ("datumaro-coco", "coco", False),
        ("datumaro-cvat/label.xml", "cvat", False),
        ("datumaro-yolo", "yolo", True),
    ),
    "label-studio": (
        ("label-studio-pictures.json", "label-studio", False),
        ("label-studio-videos.json", "label-studio", True),
    ),
    "label-studio-sdk": (
        ("tasks-accepted.json", "label-studio", False),
        ("videos-accepted.json", "label-studio", True),
    ),
    "cvat": (),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="*", help=f"TOOL=PYTHON for any of {', '.join(TOOLS)}")
    parser.add_argument("--golden", type=Path, help="keep the files that the tools write in this folder")
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of real clips"
    )
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.inside:
        print("\n" + json.dumps(INSIDE[words.inside[0]](Path(words.inside[1]))))
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "src")]
    failed = 0
    print(
        f"{'tool':<17} {'version':<9} {'format':<36} {'loaded':<12} {'labels equal':<13} came back untouched"
    )
    for word in words.pythons:
        tool, _, python = word.partition("=")
        if tool not in TOOLS or not python:
            parser.error(f"expected TOOL=PYTHON with a tool of {', '.join(TOOLS)}, got {word!r}")
        with tempfile.TemporaryDirectory(prefix="evfr-tools-") as name:
            folder = Path(name)
            packages = write_all(folder)
            (folder / "back").mkdir()
            told = run_inside(python, tool, folder)
            for key, seen in told["seen"].items():
                package = packages["label-studio" if tool.startswith("label-studio") else key]
                loaded, is_same = seen_equals(key, package, seen)
                failed += not is_same
                print(
                    f"{tool:<17} {told['version']:<9} {key:<36} {loaded:<12} {'yes' if is_same else 'NO':<13} -"
                )
            for file, reader, boxes in BACK[tool]:
                package = packages[reader if reader in packages else tool]
                try:
                    result = came_back(folder / "back" / file, reader, package, boxes=boxes)
                except Exception as error:  # noqa: BLE001  (a row of the table says so)
                    result = f"FAILED: {error!s:.150}"
                failed += "FAILED" in result
                row = f"back: {file}"
                print(f"{tool:<17} {told['version']:<9} {row:<36} {'-':<12} {'-':<13} {result}")
            if words.golden:
                keep_golden(folder / "back", tool, words.golden)
        if tool == "cvat":
            print_tracking(run_inside(python, "cvat-tracking", words.data)["rows"])
    sys.exit(1 if failed else 0)


def run_inside(python: str, what: str, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="evfr-tools-db-") as database:
        # FiftyOne would otherwise share a database with the user's own datasets.
        words = {"FIFTYONE_DATABASE_DIR": database, "FIFTYONE_DO_NOT_TRACK": "true"}
        command = [python, __file__, "--inside", what, str(folder)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, **words}
        )
    if done.returncode:
        raise SystemExit(f"{python} failed on {what}:\n{done.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(done.stdout.rstrip().rsplit("\n", 1)[-1])
    return told


def print_tracking(rows: list[list[Any]]) -> None:
    print(
        "\nCVAT's agent with evfr.verbs.cvat_tracking, half size; IoU with the truth k frames after the one label"
    )
    head = ("clip", "k", "mask", "polygon", "copy", "rectangle", "copy", "s CPU/frame")
    print("{:<12} {:>3} {:>6} {:>8} {:>6} {:>10} {:>6} {:>12}".format(*head))
    for clip, k, mask, polygon, box, copied, copied_box, spent in rows:
        mask, polygon, box = ("lost" if value is None else f"{value:.3f}" for value in (mask, polygon, box))
        print(
            f"{clip:<12} {k:>3} {mask:>6} {polygon:>8} {copied:>6.3f} {box:>10} {copied_box:>6.3f} {spent:>12.3f}"
        )


def keep_golden(back: Path, tool: str, golden: Path) -> None:
    """Keep the label files of a tool, small ones, without this machine's paths."""
    for name in GOLDEN[tool]:
        path = back / name
        text = path.read_text()
        parents = {str(back.parent), str(back.parent.resolve())}
        for parent in parents:
            text = text.replace(parent, "/export")
        if len(text) > SIZES_OF_GOLDEN:
            raise SystemExit(f"{path} has {len(text)} characters; goldens are small")
        target = golden / path.relative_to(back)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    main()
