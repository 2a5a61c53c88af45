"""Have FiftyOne and Datumaro read exports and write them again, to see that what comes back is what went in.

``python -m helpers.real_tools ENVIRONMENTS`` in ``tests/`` writes ``tests/verbs/tool_files/images``;
ENVIRONMENTS is a folder with an environment each: ``fiftyone/bin/python``, ``datumaro/bin/python``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.barcode import encode, form
from helpers.exports import carried_labels, make_export

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LOOPS", "WRITTEN", "export_for_tools", "run_loop"]

WRITTEN = Path(__file__).parents[1] / "verbs" / "tool_files" / "images"

_DATUMARO = """
import shutil, sys
from pathlib import Path
import datumaro as dm
source, out, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
stage = out.parent / "stage"
if kind == "coco":
    (stage / "annotations").mkdir(parents=True)
    shutil.copy(source / "instances.json", stage / "annotations" / "instances_train.json")
    shutil.copytree(source / "frames", stage / "images" / "train")
    dm.Dataset.import_from(str(stage), "coco_instances").export(str(out), "coco_instances", save_media=False)
elif kind == "cvat":
    shutil.copytree(source / "frames", stage / "images")
    shutil.copy(source / "annotations.xml", stage / "annotations.xml")
    dm.Dataset.import_from(str(stage), "cvat").export(str(out), "cvat", save_media=False)
else:
    dm.Dataset.import_from(str(source / "yolo"), "yolo").export(str(out), "yolo", save_media=False)
"""

_FIFTYONE = """
import sys
from pathlib import Path
import fiftyone as fo
source, out, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
types = {"coco": fo.types.COCODetectionDataset, "cvat": fo.types.CVATImageDataset, "yolo": fo.types.YOLOv5Dataset}
more = {
    "coco": {
        "data_path": str(source / "frames"),
        "labels_path": str(source / "instances.json"),
        "label_types": ["detections"],
    },
    "cvat": {"data_path": str(source / "frames"), "labels_path": str(source / "annotations.xml")},
    "yolo": {"dataset_dir": str(source / "yolo"), "yaml_path": "data.yaml", "split": "train"},
}[kind]
data = fo.Dataset.from_dir(dataset_type=types[kind], **more)
field = "detections" if kind == "cvat" else "ground_truth"
split = {"split": "train"} if kind == "yolo" else {}
data.export(export_dir=str(out), dataset_type=types[kind], label_field=field, export_media=False, **split)
"""

LOOPS: dict[tuple[str, str, bool], str] = {
    ("datumaro", "coco", False): "annotations/instances_train.json",
    ("datumaro", "coco", True): "annotations/instances_train.json",
    ("datumaro", "cvat", False): "",
    ("datumaro", "cvat", True): "",
    ("datumaro", "yolo", False): "",
    ("fiftyone", "coco", False): "labels.json",
    ("fiftyone", "cvat", False): "labels.xml",
    ("fiftyone", "yolo", False): "",
    ("fiftyone", "yolo", True): "",
}
"""Which tool reads and writes which format, with masks or not, and what of it is given to ``evfr import``."""


def export_for_tools(folder: Path, store: Path) -> Iterator[tuple[str, bool, Path]]:
    """Export the same four frames for each format, with boxes and with masks; yield format, has_masks and folder."""
    video = encode(folder / "my clip.mp4", form("h264-vfr-mp4"), 40)
    for has_masks in (False, True):
        labels = carried_labels(folder / f"labels-{has_masks}.parquet", video.name, has_masks=has_masks)
        for to in ("coco", "yolo", "cvat"):
            out = folder / f"{to}-{'masks' if has_masks else 'boxes'}"
            make_export(video, out, store, to, labels=[labels])
            yield to, has_masks, out


def run_loop(environments: Path, tool: str, kind: str, source: Path, out: Path) -> None:
    """Let a tool read an export and write it to ``out``."""
    code = _DATUMARO if tool == "datumaro" else _FIFTYONE
    with tempfile.TemporaryDirectory() as home:
        variables: dict[str, Any] = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "FIFTYONE_DATABASE_DIR": f"{home}/database",
            "FIFTYONE_DO_NOT_TRACK": "1",
        }
        made = Path(home) / "out"
        subprocess.run(
            [
                str(environments / tool / "bin" / "python"),
                "-W",
                "ignore",
                "-c",
                code,
                str(source),
                str(made),
                kind,
            ],
            env=variables,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for path in made.rglob("*"):
            if path.suffix.lower() in (".png", ".jpg"):
                path.unlink()
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out)


def main() -> None:
    """Write the files of every tool anew."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        exports = {(to, masks): out for to, masks, out in export_for_tools(root, root / "store")}
        for tool, kind, has_masks in LOOPS:
            name = f"{tool}-{kind}-{'masks' if has_masks else 'boxes'}"
            run_loop(Path(sys.argv[1]), tool, kind, exports[kind, has_masks], WRITTEN / name)
            print(name)


if __name__ == "__main__":
    main()
