from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._mots import looks_like_mots, read_mots, write_mots
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, label_sets, reduced, squares

KEEPS = frozenset({"masks", "tracks", "categories", "frame_numbers", "empty_frames"})


def numbered(labels: VideoAnnotations, *, keep_empty: bool = True) -> VideoAnnotations:
    """Give categories the ids 1, 2, ... and tracks the ids class * 1000 + instance, as MOTS has them."""
    ids = {c.category_id: place + 1 for place, c in enumerate(labels.categories)}
    rows = [
        replace(row, category_id=ids[row.category_id], track_id=ids[row.category_id] * 1000 + row.track_id)
        for row in labels.objects()
    ]
    videos = labels.videos
    if not keep_empty:
        listed = {
            v.video_id: sorted({r.frame_index for r in rows if r.video_id == v.video_id}) for v in videos
        }
        videos = tuple(
            replace(v, frame_index=np.array(listed[v.video_id]), pts=None)
            for v in videos
            if listed[v.video_id]
        )
    categories = [Category(ids[c.category_id], c.name) for c in labels.categories]
    return VideoAnnotations.build(videos, [*categories, Category(10, "ignore")], rows)


def sets(**more):
    return label_sets(
        keeps=KEEPS,
        untracked=False,
        every_object="mask",
        lowest_track=1,
        overlapping=False,
        category_ids=(1, 2),
        **more,
    )


@settings(max_examples=25, deadline=None)
@given(labels=sets(most_videos=1, stride=5), start=st.integers(0, 1), stride=st.sampled_from([1, 5]))
def test_text_round_trip(labels, start, stride):
    labels = numbered(labels, keep_empty=False)
    if not labels.videos:
        return
    names = [c.name for c in labels.categories[:-1]]
    with tempfile.TemporaryDirectory() as folder:
        path = write_mots(
            labels, Path(folder) / f"{labels.videos[0].video_id}.txt", start=start, stride=stride
        )
        assert looks_like_mots(path)
        back = read_mots(path, start=start, stride=stride, categories=names)
        assert_equal_labels(back, labels)
        assert_equal_labels(read_mots(Path(folder), start=start, stride=stride, categories=names), labels)


@settings(max_examples=20, deadline=None)
@given(labels=sets(empty_masks=False), start=st.integers(0, 1), is_zipped=st.booleans())
def test_png_round_trip(labels, start, is_zipped):
    """Every annotated frame has its picture, also one without objects; objects come in the order of their ids."""
    labels = numbered(labels)
    rows = sorted(labels.objects(), key=lambda r: r.track_id)
    labels = VideoAnnotations.build(labels.videos, labels.categories, rows)
    names = [c.name for c in labels.categories[:-1]]
    with tempfile.TemporaryDirectory() as folder:
        path = write_mots(labels, Path(folder) / "out", kind="png", start=start)
        if is_zipped:
            with zipfile.ZipFile(Path(folder) / "out.zip", "w") as archive:
                for file in sorted(path.rglob("*.png")):
                    archive.write(file, file.relative_to(path).as_posix())
            path = Path(folder) / "out.zip"
        back = read_mots(path, start=start, categories=names)
        assert_equal_labels(back, labels)


def test_a_line_of_the_specification(tmp_path):
    """The example of the format's page: frame 52, object 1005 = car 5, 375 x 1242; area and box by pycocotools 2.0.11.

    `python -c "from pycocotools import mask as m; r = {'size': [375, 1242], 'counts': COUNTS}; print(m.area(r),
    m.toBbox(r))"` prints 283 [890. 168.  41.  11.].
    """
    counts = "WSV:2d;1O10000O10000O1O100O100O1O100O1000000000000000O100O102N5K00O1O1N2O110OO2O001O1NTga3"
    path = tmp_path / "0002.txt"
    path.write_text(f"52 1005 1 375 1242 {counts}\n52 10000 10 375 1242 {counts}\n")
    labels = read_mots(path, start=0)
    video = labels.videos[0]
    assert (video.video_id, video.width, video.height, video.frame_index.tolist()) == (
        "0002",
        1242,
        375,
        [52],
    )
    assert labels.track_id.tolist() == [1005, NO_TRACK]
    assert labels.category_id.tolist() == [1, 10]
    assert labels.is_crowd.tolist() == [False, True]
    mask = labels.masks[0]
    assert mask is not None
    assert mask.to_coco() == {"size": [375, 1242], "counts": counts}
    assert (mask.area, mask.box_xyxy) == (283, (890, 168, 931, 179))
    write_mots(reduced(labels, mask=None).take(np.array([], np.int64)), tmp_path / "none.txt")
    with pytest.raises(AnnotationError, match="shares pixels with that of 1005"):
        write_mots(labels, tmp_path / "both.txt")
    alone = labels.take(labels.is_crowd)
    assert write_mots(alone, tmp_path / "crowd.txt").read_text() == f"52 10000 10 375 1242 {counts}\n"


def test_pictures_as_kitti_writes_them(tmp_path):
    """instances/0000/000000.png: 16 bit, 0 background, 10000 ignore, pedestrian 3 = 2003."""
    folder = tmp_path / "instances" / "0000"
    folder.mkdir(parents=True)
    picture = np.zeros((4, 6), np.uint16)
    picture[0, :2], picture[2, 3:], picture[3, 0] = 2003, 10000, 1001
    Image.fromarray(picture).save(folder / "000000.png")
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(folder / "000001.png")
    labels = read_mots(tmp_path / "instances")
    assert labels.videos[0].video_id == "0000"
    assert labels.videos[0].frame_index.tolist() == [0, 1]
    assert labels.track_id.tolist() == [1001, 2003, NO_TRACK]
    for row, number in enumerate((1001, 2003, 10000)):
        assert labels.masks[row] == Rle.from_mask(picture == number)
    back = write_mots(labels, tmp_path / "again", kind="png")
    with Image.open(back / "0000" / "000000.png") as again:
        np.testing.assert_array_equal(np.array(again), picture)


def test_a_challenge_sequence_counts_from_one(tmp_path):
    folder = tmp_path / "MOTS20-02"
    (folder / "gt").mkdir(parents=True)
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=MOTS20-02\nseqLength=3\nimWidth=6\nimHeight=4\n")
    counts = Rle.from_mask(np.eye(4, 6)).to_coco()["counts"]
    (folder / "gt" / "gt.txt").write_text(f"2 2001 2 4 6 {counts}\n")
    labels = read_mots(folder / "gt" / "gt.txt")
    assert labels.videos[0].video_id == "MOTS20-02"
    assert labels.videos[0].frame_index.tolist() == [0, 1, 2]
    assert labels.frame_index.tolist() == [1]


def test_tracks_are_numbered_anew(tmp_path):
    labels = squares(video_id="a")
    with pytest.raises(AnnotationError, match=r"track 1 of class 1 is no id of MOTS, .* give renumber=True"):
        write_mots(labels, tmp_path / "a.txt")
    back = read_mots(write_mots(labels, tmp_path / "a.txt", renumber=True))
    assert sorted(set(back.track_id.tolist())) == [1001, 1002]
    assert back.masks == labels.masks


MASK = Rle.from_mask(np.eye(6, 8)).to_coco()["counts"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("0 1001 1 6 8\n", "line 1: a line of MOTS text has 6 columns .*, got 5"),
        (f"-1 1001 1 6 8 {MASK}\n", "the frame must be 0 or more, got -1"),
        (f"{'9' * 1_000_000} 1001 1 6 8 {MASK}\n", "the frame must be a whole number, got '9+'"),
        (f"0 x 1 6 8 {MASK}\n", "the id must be a whole number, got 'x'"),
        (f"0 1001 nan 6 8 {MASK}\n", "the class must be a whole number, got 'nan'"),
        (f"0 3001 3 6 8 {MASK}\n", r"unknown class 3, known are \[1, 2, 10\]"),
        (f"0 1001 1 0 8 {MASK}\n", "the height must be 1 or more, got 0"),
        (f"0 1001 1 6 9 {MASK}\n", "line 1: the runs of a 9x6 mask must add up to 54"),
        ("0 1001 1 6 8 é\n", "must be ASCII text"),
        (f"0 1001 1 6 8 {MASK}\n0 1002 1 8 6 {MASK}\n", "line 2: a mask of 6x8 pixels in a video of 8x6"),
        (f"0 1001 1 6 8 {MASK}\n0 1001 1 6 8 {MASK}\n", "line 2: id 1001 is already in frame 0, at line 1"),
        (f"3 1001 1 6 8 {MASK}\n", r"numbered from 3, .* give start=0 \(KITTI MOTS\) or start=1"),
        ("\n", "has no line, so the size"),
    ],
)
def test_wrong_text(tmp_path, text, match):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=match):
        read_mots(path)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


GOOD = png(np.full((4, 6), 1001, np.uint16))


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"a/0.png": GOOD, "a/1.png": png(np.zeros((4, 7), np.uint16))}, "7x4 pixels in a video of 6x4"),
        ({"a/0.png": GOOD, "a/00.png": GOOD}, "another picture of frame 0"),
        ({"a/x.png": GOOD}, r"'a/x\.png' must end in the number of its frame"),
        ({f"a/{'1' * 10}.png": GOOD}, "at most nine digits"),
        (
            {"a/0.png": png(np.zeros((4, 6, 3), np.uint8))},
            r"the PNG has the mode RGB, these labels need I;16",
        ),
        ({"a/0.png": GOOD[:-30]}, "is no whole PNG"),
        ({"a/0.png": b"GIF89a"}, "is no whole PNG"),
        ({"a/0.png": png(np.full((4, 6), 7, np.uint16))}, "unknown class 0"),
        ({"a/0.png": GOOD, "b.txt": b"x"}, "holds 1 text files and 1 PNG files"),
        ({"a/0.jpg": GOOD}, "holds 0 text files and 0 PNG files"),
    ],
)
def test_wrong_pictures(tmp_path, files, match):
    for name, data in files.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(AnnotationError, match=match):
        read_mots(tmp_path / "in")


def test_a_name_that_leaves_the_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../a/000000.png", GOOD)
    with pytest.raises(AnnotationError, match="leads out of its folder"):
        read_mots(tmp_path / "a.zip")
    labels = numbered(squares(video_id="../up"))
    with pytest.raises(AnnotationError, match="leads out of its folder"):
        write_mots(labels, tmp_path / "out", kind="png")


def test_a_huge_picture_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("evfr.annotations._parse.PIXELS_MOST", 20)
    (tmp_path / "0.png").write_bytes(GOOD)
    with pytest.raises(AnnotationError, match="6x4 pixels are more than 20"):
        read_mots(tmp_path)


def test_wrong_options(tmp_path):
    with pytest.raises(ValueError, match="kind must be 'text' or 'png', got 'x'"):
        write_mots(squares(), tmp_path / "a", kind="x")
    with pytest.raises(ValueError, match="fewer than 1000 classes, got 1000"):
        read_mots(tmp_path, categories=[str(k) for k in range(1000)])
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"0 1001 1 6 8 {MASK}\n")
    with pytest.raises(AnnotationError, match="holds 2 videos; video_id and length are for one"):
        read_mots(tmp_path, length=4)
    with pytest.raises(
        AnnotationError, match=r"number 5 lies behind the sequence, which has 4 frames from 0 on"
    ):
        (tmp_path / "a.txt").write_text(f"5 1001 1 6 8 {MASK}\n")
        read_mots(tmp_path / "a.txt", start=0, length=4)
    assert read_mots(tmp_path / "a.txt", start=0, length=6).videos[0].frame_index.tolist() == list(range(6))


def test_what_cannot_be_written(tmp_path):
    path = tmp_path / "a.txt"
    mask, none = Rle.from_mask(np.eye(6, 8)), Rle.empty(6, 8)

    def one(**fields) -> VideoAnnotations:
        fields = {"track_id": 1001, "category_id": 1, "mask": mask, **fields}
        return annotations_of(
            ObjectRow("clip", 0, **fields), categories=(Category(1, "a"), Category(66, "b"))
        )

    with pytest.raises(AnnotationError, match="MOTS holds masks, this object has none"):
        write_mots(one(mask=None, box_xyxy=(0, 0, 1, 1)), path)
    with pytest.raises(AnnotationError, match="MOTS needs a track for each object"):
        write_mots(one(track_id=NO_TRACK), path)
    with pytest.raises(AnnotationError, match="an empty mask leaves nothing in a PNG"):
        write_mots(one(mask=none), path, kind="png")
    write_mots(one(mask=none), path)
    with pytest.raises(AnnotationError, match="track 66001 of class 66 is no id"):
        write_mots(one(track_id=66001, category_id=66), path)
    rows = [ObjectRow("clip", 0, 1, 1001, None, mask), ObjectRow("clip", 1, 66, 1001, None, mask)]
    with pytest.raises(AnnotationError, match="the track changes from class 1 to 66"):
        write_mots(annotations_of(*rows, categories=(Category(1, "a"), Category(66, "b"))), path)
    two = VideoAnnotations.build([*squares().videos, *squares(video_id="b").videos], squares().categories, [])
    with pytest.raises(AnnotationError, match="holds one video, these labels have 2"):
        write_mots(two, path)


def test_its_look(tmp_path):
    path = tmp_path / "a.txt"
    for text, is_mots in (
        (f"0 1001 1 6 8 {MASK}", True),
        ("0 0.5 0.5 0.1 0.1", False),
        ("1 0.1 0.2 0.3 0.4 0.9", False),
        ("", False),
    ):
        path.write_text(text)
        assert looks_like_mots(path) is is_mots
    assert not looks_like_mots(tmp_path)
