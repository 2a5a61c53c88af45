"""What an import takes, what it lists, and what it refuses."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import evfr
from evfr.annotations import ObjectRow, Rle
from evfr.errors import AnnotationError, SelectionFileError
from evfr.verbs._export_package import EXPORT_FILE, read_export
from evfr.verbs._import_match import NameIndex
from helpers.annotators import box_of, coco_tool, codes_of_pictures, cvat_tool, yolo_tool
from helpers.barcode import draw, encode, form
from helpers.exports import FRAMES, SIZE, carried_labels, make_export, select_frames


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 40 bar code frames."""
    return encode(tmp_path_factory.mktemp("import") / "clip.mp4", form("h264-mp4"), 40)


@pytest.fixture(scope="session")
def exported(video: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an export with context, to be copied by tests that change it."""
    folder = tmp_path_factory.mktemp("exported") / "out"
    make_export(video, folder, store, "coco", context="1f", categories=["car", "square"])
    return folder


@pytest.fixture
def codes(exported: Path) -> dict[str, int]:
    """Return the bar codes of the pictures to label."""
    return codes_of_pictures(exported / "frames")


def import_coco(codes: dict[str, int], exported: Path, folder: Path, **options: Any) -> Any:
    prefix = options.pop("prefix", "")
    size = options.pop("size", SIZE)
    file = coco_tool(codes, folder / "labels.json", size=size, prefix=prefix)
    return evfr.import_(file, selection=exported, out=folder / "out.parquet", **options)


def test_names_fit_by_stated_rules_only(exported: Path) -> None:
    index = NameIndex(read_export(exported).frames)
    name = "clip_f000009_p4608.png"
    for text in (
        *(name, f"data/frames/{name}", f"a\\b\\{name}", name.upper(), name.replace("png", "jpeg"), name[:-4]),
        *(
            f"0a1b2c3d-{name}",
            f"upload/3/0a1b2c3d-{name}",
            f"0a1b2c3d-{name[:-4]}",
            name.replace(".png", ".txt"),
        ),
    ):
        frame, reason = index.find(text)
        assert frame is not None and frame.name == name and not reason, text
    for text in (
        f"0a1b2c-{name}",
        f"copy_{name}",
        f"{name}.png.zip",
        "clip_f000009_p4609.png",
        "",
        "/",
        "frame_000001",
    ):
        frame, reason = index.find(text)
        assert frame is None and "that of no picture" in reason, text


def test_a_name_that_fits_two_pictures_is_not_taken(video: Path, store: Path, tmp_path: Path) -> None:
    for name in ("x.mp4", "deadbeef-x.mp4"):
        shutil.copy(video, tmp_path / name)
    common: Any = {"store": store, "executor": "serial"}
    chosen = evfr.select(
        [tmp_path / "x.mp4", tmp_path / "deadbeef-x.mp4"], n=4, signal="none", method="uniform", **common
    )
    package = evfr.export(chosen, to="coco", out=tmp_path / "out", **common).package
    both = [frame.name for frame in package.frames if frame.video_id == "deadbeef-x.mp4"]
    frame, reason = NameIndex(package.frames).find(both[0])
    assert frame is None and "fits several pictures of the export" in reason


@pytest.mark.parametrize("prefix", ["", "images/default/", "0a1b2c3d-", "upload/1/ffffffff-"])
def test_folders_and_prefixes_of_tools(
    codes: dict[str, int], exported: Path, tmp_path: Path, prefix: str
) -> None:
    result = import_coco(codes, exported, tmp_path, prefix=prefix)
    assert (result.matched_by_name, result.failed_count, result.missing) == (4, 0, ())
    assert result.labels.videos[0].frame_index.tolist() == list(FRAMES)
    assert result.sources == {"human": 4}
    assert "4 by name, 0 by pixels, 0 guessed" in str(result)
    assert json.dumps(result.to_dict())
    assert "0 pictures not taken" in repr(result)


def test_zips_and_folders_of_coco(codes: dict[str, int], exported: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "annotations").mkdir(parents=True)
    file = coco_tool(codes, tmp_path / "set" / "annotations" / "instances_default.json", size=SIZE)
    (tmp_path / "set" / "info.json").write_text("{}")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(file, "annotations/instances_default.json")
    for source in (tmp_path / "set", tmp_path / "set.zip"):
        result = evfr.import_(source, selection=exported, out=tmp_path / "out.parquet")
        assert result.matched_by_name == 4
    shutil.copy(file, tmp_path / "set" / "annotations" / "instances_second.json")
    with pytest.raises(AnnotationError, match="holds 2 files of COCO instances"):
        evfr.import_(tmp_path / "set", selection=exported, out=tmp_path / "out.parquet")
    shutil.rmtree(tmp_path / "set" / "annotations")
    with pytest.raises(AnnotationError, match="holds 0 files of COCO instances"):
        evfr.import_(tmp_path / "set", selection=exported, out=tmp_path / "out.parquet")
    (tmp_path / "set" / "bad.json").write_text(
        json.dumps({"images": [{}], "annotations": [], "categories": []})
    )
    with pytest.raises(AnnotationError, match=r"set: bad.json: image 0"):
        evfr.import_(tmp_path / "set", selection=exported, out=tmp_path / "out.parquet")


def test_the_files_of_another_export_are_refused(
    codes: dict[str, int], exported: Path, video: Path, store: Path, tmp_path: Path
) -> None:
    other = encode(tmp_path / "other.mp4", form("h264-no-b"), 30)
    make_export(other, tmp_path / "other", store, "coco")
    with pytest.raises(
        AnnotationError, match=r"none of its 4 pictures is one of this export .*is it of another export"
    ):
        import_coco(codes, tmp_path / "other", tmp_path)
    assert not (tmp_path / "out.parquet").exists()
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    with pytest.raises(AnnotationError, match="names no picture"):
        evfr.import_(empty, selection=exported, out=tmp_path / "out.parquet")


def test_what_is_not_matched_is_listed(codes: dict[str, int], exported: Path, tmp_path: Path) -> None:
    renamed = {("picture_1.png" if code == 9 else name): code for name, code in codes.items()}
    result = import_coco(renamed, exported, tmp_path)
    assert result.failed_count == 1
    assert [(p.name, p.frame) for p in result.unmatched] == [("picture_1.png", None)]
    assert result.missing == ("clip_f000009_p4608.png",)
    assert "not taken picture_1.png: its name is that of no picture of the export" in str(result)
    assert "1 of 4 exported pictures are not in the file" in str(result)
    assert sorted(result.labels.frame_index.tolist()) == [3, 10, 21]


def test_renamed_pictures_are_found_by_their_pixels(
    codes: dict[str, int], exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "back").mkdir()
    renamed = {}
    for number, (name, code) in enumerate(codes.items()):
        image = cv2.imread(str(exported / "frames" / name), cv2.IMREAD_UNCHANGED)
        assert image is not None
        # The first keeps its bytes, the second is stored anew without loss, the third with loss.
        target = tmp_path / "back" / f"{number}.{'jpg' if number == 2 else 'png'}"
        if number == 0:
            shutil.copy(exported / "frames" / name, target)
        else:
            cv2.imwrite(str(target), image, [int(cv2.IMWRITE_PNG_COMPRESSION), 1])
        renamed[target.name] = code
    result = import_coco(renamed, exported, tmp_path, images=tmp_path / "back")
    assert (result.matched_by_name, result.matched_by_pixels, result.guessed) == (0, 3, 0)
    assert [p.name for p in result.unmatched] == ["2.jpg"]
    assert "and its pixels are those of none" in result.unmatched[0].reason
    for row, box in zip(result.labels.frame_index.tolist(), result.labels.boxes_xyxy.tolist(), strict=True):
        assert tuple(box) == box_of(row)
    (tmp_path / "back" / "0.png").unlink()
    result = import_coco(renamed, exported, tmp_path, images=tmp_path / "back")
    assert "has no one picture of this name" in str(result)
    (tmp_path / "back" / "0.png").write_bytes(b"no picture")
    assert import_coco(renamed, exported, tmp_path, images=tmp_path / "back").failed_count == 2


def test_frames_that_look_alike_are_not_told_by_pixels(store: Path, tmp_path: Path) -> None:
    (tmp_path / "still").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "still" / f"{number}.png"), np.full((64, 96, 3), 90, np.uint8))
    common: Any = {"store": store, "executor": "serial"}
    chosen = evfr.select(tmp_path / "still", n=2, signal="none", method="uniform", **common)
    evfr.export(chosen, to="coco", out=tmp_path / "out", **common)
    (tmp_path / "back").mkdir()
    first = min((tmp_path / "out" / "frames").iterdir())
    shutil.copy(first, tmp_path / "back" / "a.png")
    with pytest.raises(AnnotationError, match=r"its pixels are those of still_f0.* alike"):
        import_coco({"a.png": 1}, tmp_path / "out", tmp_path, images=tmp_path / "back")


def as_jpeg(image: np.ndarray[Any, Any], quality: int) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [int(cv2.IMWRITE_JPEG_QUALITY), quality])[1].tobytes()


@pytest.mark.parametrize("quality", [100, 90, 60])
def test_a_shifted_picture_is_found(
    codes: dict[str, int], exported: Path, tmp_path: Path, quality: int
) -> None:
    """The planted defect: a tool that decodes the video itself and is one frame late on one picture."""
    (tmp_path / "back").mkdir()
    for name, code in codes.items():
        shown = code + 1 if code == 9 else code
        (tmp_path / "back" / name).with_suffix(".jpg").write_bytes(as_jpeg(draw(shown), quality))
    result = import_coco(codes, exported, tmp_path, images=tmp_path / "back")
    assert (result.checked, result.shifted, result.failed_count) == (4, 1, 1)
    assert "its pixels are those of frame 10, not of frame 9 of 'clip.mp4'" in result.unmatched[0].reason
    assert sorted(result.labels.frame_index.tolist()) == [3, 10, 21]
    assert "4 pictures against their frames, 1 shifted" in str(result)


def test_shifts_are_found_where_the_original_is_gone(
    codes: dict[str, int], exported: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    text = (copy / EXPORT_FILE).read_text()
    (copy / EXPORT_FILE).write_text(text.replace("/clip.mp4", "/gone.mp4"))
    (tmp_path / "back").mkdir()
    for name, code in codes.items():
        (tmp_path / "back" / name).write_bytes((exported / "frames" / name).read_bytes())
        if code == 9:
            (tmp_path / "back" / name).write_bytes(as_jpeg(draw(10), 90))
    result = import_coco(codes, copy, tmp_path, images=tmp_path / "back")
    assert (result.shifted, result.checked) == (1, 4)
    assert "the original is gone or changed: clip.mp4" in str(result)
    shutil.rmtree(copy / "frames")
    shutil.rmtree(copy / "context")
    assert (
        import_coco(codes, copy, tmp_path, images=tmp_path / "back").checked == 3
    )  # nothing to compare it with


def test_foreign_pixels_are_found(codes: dict[str, int], exported: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    pictures = {
        3: cv2.imencode(".png", np.full((64, 96, 3), 255, np.uint8))[1].tobytes(),
        9: cv2.imencode(".png", np.full((32, 48, 3), 255, np.uint8))[1].tobytes(),
        10: b"no picture",
    }
    for name, code in codes.items():
        if code in pictures:
            (tmp_path / "back" / name).write_bytes(pictures[code])
    result = import_coco(codes, exported, tmp_path, images=tmp_path / "back")
    reasons = {p.frame.frame_index: p.reason for p in result.unmatched}
    assert "its pixels are not those of frame 3 of 'clip.mp4'" in reasons[3]
    assert "has 48x32 pixels, the frame 96x64" in reasons[9]
    assert set(reasons) == {3, 9, 10}
    assert (result.checked, result.shifted, result.matched_by_name) == (2, 0, 1)
    with pytest.raises(AnnotationError, match="holds no picture"):
        (tmp_path / "none").mkdir()
        import_coco(codes, exported, tmp_path, images=tmp_path / "none")


def test_sizes_must_be_those_of_the_export(codes: dict[str, int], exported: Path, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="it has 48x32 pixels there, the frame 96x64"):
        import_coco(codes, exported, tmp_path, size=(48, 32))


def test_two_pictures_that_are_one_frame_are_refused(
    codes: dict[str, int], exported: Path, tmp_path: Path
) -> None:
    name = next(iter(codes))
    twice = {**codes, f"0a1b2c3d-{name}": 3}
    with pytest.raises(AnnotationError, match=f"are both {name}, frame 3 of 'clip.mp4'"):
        import_coco(twice, exported, tmp_path)


def test_labels_on_context_are_counted_and_never_lost_silently(
    codes: dict[str, int], exported: Path, tmp_path: Path
) -> None:
    context = codes_of_pictures(exported / "context")
    result = import_coco({**codes, **context}, exported, tmp_path)
    assert (result.context_pictures, result.context_objects) == (len(context), len(context))
    assert result.labels.videos[0].frame_index.tolist() == list(FRAMES)
    assert f"{len(context)} labels on {len(context)} pictures of context were left out" in str(result)
    kept = import_coco({**codes, **context}, exported, tmp_path, context_labels="keep")
    assert kept.labels.videos[0].frame_index.tolist() == sorted({*codes.values(), *context.values()})
    for row, box in zip(kept.labels.frame_index.tolist(), kept.labels.boxes_xyxy.tolist(), strict=True):
        assert tuple(box) == box_of(row)
    with pytest.raises(AnnotationError, match=r"is context of frame 21 of 'clip\.mp4', not to be labelled"):
        import_coco({**codes, **context}, exported, tmp_path, context_labels="fail")


def test_empty_pictures_and_missing_tracks(codes: dict[str, int], exported: Path, tmp_path: Path) -> None:
    file = cvat_tool(codes, tmp_path / "a.xml", size=SIZE)
    tracked = evfr.import_(file, selection=exported, out=tmp_path / "a.parquet", format="cvat")
    assert tracked.labels.track_id.tolist() == [7, 7, 7, 7]
    assert np.isnan(tracked.labels.trust).all()  # the attribute was there, and empty
    data = json.loads(coco_tool(codes, tmp_path / "b.json", size=SIZE).read_text())
    data["annotations"] = data["annotations"][:2]
    (tmp_path / "b.json").write_text(json.dumps(data))
    common: Any = {"selection": exported, "out": tmp_path / "b.parquet"}
    kept = evfr.import_(tmp_path / "b.json", **common)
    assert (kept.empty, len(kept.labels.videos[0].frame_index)) == (2, 4)
    assert "2 pictures without an object count as looked at and empty" in str(kept)
    assert "2 objects have no track" in str(kept)
    dropped = evfr.import_(tmp_path / "b.json", empty="drop", tracks="category", **common)
    assert len(dropped.labels.videos[0].frame_index) == 2
    assert "2 pictures without an object were left out" in str(dropped)
    assert dropped.labels.track_id.tolist() == [0, 0]
    for value, tracks in ((5, [-1, 5]), ("5", [-1, 5]), (" ", [-1, -1]), ("5.0", [-1, 5])):
        data["annotations"][0]["attributes"] = {"track_id": value, "colour": "red"}
        (tmp_path / "b.json").write_text(json.dumps(data))
        found = evfr.import_(tmp_path / "b.json", **common).labels
        assert sorted(found.track_id.tolist()) == tracks
        assert {"colour": "red"} in found.attributes
    data["annotations"][0]["attributes"] = {"track_id": "first"}
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(
        AnnotationError, match="track_id of an object must be a whole number of 0 or more, got 'first'"
    ):
        evfr.import_(tmp_path / "b.json", **common)
    data["annotations"][0]["attributes"] = {"track_id": 3}
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(
        AnnotationError, match="some objects of the class 'square' have a track and some have none"
    ):
        evfr.import_(tmp_path / "b.json", tracks="category", **common)
    data["annotations"][0]["attributes"] = {}
    data["annotations"].append({**data["annotations"][0], "id": 99})
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(AnnotationError, match="has two objects of the class 'square'"):
        evfr.import_(tmp_path / "b.json", tracks="category", **common)


def test_changed_objects_are_a_persons_and_new_classes_are_said(
    video: Path, store: Path, tmp_path: Path
) -> None:
    labels = carried_labels(tmp_path / "all.parquet", video.name)
    make_export(video, tmp_path / "out", store, "coco", labels=[labels])
    file = tmp_path / "out" / "instances.json"
    data = json.loads(file.read_text())
    carried = [entry for entry in data["annotations"] if entry["category_id"] == 5]
    carried[0]["segmentation"] = Rle.from_mask(np.eye(64, 96, dtype=np.bool_)).to_coco()  # redrawn
    carried[1]["bbox"][0] += 30  # the box beside the mask says nothing
    del carried[2]["segmentation"]  # a box where a mask was: its own, so nobody touched it
    carried[3]["category_id"] = 9
    data["categories"].append({"id": 9, "name": "a dog"})
    file.write_text(json.dumps(data))
    result = evfr.import_(file, selection=tmp_path / "out", out=tmp_path / "back.parquet")
    assert result.untouched == 6
    assert result.sources == {"human": 6, "carried": 2}
    by_frame: dict[int, ObjectRow] = {
        row.frame_index: row for row in result.labels.objects() if row.category_id != 2
    }
    assert [by_frame[frame].source for frame in FRAMES] == ["human", "carried", "carried", "human"]
    assert np.isnan(by_frame[3].trust) and by_frame[9].trust == pytest.approx(1 - 9 / 25)
    assert by_frame[10].mask is not None
    assert {c.name: c.category_id for c in result.labels.categories} == {"car": 2, "a person": 5, "a dog": 6}
    assert by_frame[21].category_id == 6
    assert "classes that the export did not have: a dog" in str(result)


def test_yolo_of_other_pictures_and_without_names(
    codes: dict[str, int], exported: Path, tmp_path: Path
) -> None:
    folder = yolo_tool({**codes, "strange.png": 5}, tmp_path / "yolo", size=SIZE)
    common: Any = {"selection": exported, "out": tmp_path / "out.parquet", "format": "yolo"}
    result = evfr.import_(folder, **common)
    assert [p.name for p in result.unmatched] == ["strange"]
    (folder / "data.yaml").unlink()
    result = evfr.import_(folder, **common)
    assert [c.name for c in result.labels.categories] == ["car", "square"]
    assert result.labels.category_id.tolist() == [1, 1, 1, 1]  # class 0 is the export's first
    # FiftyOne calls the file dataset.yaml; CVAT's "YOLO 1.1" and Datumaro write darknet's layout.
    (folder / "dataset.yaml").write_text("names:\n  0: square\n")
    assert evfr.import_(folder, **common).labels.category_id.tolist() == [2, 2, 2, 2]
    (folder / "dataset.yaml").unlink()
    (folder / "labels" / "val").rename(folder / "obj_train_data")
    (folder / "labels").rmdir()
    (folder / "obj.names").write_text("square\ncar\n")
    (folder / "train.txt").write_text("data/obj_train_data/a.png\n")
    assert evfr.import_(folder, **common).labels.category_id.tolist() == [2, 2, 2, 2]
    shutil.copytree(folder / "obj_train_data", folder / "obj_valid_data")
    with pytest.raises(
        AnnotationError, match="has obj_train_data, obj_valid_data; give the export of one subset"
    ):
        evfr.import_(folder, **common)


def test_cvat_of_videos_is_refused_and_other_shapes_are_named(
    codes: dict[str, int], exported: Path, tmp_path: Path
) -> None:
    common: Any = {"selection": exported, "out": tmp_path / "out.parquet", "format": "cvat"}
    (tmp_path / "tracks.xml").write_text(
        '<annotations><version>1.1</version><track id="0" label="car"></track></annotations>'
    )
    with pytest.raises(AnnotationError, match=r"export it as 'CVAT for images 1\.1', which names"):
        evfr.import_(tmp_path / "tracks.xml", **common)
    line = '<polyline label="car" source="manual" occluded="0" points="1,1;2,2" z_order="0"></polyline>'
    with pytest.raises(AnnotationError, match="a polyline is neither a box nor a mask"):
        evfr.import_(cvat_tool(codes, tmp_path / "line.xml", size=SIZE, shapes=[line]), **common)
    polygon = (
        '<polygon label="car" source="manual" occluded="0" points="1,1;9,1;9,9;1,9" z_order="0"></polygon>'
    )
    file = cvat_tool(codes, tmp_path / "polygon.xml", size=SIZE, shapes=[polygon])
    assert len(evfr.import_(file, **common).labels) == 8
    twice = file.read_text().replace("clip_f000009_p4608", "clip_f000003_p1536")
    (tmp_path / "twice.xml").write_text(twice)
    with pytest.raises(AnnotationError, match="each video needs its own name"):
        evfr.import_(tmp_path / "twice.xml", **common)


def test_pictures_that_extract_wrote_come_back_too(video: Path, store: Path, tmp_path: Path) -> None:
    chosen = select_frames(video, store)
    chosen.save(tmp_path / "s")
    evfr.extract(chosen, out=tmp_path / "frames", store=store, executor="serial", image_format="png")
    codes = codes_of_pictures(tmp_path / "frames")
    for selection in (chosen, tmp_path / "s"):
        result = import_coco(codes, selection, tmp_path, format="coco", images=tmp_path / "frames")
        assert (result.matched_by_name, result.checked, result.shifted) == (4, 4, 0)
        for row, box in zip(
            result.labels.frame_index.tolist(), result.labels.boxes_xyxy.tolist(), strict=True
        ):
            assert tuple(box) == box_of(row)
    with pytest.raises(ValueError, match="format must be given for labels of a selection"):
        import_coco(codes, chosen, tmp_path)
    manifest = json.loads((tmp_path / "s" / "selection.json").read_text())
    del manifest["inputs"][0]["width"]
    (tmp_path / "s" / "selection.json").write_text(json.dumps(manifest))
    with pytest.raises(SelectionFileError, match="does not say frame_count, width and height"):
        import_coco(codes, tmp_path / "s", tmp_path, format="coco")


def test_wrong_arguments(codes: dict[str, int], exported: Path, tmp_path: Path) -> None:
    for name, value in (
        *(("untouched", "me"), ("context_labels", "x"), ("empty", "x"), ("tracks", "x"), ("format", "davis")),
    ):
        with pytest.raises(ValueError, match=f"{name} must be one of"):
            import_coco(codes, exported, tmp_path, **{name: value})
    with pytest.raises(AnnotationError, match="does not exist; give the file that the tool wrote"):
        evfr.import_(tmp_path / "none.json", selection=exported, out=tmp_path / "o.parquet")
    with pytest.raises(SelectionFileError, match=r"has neither export\.json nor selection\.json"):
        import_coco(codes, tmp_path, tmp_path)
    with pytest.raises(SelectionFileError, match="does not exist"):
        import_coco(codes, tmp_path / "gone", tmp_path)
    (tmp_path / "labels.xml").write_text("<annotations>")
    with pytest.raises(AnnotationError, match=r"read as coco, which the export was made for; give format="):
        evfr.import_(tmp_path / "labels.xml", selection=exported, out=tmp_path / "o.parquet")
    with pytest.raises(ValueError, match="does not tell the format"):
        file = coco_tool(codes, tmp_path / "x.json", size=SIZE)
        evfr.import_(file, selection=exported, out=tmp_path / "o.txt")


def test_the_command_line_ends_with_3_where_pictures_are_not_taken(
    codes: dict[str, int], exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from evfr.cli import main

    def run(names: dict[str, int]) -> int:
        file = coco_tool(names, tmp_path / "labels.json", size=SIZE)
        words = ["import", str(file), "--selection", str(exported), "--out", str(tmp_path / "o.parquet")]
        with pytest.raises(SystemExit) as exit_:
            main(words)
        return int(exit_.value.code or 0)

    assert run(codes) == 0
    assert "4 objects on 4 pictures of 1 videos" in capsys.readouterr().out
    assert run({**codes, "other.png": 1}) == 3
    assert "not taken other.png" in capsys.readouterr().out
