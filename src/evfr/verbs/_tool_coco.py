"""COCO instances of the exported pictures: for any tool that reads them, and back from any that writes them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.verbs._export_package import ExportPackage

__all__ = ["read", "write"]

FILE = "instances.json"


def write(package: ExportPackage) -> tuple[Path, ...]:
    """Write ``instances.json``: images by their names in ``frames``, the labels that are there already, the classes.

    Parameters
    ----------
    package : ExportPackage
        The export.

    Returns
    -------
    tuple of Path
        The file and the folder of pictures.
    """
    from evfr.annotations import write as write_labels
    from evfr.verbs._export_labels import annotate_package
    from evfr.verbs._export_package import FOLDERS

    # Every object has a box of its own: tools that draw boxes have no use for a mask alone.
    path = write_labels(annotate_package(package).with_boxes(), package.folder / FILE, format="coco")
    return path, package.folder / FOLDERS["label"]


def read(path: Path, package: ExportPackage) -> VideoAnnotations:
    """Read COCO instances by picture: ids of images and categories are the file's own and mean nothing here.

    Parameters
    ----------
    path : Path
        The JSON, or a folder or zip with exactly one COCO file in it.
    package : ExportPackage
        The export.

    Returns
    -------
    VideoAnnotations
        One video a picture, named as the file says. All objects are a person's, for COCO has no word for others: what
        evfr wrote about that may stand in the file still, beside an object that was changed since.

    Raises
    ------
    AnnotationError
        If there is not exactly one COCO file, or it is wrong.
    """
    import numpy as np

    from evfr.annotations._coco import read_coco
    from evfr.annotations._paths import open_place

    if not path.is_dir() and path.suffix.lower() != ".zip":
        found = read_coco(path, stills=True)
    else:
        with open_place(path) as place, tempfile.TemporaryDirectory(prefix="evfr-") as folder:
            names: list[tuple[str, Path]] = []
            for name in place.names:
                if name.lower().endswith(".json"):
                    file = Path(folder) / f"{len(names)}.json"
                    file.write_bytes(place.read(name))
                    names += [(name, file)] if _is_coco(file) else []
            if len(names) != 1:
                raise AnnotationError(
                    f"{path} holds {len(names)} files of COCO instances{_listed(names)}; give the one to import"
                )
            try:
                found = read_coco(names[0][1], stills=True)
            except AnnotationError as error:
                text = str(error).replace(str(names[0][1]), f"{path}: {names[0][0]}")
                raise AnnotationError(text) from error
    return replace(found, source=np.zeros(len(found), np.int8), trust=np.full(len(found), np.nan))


def _listed(names: list[tuple[str, Path]]) -> str:
    return f" ({', '.join(name for name, _ in names[:5])})" if names else ""


def _is_coco(file: Path) -> bool:
    from evfr.annotations._coco import recognises_coco

    return recognises_coco(file)
