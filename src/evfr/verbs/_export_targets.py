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
            "Create a CVAT task: paste labels.json under Raw, and give it images.zip, sorted lexicographically "
            "(context opens beside each picture as related images); Upload annotations, CVAT 1.1, annotations.xml. "
            "Afterwards Export task dataset, CVAT for images 1.1, and give the zip to evfr import.",
        ),
        Target(
            "cvat-video",
            "evfr.verbs._tool_cvat_video",
            "For each video create a CVAT task from its file in cvat-video, with labels.json under Raw, and upload its "
            "XML as CVAT 1.1. Label the picks; frames of context are there to be looked at. Afterwards Export task "
            "dataset, CVAT for video 1.1, one task at a time.",
        ),
        Target(
            "label-studio",
            "evfr.verbs._tool_label_studio",
            "Start Label Studio with LOCAL_FILES_SERVING_ENABLED=true and LOCAL_FILES_DOCUMENT_ROOT at this folder, "
            "paste config.xml as the labelling interface, add its folder frames as local storage, and import "
            "tasks.json (or config-videos.xml, the folder label-studio and videos.json). Afterwards Export, JSON, "
            "the full one.",
        ),
        Target(
            "coco",
            "evfr.verbs._tool_coco",
            "Give instances.json and the folder frames to any tool that reads COCO instances. Afterwards export COCO "
            "from it and give the JSON (or the zip or folder with it) to evfr import. Pictures keep their names; ids "
            "may change.",
        ),
        Target(
            "yolo",
            "evfr.verbs._tool_yolo",
            "Give the folder yolo, in Ultralytics' layout, to the tool. Afterwards give the folder or zip with the new "
            "labels, one text file a picture, to evfr import.",
        ),
        Target(
            "fiftyone",
            "evfr.verbs._tool_fiftyone",
            "fiftyone.Dataset.from_dir(dataset_dir='fiftyone', dataset_type=fiftyone.types.FiftyOneDataset). "
            "Afterwards dataset.export(export_dir='back', dataset_type=fiftyone.types.FiftyOneDataset), and give the "
            "folder to evfr import.",
        ),
        Target(
            "datumaro",
            "evfr.verbs._tool_datumaro",
            "datumaro.Dataset.import_from('datumaro', 'datumaro'). Afterwards dataset.export('back', 'datumaro'), and "
            "give the folder to evfr import.",
        ),
    )
}
"""Every tool by its name; to add one, write its module and one line here."""
