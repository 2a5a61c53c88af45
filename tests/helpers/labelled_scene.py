"""One drawn scene of two videos, laid out on disk as the known data sets are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations, concatenate
from evfr._core.masks import Rle
from evfr.annotations import read, write

__all__ = ["CLASSES", "FRAMES", "LAYOUTS", "SIZE", "picture", "scene", "truth_map"]

SIZE = (32, 24)
"""Width and height."""
VIDEOS = ("a", "b")
FRAMES = 3
CLASSES = ("car", "person")


def picture(video: str, frame: int) -> np.ndarray:
    """Return a picture that no other has: (24, 32, 3) uint8."""
    out = np.full((SIZE[1], SIZE[0], 3), 20 + 60 * VIDEOS.index(video), np.uint8)
    out[..., 1] += np.uint8(20 * frame)
    out[4:12, 4 + frame : 12 + frame] = 200
    return out


def boxes(video: str, frame: int) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Return (class, box) of the two objects of a frame: squares that do not touch."""
    shift = 2 * VIDEOS.index(video)
    return [(0, (4 + frame, 4, 12 + frame, 12)), (1, (16, 14 + shift, 20, 20 + shift))]


def truth_map(video: str, frame: int) -> np.ndarray:
    """Return the classes of the pixels: 0, 1 car, 2 person."""
    out = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    for number, (x0, y0, x1, y1) in boxes(video, frame):
        out[y0:y1, x0:x1] = 1 + number
    return out


def scene(*, with_files: bool = False, with_masks: bool = True) -> VideoAnnotations:
    """Return the labels of all frames."""
    rows = []
    for video in VIDEOS:
        for frame in range(FRAMES):
            for number, box in boxes(video, frame):
                mask = Rle.from_box(box, SIZE[1], SIZE[0]) if with_masks else None
                corners = tuple(float(value) for value in box)
                rows.append(ObjectRow(video, frame, number + 1, number + 1, corners, mask))
    videos = [
        AnnotatedVideo(
            video,
            *SIZE,
            np.arange(FRAMES),
            frame_count=FRAMES,
            file_names=tuple(f"{video}/{frame:05d}.png" for frame in range(FRAMES)) if with_files else (),
        )
        for video in VIDEOS
    ]
    categories = [Category(number + 1, name) for number, name in enumerate(CLASSES)]
    return VideoAnnotations.build(videos, categories, rows)


def _pictures(folder: Path, name: str = "{video}/{frame:05d}.png", first: int = 0) -> Path:
    for video in VIDEOS:
        for frame in range(FRAMES):
            path = folder / name.format(video=video, frame=frame + first)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(video, frame)).save(path)
    return folder


def _evfr(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    return [_pictures(folder / "videos")], read(write(scene(), folder / "labels.parquet", format="evfr"))


def _coco_frames(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    return [_pictures(folder / "images")], read(
        write(scene(with_files=True), folder / "coco.json", format="coco")
    )


def _coco_stills(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    names = [(v, f) for v in VIDEOS for f in range(FRAMES)]
    notes = []
    for number, (video, frame) in enumerate(names):
        for which, (x0, y0, x1, y1) in boxes(video, frame):
            outline = [x0, y0, x1, y0, x1, y1, x0, y1]
            notes.append(
                {
                    "id": len(notes) + 1,
                    "image_id": number,
                    "category_id": which + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "segmentation": [outline],
                    "iscrowd": 0,
                }
            )
    path = folder / "instances.json"
    path.write_text(
        json.dumps(
            {
                "images": [
                    {"id": i, "file_name": f"{v}_{f}.png", "width": SIZE[0], "height": SIZE[1]}
                    for i, (v, f) in enumerate(names)
                ],
                "annotations": notes,
                "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
            }
        )
    )
    return [_pictures(folder / "val2017", "{video}_{frame}.png")], read(path, format="coco", stills=True)


def _ytvis(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    return [_pictures(folder / "JPEGImages")], read(
        write(scene(with_files=True), folder / "instances.json", format="ytvis")
    )


def _bdd(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    _pictures(folder / "images/train", "{video}/{video}-{frame:07d}.png", first=1)
    write(scene(), folder / "bitmasks", format="bdd100k", kind="bitmask")
    return [folder / "images/train"], read(
        folder / "bitmasks", format="bdd100k", categories=("car", "person")
    )


def _mot(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    """MOT has boxes only, and one file a sequence."""
    parts = []
    for video in VIDEOS:
        one = write(scene(with_masks=False).of_video(video), folder / video, format="mot")
        parts.append(read(one, format="mot", categories=CLASSES))
    _pictures(folder, "{video}/img1/{frame:06d}.png", first=1)
    return [folder / video / "img1" for video in VIDEOS], concatenate(parts)


def _davis(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    """DAVIS has no classes: each object is one."""
    write(scene(), folder / "DAVIS", format="davis")
    return [_pictures(folder / "DAVIS/JPEGImages/480p")], read(folder / "DAVIS", format="davis")


def _camvid(folder: Path) -> tuple[list[Path], VideoAnnotations]:
    (folder / "labels").mkdir()
    for video in VIDEOS:
        for frame in range(FRAMES):
            values = (truth_map(video, frame).astype(int) - 1) % 3
            Image.fromarray(values.astype(np.uint8)).save(folder / f"labels/{video}_{frame:05d}.png")
    _pictures(folder / "images", "{video}_{frame:05d}.png")
    # The value 2 is background here, so it is a class that nothing is learnt of.
    return [folder / "images"], read(folder, format="camvid", classes=(*CLASSES, "rest"))


LAYOUTS: dict[str, Callable[[Path], tuple[list[Path], VideoAnnotations]]] = {
    "evfr": _evfr,
    "coco": _coco_frames,
    "coco stills": _coco_stills,
    "ytvis": _ytvis,
    "bdd100k": _bdd,
    "mot": _mot,
    "davis": _davis,
    "camvid": _camvid,
}
"""``layout(folder) -> (videos, labels)``."""
