"""What an export holds, and that it is whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import cv2
import numpy as np
import pytest

import evfr
from evfr.errors import AnnotationError, SelectionFileError, StoreError, VideoError
from evfr.verbs._export_file import LABELS_FILE
from evfr.verbs._export_names import picture_name, video_slugs
from evfr.verbs._export_package import (
    EXPORT_FILE,
    ExportFrame,
    ExportPackage,
    ExportVideo,
    read_export,
    write_export,
)
from evfr.verbs._export_plan import parse_context
from evfr.verbs._export_targets import TARGETS
from helpers.barcode import encode, form, index_of
from helpers.exports import FRAMES, carried_labels, make_export, select_frames


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 40 bar code frames of uneven times, named to make trouble."""
    folder = tmp_path_factory.mktemp("ex port")
    return encode(folder / "Día 1, gate#2.mp4", form("h264-vfr-mp4"), 40)


def test_pictures_are_the_frames_they_say_they_are(video: Path, store: Path, tmp_path: Path) -> None:
    result = make_export(video, tmp_path / "out", store, "coco", context="2f")
    package = result.package
    assert package.frames == read_export(tmp_path / "out").frames
    assert [frame.frame_index for frame in package.label_frames] == list(FRAMES)
    context = {frame.frame_index: frame.of for frame in package.frames if frame.role == "context"}
    # 5 lies 2 from 3 only; 8, 11 and 12 are nearest to 9, 10 and 10; picks are no context of each other.
    assert context == {1: 3, 2: 3, 4: 3, 5: 3, 7: 9, 8: 9, 11: 10, 12: 10, 19: 21, 20: 21, 22: 21, 23: 21}
    near = {pick.frame_index: [frame.frame_index for frame in others] for pick, others in package.picks()}
    assert near == {3: [1, 2, 4, 5], 9: [7, 8, 10, 11], 10: [8, 9, 11, 12], 21: [19, 20, 22, 23]}
    for frame in package.frames:
        image = cv2.imread(str(package.path_of(frame)), cv2.IMREAD_COLOR)
        assert image is not None
        assert index_of(np.ascontiguousarray(image[..., ::-1])) == frame.frame_index
    assert sorted(path.name for path in (tmp_path / "out" / "frames").iterdir()) == sorted(
        frame.name for frame in package.label_frames
    )
    assert all("_context." in f.name for f in package.frames if f.role == "context")
    assert "12 frames around them" in str(result)
    assert json.dumps(result.to_dict())
    assert "frames to label" in (tmp_path / "out" / "README.txt").read_text()


def test_context_in_seconds_follows_uneven_times(video: Path, store: Path, tmp_path: Path) -> None:
    package = make_export(video, tmp_path / "out", store, "coco", context="100ms").package
    table = evfr.video.scan(video)[0]
    wanted = {
        int(frame)
        for pick in FRAMES
        for frame in np.flatnonzero(np.abs(table.time_seconds - table.time_seconds[pick]) <= 0.1)
    }
    assert {frame.frame_index for frame in package.frames} == wanted
    assert (package.context_seconds, package.context_frames) == (0.1, 0)
    for pick, others in package.picks():
        assert others == tuple(
            f for f in package.frames if 0 < abs(f.time_seconds - pick.time_seconds) <= 0.1
        )
    assert not (make_export(video, tmp_path / "none", store, "coco").folder / "context").exists()


def test_pre_annotations_are_of_exported_frames_and_trusted(video: Path, store: Path, tmp_path: Path) -> None:
    labels = carried_labels(tmp_path / "all.parquet", video.name)
    result = make_export(video, tmp_path / "out", store, "coco", labels=[labels], categories=["car", "bus"])
    package = read_export(tmp_path / "out")
    assert package.labels is not None
    assert package.labels.equals(result.package.labels)
    assert sorted(set(package.labels.frame_index.tolist())) == list(FRAMES)
    assert [(c.category_id, c.name) for c in package.categories] == [(2, "car"), (5, "a person"), (6, "bus")]
    assert "8 objects are there already" in str(result)
    every = evfr.annotations.read(labels)
    for place in (0, 1):  # of one video in two files, as carried objects and those to be asked are
        evfr.annotations.write(
            every.take(every.track_id == 1 + place), tmp_path / f"{place}.parquet", format="evfr"
        )
    parts = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    both = make_export(video, tmp_path / "both", store, "coco", labels=parts)
    assert both.package.labels.equals(package.labels)
    with pytest.raises(AnnotationError, match="track 1"):
        make_export(video, tmp_path / "twice", store, "coco", labels=[labels, parts[0]])
    few = make_export(video, tmp_path / "few", store, "coco", labels=[labels], min_trust=0.62)
    # Trust is 1 - frame / 25: the carried object of frames 3 and 9 stays, people's labels always do.
    assert [row.frame_index for row in few.package.labels.objects() if row.source == "carried"] == [3, 9]
    assert len(few.package.labels) == 6


@pytest.mark.parametrize("tool", ["coco", "yolo", "cvat"])
@pytest.mark.parametrize("has_masks", [True, False])
def test_what_nobody_touched_comes_back_as_it_was(
    video: Path, store: Path, tmp_path: Path, tool: str, has_masks: bool
) -> None:
    labels = carried_labels(tmp_path / "all.parquet", video.name, has_masks=has_masks)
    result = make_export(video, tmp_path / "out", store, tool, labels=[labels], context="1f")
    file = {"coco": "instances.json", "yolo": "yolo", "cvat": "annotations.xml"}[tool]
    back = evfr.import_(tmp_path / "out" / file, selection=tmp_path / "out", out=tmp_path / "back.parquet")
    assert back.untouched == len(back.labels) == 8
    assert back.sources == {"human": 4, "carried": 4}
    before = result.package.labels
    assert {str(row) for row in back.labels.objects()} == {str(row) for row in before.objects()}
    assert [v.pts.tolist() for v in back.labels.videos] == [v.pts.tolist() for v in before.videos]
    seen = evfr.import_(
        tmp_path / "out" / file, selection=tmp_path / "out", out=tmp_path / "b.parquet", untouched="human"
    )
    assert seen.sources == {"human": 8}
    assert seen.untouched == 0


def test_cvat_gets_pictures_context_classes_and_shapes(video: Path, store: Path, tmp_path: Path) -> None:
    labels = carried_labels(tmp_path / "all.parquet", video.name)
    result = make_export(video, tmp_path / "out", store, "cvat", labels=[labels], context="1f")
    assert [path.name for path in result.files] == ["images.zip", "labels.json", "annotations.xml"]
    with zipfile.ZipFile(tmp_path / "out" / "images.zip") as archive:
        names = archive.namelist()
        images = [name for name in names if "/" not in name]
        assert images == sorted(frame.name for frame in result.package.label_frames)
        pick, others = list(result.package.picks())[1]
        folder = f"related_images/{pick.stem}_png/"
        own = [name.removeprefix(folder) for name in names if name.startswith(folder)]
        assert own == [frame.name for frame in others]
        assert len(own) == 2  # frame 8, and the pick 10 beside it
        assert archive.read(images[0]) == (tmp_path / "out" / "frames" / images[0]).read_bytes()
    raw = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert {label["name"]: [a["name"] for a in label["attributes"]] for label in raw} == {
        "car": ["track_id", "gate"],
        "a person": ["track_id", "evfr_source", "evfr_trust"],
    }
    plain = make_export(video, tmp_path / "plain", store, "cvat", zip=False, categories=["car"])
    assert [path.name for path in plain.files] == ["images", "labels.json"]
    assert len(list(plain.files[0].iterdir())) == len(FRAMES)
    bare = make_export(video, tmp_path / "bare", store, "cvat")
    assert [path.name for path in bare.files] == ["images.zip"]
    assert "no classes were given" in str(bare)


def test_yolo_has_ultralytics_layout(video: Path, store: Path, tmp_path: Path) -> None:
    labels = carried_labels(tmp_path / "all.parquet", video.name, has_masks=False)
    make_export(video, tmp_path / "out", store, "yolo", labels=[labels])
    root = tmp_path / "out" / "yolo"
    assert (root / "data.yaml").read_text().splitlines()[:2] == ["train: images/train", "val: images/train"]
    stems = sorted(path.stem for path in (root / "images" / "train").iterdir())
    assert stems == sorted(path.stem for path in (root / "labels" / "train").iterdir())
    assert sorted(p.name for p in (root / "labels").iterdir()) == ["train"]
    make_export(video, tmp_path / "new", store, "yolo", categories=["car"])
    assert not list(
        (tmp_path / "new" / "yolo" / "labels").iterdir()
    )  # nothing is labelled yet, not even as empty


def test_one_bad_video_does_not_take_the_rest_down(video: Path, store: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(video, tmp_path / name)
    encode(tmp_path / "c.mp4", form("h264-no-b"), 12)
    common: Any = {"store": store, "executor": "serial"}
    paths = [tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4")]
    chosen = evfr.select(
        paths, n=9, signal="none", method="uniform", out=tmp_path / "s", no_report=True, **common
    )
    encode(tmp_path / "c.mp4", form("h264-no-b"), 13)
    (tmp_path / "a.mp4").unlink()
    result = evfr.export(tmp_path / "s", to="coco", out=tmp_path / "out", **common)
    assert [str(problem.code) for problem in result.problems] == ["E_NOT_FOUND", "E_CHANGED"]
    assert result.failed_count == 2
    assert [video.video_id for video in result.package.videos] == ["b.mp4"]
    assert len(result.package.frames) == len(chosen.for_video("b.mp4"))
    (tmp_path / "b.mp4").unlink()
    with pytest.raises(VideoError, match="E_NOT_FOUND"):
        evfr.export(tmp_path / "s", to="coco", out=tmp_path / "none", **common)
    assert not (tmp_path / "none").exists()


def test_pictures_of_another_size_than_their_video_are_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    for number in range(3):
        picture = np.full((64, 96 + 16 * (number == 1), 3), 40 * number, np.uint8)
        cv2.imwrite(str(tmp_path / "odd" / f"{number}.png"), picture)
    common: Any = {"store": store, "executor": "serial"}
    chosen = evfr.select(tmp_path / "odd", n=3, signal="none", method="uniform", damaged="keep", **common)
    assert 1 in chosen.indices
    with pytest.raises(VideoError, match="labels of a video are for one size"):
        evfr.export(chosen, to="coco", out=tmp_path / "out", **common)


def test_wrong_arguments(video: Path, store: Path, tmp_path: Path) -> None:
    chosen = select_frames(video, store)
    common: Any = {"to": "coco", "out": tmp_path / "out", "store": store, "executor": "serial"}
    for message, options in (
        ("to must be one of cvat, ", {"to": "paint"}),
        ("image_format must be", {"image_format": "gif"}),
        (r"quality must lie in 1\.\.100", {"quality": 0}),
        (r"min_trust must lie in 0\.\.1", {"min_trust": 1.5}),
        ("context must be a time such as 2s", {"context": "2 hours"}),
        ("names of one line", {"categories": ["a\nb"]}),
        ("names of one line", {"categories": [""]}),
    ):
        with pytest.raises(ValueError, match=message):
            evfr.export(chosen, **(common | options))
    empty = evfr.Selection(chosen.table.slice(0, 0), chosen.manifest)
    with pytest.raises(SelectionFileError, match="selects no frame"):
        evfr.export(empty, **common)
    foreign = carried_labels(tmp_path / "foreign.parquet", "elsewhere.mp4")
    named = evfr.annotations.read(foreign)
    other = replace(named.videos[0], content_hash="00" * 16)
    evfr.annotations.write(replace(named, videos=(other,)), foreign, format="evfr")
    with pytest.raises(AnnotationError, match="the labels were made on a video with the hash 0000"):
        evfr.export(chosen, labels=[foreign], **common)
    with pytest.raises(AnnotationError, match="two categories of one name"):
        evfr.verbs._export_labels.all_categories(
            replace(named, categories=(named.categories[0], replace(named.categories[1], name="car"))), ()
        )
    assert not (tmp_path / "out").exists()


def test_labels_of_videos_that_are_not_selected(video: Path, store: Path, tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        shutil.copy(video, tmp_path / name)
    common: Any = {"store": store, "executor": "serial"}
    chosen = evfr.select(
        [tmp_path / "one.mp4", tmp_path / "two.mp4"], n=8, signal="none", method="uniform", **common
    )
    wrong = carried_labels(tmp_path / "wrong.parquet", "three.mp4")
    with pytest.raises(AnnotationError, match=r"'three.mp4' is none of the selection"):
        evfr.export(chosen, to="coco", out=tmp_path / "out", labels=[wrong], **common)
    right = carried_labels(tmp_path / "right.parquet", "two")  # by the name without ending
    result = evfr.export(chosen, to="coco", out=tmp_path / "out", labels=[right], **common)
    assert [v.video_id for v in result.package.labels.videos] == ["two.mp4"]  # type: ignore[union-attr]
    several = evfr.annotations.concatenate(
        [evfr.annotations.read(carried_labels(tmp_path / f"{n}.parquet", n)) for n in ("x", "y")]
    )
    evfr.annotations.write(several, tmp_path / "xy.parquet", format="evfr")
    with pytest.raises(AnnotationError, match="none of the videos of these labels is selected"):
        evfr.export(chosen, to="coco", out=tmp_path / "o", labels=[tmp_path / "xy.parquet"], **common)


def test_it_is_whole_or_not_there(
    video: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(StoreError, match="is there already and not an empty folder"):
        make_export(video, tmp_path / "full", store, "coco")
    (tmp_path / "empty").mkdir()
    make_export(video, tmp_path / "empty", store, "coco")

    def die(package: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evfr.verbs._tool_coco.write", die)
    with pytest.raises(StoreError, match="No space left on device"):
        make_export(video, tmp_path / "out", store, "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_another_export_to_the_same_folder_is_refused(video: Path, store: Path, tmp_path: Path) -> None:
    lock = tmp_path / ".evfr-export-out.lock"
    with lock.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process is exporting to"):
            make_export(video, tmp_path / "out", store, "coco")
    make_export(video, tmp_path / "out", store, "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.slow
def test_a_killed_export_leaves_nothing_half(video: Path, store: Path, tmp_path: Path) -> None:
    select_frames(video, store).save(tmp_path / "s")
    words = [sys.executable, "-c"]
    script = (
        "import os, signal, evfr, evfr.verbs._tool_coco as tool\n"
        "tool.write = lambda package: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"evfr.export({str(tmp_path / 's')!r}, to='coco', out={str(tmp_path / 'out')!r}, "
        f"store={str(store)!r}, executor='serial')\n"
    )
    done = subprocess.run([*words, script], env=os.environ, capture_output=True, check=False)
    assert done.returncode == -9
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".evfr-export-out" / "frames").is_dir()  # what the next export clears away
    evfr.export(tmp_path / "s", to="coco", out=tmp_path / "out", store=store, executor="serial")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "s"]


def test_names_are_safe_and_unique() -> None:
    ids = [
        "a/b.mp4",
        "a b.mp4",
        "A-B.mp4",
        "日本.mp4",
        "x" * 300,
        "plain.mkv",
        "plain.2.mkv",
        "CON",
        "a\udcff.mp4",
    ]
    slugs = video_slugs(ids)
    assert slugs["plain.mkv"] == "plain"
    assert slugs["plain.2.mkv"] == "plain-2"
    assert len({slug.casefold() for slug in slugs.values()}) == len(ids)
    for slug in slugs.values():
        name = picture_name(slug, 7, -1302, "context", "png")
        assert name == f"{slug}_f000007_pm1302_context.png"
        assert name.isascii() and len(name) < 120 and not set(name) & set(' /\\:*?"<>|')
    assert video_slugs(reversed(ids)) == slugs
    assert picture_name("v", 1, None, "label", "jpg") == "v_f000001_pnone.jpg"


def test_context_words() -> None:
    assert parse_context("2s").seconds == 2.0
    assert parse_context("500ms").seconds == 0.5
    assert parse_context("60f").frames == 60
    assert parse_context(None) == type(parse_context(None))(0.0, 0)
    for text in ("0s", "1.5f", "-1s", "s", "2"):
        with pytest.raises(ValueError, match="context must be a time"):
            parse_context(text)


def test_targets_are_those_of_the_signature() -> None:
    hints = get_type_hints(
        evfr.export, vars(sys.modules["evfr.verbs.export"]) | {"Selection": evfr.Selection}
    )
    assert get_args(hints["to"]) == tuple(TARGETS)
    for name, target in TARGETS.items():
        assert target.name == name
        assert target.help.endswith(".")


@pytest.fixture(scope="session")
def made(video: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the text of an export's map."""
    folder = tmp_path_factory.mktemp("made") / "out"
    make_export(video, folder, store, "coco")
    return (folder / EXPORT_FILE).read_text()


def edit(data: dict[str, Any], where: list[Any], value: Any) -> None:
    for key in where[:-1]:
        data = data[key]
    if value is None:
        del data[where[-1]]
    else:
        data[where[-1]] = value


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (["format"], "other", "is no export of evfr"),
        (["version"], 2, "has export version 2, this evfr reads 1"),
        (["tool"], None, "must have the fields"),
        (["extra"], 1, "must have the fields"),
        (["has_zip"], 1, "has_zip must be bool"),
        (["context", "seconds"], -1, "context must be 0 or more"),
        (["frames"], "x", "frames must be list"),
        (["frames", 0, "frame_index"], True, "frame_index must be int"),
        (["frames", 0, "frame_index"], 99, "but 'Día 1, gate#2.mp4' has 40 frames"),
        (["frames", 0, "name"], "../a.png", "name must be ASCII letters"),
        (["frames", 0, "sha256"], "", "sha256 and pixels_sha256 must be there"),
        (["frames", 0, "sha256"], "xyz", "sha256 must be 64 hexadecimal digits"),
        (["frames", 0, "luma_hash"], "12", "luma_hash must be 16 hexadecimal digits"),
        (["frames", 0, "time_base"], [1, 0], "time_base must be two whole numbers"),
        (["frames", 0, "pts"], 2**70, "pts must be 64 bits"),
        (["frames", 0, "width"], 97, "has 97x64 pixels, its video 96x64"),
        (["frames", 0, "width"], 0, "a size of 1x1 or more"),
        (["frames", 0, "role"], "context", "role must be 'label' without of"),
        (["frames", 0, "of"], 3, "role must be 'label' without of"),
        (["frames", 0, "sequence"], 1, "sequence must be 0"),
        (["videos", 0, "video_id"], "who", "is no video of the export"),
        (["frames", 1, "frame_index"], 3, "is out of order"),
        (["videos", 0, "width"], "96", "width must be int"),
        (["labels"], {"file": "../x", "sha256": "0"}, "labels must lie in"),
    ],
)
def test_an_edited_export_is_refused(
    made: str, tmp_path: Path, where: list[Any], value: Any, message: str
) -> None:
    path = tmp_path / EXPORT_FILE
    data = json.loads(made)
    edit(data, where, value)
    path.write_text(json.dumps(data))
    with pytest.raises(SelectionFileError, match=message):
        read_export(path)


def test_a_broken_export_is_refused(video: Path, store: Path, tmp_path: Path) -> None:
    labels = carried_labels(tmp_path / "all.parquet", video.name)
    make_export(video, tmp_path / "out", store, "coco", labels=[labels])
    path = tmp_path / "out" / EXPORT_FILE
    data = json.loads(path.read_text())
    for key, what in (("category_id", "id"), ("name", "name")):
        twice = json.loads(json.dumps(data))
        twice["categories"][1][key] = twice["categories"][0][key]
        path.write_text(json.dumps(twice))
        with pytest.raises(SelectionFileError, match=f"two categories have the same {what}"):
            read_export(path)
    path.write_text(json.dumps({**data, "videos": data["videos"] * 2}))
    with pytest.raises(SelectionFileError, match="a video stands there twice"):
        read_export(path)
    path.write_text(json.dumps(data))
    assert read_export(path).labels is not None
    (tmp_path / "out" / LABELS_FILE).write_bytes(labels.read_bytes())
    with pytest.raises(SelectionFileError, match="is not what the export wrote"):
        read_export(path)
    assert read_export(path, has_labels=False).labels is None
    (tmp_path / "out" / LABELS_FILE).unlink()
    with pytest.raises(SelectionFileError, match="the labels that were exported, does not exist"):
        read_export(path)
    path.write_text("[" * 200_000)
    with pytest.raises(SelectionFileError, match="no readable JSON"):
        read_export(path)
    path.unlink()
    with pytest.raises(SelectionFileError, match="give the folder that evfr export wrote"):
        read_export(path)


def frame(name: str, index: int, **fields: Any) -> ExportFrame:
    return ExportFrame(name, "v", index, None, Fraction(1, 25), index / 25, 0, 8, 6, "label", **fields)


def test_packages_check_themselves(tmp_path: Path) -> None:
    videos = (ExportVideo("v", "v.mp4", "", 10, 8, 6),)
    good = ExportPackage(tmp_path, "coco", videos, (frame("a.png", 1), frame("b.png", 2)))
    assert "2 frames to label" in repr(good)
    assert write_export(good).name == EXPORT_FILE
    with pytest.raises(SelectionFileError, match=r"cannot be told from 'a\.png'"):
        replace(good, frames=(frame("a.png", 1), frame("A.jpg", 2)))
    lost = replace(frame("b.png", 2), role="context", of=5)
    with pytest.raises(SelectionFileError, match="which is no pick of the export"):
        replace(good, frames=(frame("a.png", 1), lost))
    with pytest.raises(SelectionFileError, match="luma_hash must be 64 bits"):
        replace(frame("a.png", 1), luma_hash=2**64)
    with pytest.raises(SelectionFileError, match="a positive time base and a finite time"):
        replace(frame("a.png", 1), time_seconds=float("nan"))
