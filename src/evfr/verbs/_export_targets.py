"""The annotation tools that an export is made for: what writes their files, and what reads them back."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._export_package import ExportPackage

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """Name one annotation tool and the module that knows its files.

    Attributes
    ----------
    name : str
        Its key in `TARGETS`.
    module : str
        Address of a module with ``write(package) -> tuple of Path`` and ``read(path, package) -> VideoAnnotations``.
    help : str
        How to bring the export into the tool and the labels out of it; printed, and written into ``README.txt``.
    """

    name: str
    module: str
    help: str

    def write(self, package: ExportPackage) -> tuple[Path, ...]:
        """Write the tool's files into the package's folder, whose pictures are there already.

        Parameters
        ----------
        package : ExportPackage
            The export.

        Returns
        -------
        tuple of Path
            What was written, the file or folder to give to the tool first.
        """
        paths: tuple[Path, ...] = importlib.import_module(self.module).write(package)
        return paths

    def read(self, path: Path, package: ExportPackage) -> VideoAnnotations:
        """Read what the tool gives out, one *video* a picture.

        Parameters
        ----------
        path : Path
            The file, folder or zip.
        package : ExportPackage
            The export that it should belong to.

        Returns
        -------
        VideoAnnotations
            One video for each picture of the file, with its size there: ``video_id`` is the picture's name as the
            file says it (with its folders, or with what the tool put before it), and its labels are on frame 0.
            `evfr.verbs._import_match.identify` then finds out which frame each picture is, by one law for all tools.
            A file that names frames otherwise is read to the names of the export: frame k of a video that the export
            made is ``package.sequence(video_id)[k]``.

        Raises
        ------
        AnnotationError
            If the file is not what the tool writes.
        """
        labels: VideoAnnotations = importlib.import_module(self.module).read(path, package)
        return labels


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "cvat",
            "evfr.verbs._tool_cvat",
            "CVAT, task of images: create a task, give it images.zip (with context: the pictures beside the one to "
            "label open as related images), then Actions > Upload annotations > CVAT 1.1 with annotations.xml. "
            "Afterwards Export task dataset > CVAT for images 1.1, and give the zip to evfr import.",
        ),
        Target(
            "cvat-video",
            "evfr.verbs._tool_cvat_video",
            "CVAT, one task a video: see the files in cvat-video.",
        ),
        Target(
            "label-studio",
            "evfr.verbs._tool_label_studio",
            "Label Studio: see the files in label-studio.",
        ),
        Target(
            "coco",
            "evfr.verbs._tool_coco",
            "COCO: instances.json names the pictures in frames; any tool that reads COCO instances takes the two. "
            "Export COCO again and give the JSON to evfr import; pictures must keep their names, ids may change.",
        ),
        Target(
            "yolo",
            "evfr.verbs._tool_yolo",
            "YOLO (Ultralytics layout): data.yaml, images/ and labels/, one text file a picture. "
            "Give the folder or zip with the new labels to evfr import.",
        ),
        Target(
            "fiftyone",
            "evfr.verbs._tool_fiftyone",
            "FiftyOne: see the files in fiftyone.",
        ),
        Target(
            "datumaro",
            "evfr.verbs._tool_datumaro",
            "Datumaro: see the files in datumaro.",
        ),
    )
}
"""Every tool by its name; to add one, write its module and one line here."""
