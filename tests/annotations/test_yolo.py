"""YOLO text: round trips, files as Ultralytics writes them, and lines that are wrong."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, concatenate
from evfr._core.masks import Rle
from evfr.annotations import read
from evfr.annotations._outline import outline
from evfr.annotations._yaml_names import yaml_names
from evfr.annotations._yolo import read_yolo, write_yolo
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, label_sets

QUIET = [HealthCheck.function_scoped_fixture]
KEEPS = frozenset({"boxes", "masks", "tracks", "categories", "empty_frames", "frame_numbers"})


@settings(max_examples=20, deadline=None, suppress_health_check=QUIET)
@given(st.data(), st.integers(1, 5), st.integers(0, 2000), st.booleans())
def test_boxes_come_back(tmp_path_factory, data, stride, start, is_zip):
    labels = data.draw(
        label_sets(
            keeps=KEEPS - {"masks"},
            stride=stride,
            most_videos=1,
            category_ids=(0, 1, 2),
            untracked=False,
            outside_boxes=False,
        )
    )
    (video,) = labels.videos
    path = tmp_path_factory.mktemp("yolo") / ("a.zip" if is_zip else "a")
    options = {"extra": "track", "start": start, "stride": stride}
    write_yolo(labels, path, **options)
    back = read_yolo(path, size=(video.width, video.height), video_id=video.video_id, **options)
    assert back.categories == labels.categories
    np.testing.assert_array_equal(back.videos[0].frame_index, video.frame_index)
    for name in ("frame_index", "track_id", "category_id"):
        np.testing.assert_array_equal(getattr(back, name), getattr(labels, name))
    np.testing.assert_allclose(back.boxes_xyxy, labels.boxes_xyxy, atol=1e-7)


@settings(max_examples=20, deadline=None, suppress_health_check=QUIET)
@given(st.data())
def test_masks_come_back_exactly(tmp_path_factory, data):
    """Parts and holes too: one polygon with bridges that fills to the same pixels."""
    labels = data.draw(
        label_sets(
            keeps=KEEPS - {"boxes", "tracks"},
            most_videos=1,
            every_object="mask",
            empty_masks=False,
            category_ids=(0, 1, 2),
        )
    )
    (video,) = labels.videos
    path = tmp_path_factory.mktemp("yolo") / "a"
    write_yolo(labels, path, shape="polygon")
    back = read_yolo(path, shape="polygon", size=(video.width, video.height))
    assert back.masks == labels.masks
    np.testing.assert_array_equal(back.category_id, labels.category_id)


def test_outline_by_hand():
    """A ring: 12 corners by hand; the bridge goes from (0, 0) down to the hole's row and across."""
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    corners = outline(Rle.from_mask(mask)).tolist()
    assert corners[0] == [0.0, 0.0]
    assert {tuple(c) for c in corners} == {
        (0, 0),
        (3, 0),
        (3, 3),
        (0, 3),
        (0, 1),
        (1, 1),
        (2, 1),
        (2, 2),
        (1, 2),
    } | ({(0, 2)} if [0.0, 2.0] in corners else set())
    with pytest.raises(ValueError, match="an empty mask has no outline"):
        outline(Rle.empty(3, 3))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.9, 1.0])
)
def test_outline_fills_to_the_mask(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    mask[0, 0] = True
    rle = Rle.from_mask(mask)
    assert Rle.from_polygons([outline(rle).reshape(-1)], height, width) == rle


def picture(width, height):
    sink = io.BytesIO()
    Image.new("RGB", (width, height)).save(sink, format="PNG")
    return sink.getvalue()


def tree(tmp_path, **files):
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return tmp_path


def test_as_ultralytics_writes(tmp_path):
    """data.yaml with a block of names, pictures beside, a background file without lines."""
    tree(
        tmp_path,
        **{
            "data.yaml": "train: images\nnc: 2\nnames:\n  0: person  # walks\n  1: 'traffic light'\n",
            "labels/clip_000001.txt": "0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.1 0.1\n",
            "labels/clip_000003.txt": "",
            "images/clip_000001.png": picture(80, 40),
            "images/clip_000003.png": picture(80, 40),
        },
    )
    labels = read(tmp_path, pattern="{video}_{frame}.txt", start=1)
    assert labels.videos[0].video_id == "clip"
    assert labels.videos[0].frame_index.tolist() == [0, 2]
    assert (labels.videos[0].width, labels.videos[0].height) == (80, 40)
    assert labels.categories == (Category(0, "person"), Category(1, "traffic light"))
    first, second = labels.objects()
    assert first.box_xyxy == (30.0, 10.0, 50.0, 30.0)
    assert (second.category_id, second.track_id, second.source) == (1, NO_TRACK, "human")
    (tmp_path / "images/clip_000003.png").write_bytes(picture(81, 40))
    with pytest.raises(
        AnnotationError, match=r"clip_000003.txt: its picture has 81x40 pixels, those before 80x40"
    ):
        read_yolo(tmp_path, pattern="{video}_{frame}.txt")
    (tmp_path / "images/clip_000003.png").unlink()
    with pytest.raises(AnnotationError, match=r"no picture of this name in images/; give size="):
        read_yolo(tmp_path, pattern="{video}_{frame}.txt")
    (tmp_path / "images/clip_000003.png").write_bytes(b"no")
    with pytest.raises(AnnotationError, match=r"images/clip_000003.png is no readable picture"):
        read_yolo(tmp_path, pattern="{video}_{frame}.txt")


@pytest.mark.parametrize(
    ("extra", "tail", "score", "track", "source"),
    [
        ("none", "", math.nan, NO_TRACK, "human"),
        ("score", " 0.5", 0.5, NO_TRACK, "detected"),
        ("track", " 7", math.nan, 7, "human"),
        ("score track", " 0.5 7", 0.5, 7, "detected"),
    ],
)
def test_what_stands_at_the_end(tmp_path, extra, tail, score, track, source):
    tree(tmp_path, **{"labels/000004.txt": f"0 0.5 0.5 1 1{tail}\n", "classes.txt": "cat\n"})
    (row,) = read_yolo(tmp_path, extra=extra, size=(8, 6)).objects()
    assert (row.frame_index, row.track_id, row.source) == (4, track, source)
    assert row.score == score or (math.isnan(row.score) and math.isnan(score))
    labels = read_yolo(tmp_path, extra=extra, size=(8, 6))
    write_yolo(labels, tmp_path / "out", extra=extra)
    assert (tmp_path / "out/labels/000004.txt").read_text() == f"0 0.5 0.5 1 1{tail}\n"
    wrong = "score track" if extra != "score track" else "none"
    with pytest.raises(AnnotationError, match=r"000004.txt, line 1: \d+ numbers between the class and"):
        read_yolo(tmp_path, extra=wrong, size=(8, 6))


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ("0 0.5 0.5 1", {}, r"line 2: 3 numbers between the class and the 0 of extra=, but box needs 4"),
        ("0 .1 .1 .2 .2 .3 .3", {}, r"line 2: 6 numbers .* but box needs 4"),
        (
            "0 .1 .1 .2 .2 .3 .3 .4",
            {"shape": "polygon"},
            r"line 2: 7 numbers .* polygon needs 4, or 6 or more",
        ),
        ("0 .1 .1 .2 x", {}, r"line 2: every word must be a number"),
        ("0 .1 .1 .2 nan", {}, r"line 2: every number must be finite"),
        ("0 320 .1 .2 .2", {}, r"line 2: 320 is no share of the picture \(0 to 1\); are these pixels"),
        ("0 .1 .1 -0.2 .2", {}, r"line 2: -0.2 is no share of the picture"),
        ("3 .1 .1 .2 .2", {}, r"line 2: the class 3 has no name; known are \[0\]"),
        ("0.5 .1 .1 .2 .2", {}, r"line 2: the class 0.5 has no name"),
        ("0 .1 .1 .2 .2 1.5", {"extra": "track"}, r"line 2: the track must be a whole number"),
        ("0 .1 .1 .2 .2 7", {"extra": "track"}, r"frame 0: .* track 7 .* twice"),
    ],
)
def test_wrong_lines(tmp_path, line, options, message):
    good = "0 .5 .5 .1 .1" + (" 7" if options.get("extra") else "")
    tree(tmp_path, **{"labels/000000.txt": f"{good}\n{line}\n", "classes.txt": "cat\n"})
    with pytest.raises(AnnotationError, match=message):
        read_yolo(tmp_path, size=(8, 6), **options)


def test_wrong_folders(tmp_path):
    with pytest.raises(AnnotationError, match=r"does not exist; give the folder"):
        read_yolo(tmp_path / "none")
    with pytest.raises(AnnotationError, match=r"has no .txt file below ./; give folder="):
        read_yolo(tmp_path)
    tree(tmp_path, **{"labels/000000.txt": "0 .5 .5 .1 .1\n"})
    with pytest.raises(AnnotationError, match=r"has neither data.yaml nor classes.txt; give names="):
        read_yolo(tmp_path, size=(8, 6))
    assert len(read_yolo(tmp_path, size=(8, 6), names=["a"])) == 1
    assert read_yolo(tmp_path, size=(8, 6), names={0: "b"}).categories == (Category(0, "b"),)
    tree(tmp_path, **{"labels/000000.txt": b"\xff\xfe"})
    with pytest.raises(AnnotationError, match=r"labels/000000.txt is no UTF-8 text"):
        read_yolo(tmp_path, size=(8, 6), names=["a"])
    for options in ({"shape": "mask"}, {"extra": "id"}):
        with pytest.raises(
            ValueError, match=r"shape must be 'box' or 'polygon' and extra one of none, score, track"
        ):
            read_yolo(tmp_path, **options)
        with pytest.raises(
            ValueError, match=r"shape must be 'box' or 'polygon' and extra one of none, score, track"
        ):
            write_yolo(annotations_of(), tmp_path / "x", **options)
    with pytest.raises(ValueError, match=r"give parse or frames, not both"):
        read_yolo(tmp_path, parse=len, frames=[])


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (
            ObjectRow("clip", 0, 1, 1, mask=Rle.empty(6, 8)),
            {},
            "has no box and no pixel; YOLO has no line for it",
        ),
        (ObjectRow("clip", 0, 1, 1, (9.0, 0.0, 12.0, 1.0)), {}, "centre or size lies outside the picture"),
        (ObjectRow("clip", 0, 1, 1, (0.0, 0.0, 1.0, 1.0)), {"extra": "score"}, "track 1 has no score"),
        (ObjectRow("clip", 0, 1, NO_TRACK, (0.0, 0.0, 1.0, 1.0)), {"extra": "track"}, "has no track; leave"),
        (ObjectRow("clip", 1, 1, 1, (0.0, 0.0, 1.0, 1.0)), {"stride": 2}, "frame 1 has no number"),
    ],
)
def test_what_yolo_cannot_hold(tmp_path, row, options, message):
    with pytest.raises(AnnotationError, match=message):
        write_yolo(annotations_of(row), tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_names_of_classes_are_lines(tmp_path):
    with pytest.raises(AnnotationError, match="names of classes must be one line of text each"):
        write_yolo(annotations_of(frames=[0], categories=(Category(1, "a\nb"),)), tmp_path / "a")


def test_several_videos_need_names(tmp_path):
    both = concatenate([annotations_of(frames=[0], video_id="a"), annotations_of(frames=[2], video_id="b")])
    with pytest.raises(AnnotationError, match=r"labels of 2 videos need .video. in pattern="):
        write_yolo(both, tmp_path / "a", pattern="{frame}.txt")
    write_yolo(both, tmp_path / "a")
    back = read_yolo(tmp_path / "a", size=(8, 6), pattern="{video}/{frame}.txt")
    assert [(v.video_id, v.frame_index.tolist()) for v in back.videos] == [("a", [0]), ("b", [2])]


@pytest.mark.parametrize(
    "text",
    [
        "names: [a, b c, d]",
        "nc: 3\nnames: ['a', \"b c\", d]  # three\n",
        "names: ['a',\n  'b c',  # two\n  'it''s, d',\n]\nnc: 3\n",
        "names:\n- a\n- b c\n- 'x # y'\nnc: 3\n",
        "names:\n  - a\n\n  # none\n  - b#c\n",
        'names:\n  0: a\n  1: "b \\"c\\""\n  7: d e\ntrain: x\n',
        "names: {0: a, 1: 'b: c', 2: d}\n",
        "names: []\n",
        "names:\n",
    ],
)
def test_names_as_yaml_reads_them(text):
    """PyYAML is the oracle; evfr itself does without it."""
    truth = yaml.safe_load(text)["names"] or {}
    assert yaml_names(text, "x") == (truth if isinstance(truth, dict) else dict(enumerate(truth)))


@pytest.mark.parametrize(
    "text",
    [
        "nc: 3",
        "names: *anchor",
        "names: [a, [b]]",
        "names: [a, , b]",
        "names: [a",
        "names: ['a, b]",
        "names: {a: b}",
        "names: {0: a, 0: b}",
        "names:\n  x: a",
        "names:\n  0: a\n  0: b",
        "names:\n  - |",
        "names:\n  - 'a",
        'names:\n  - "\\x41"',
        "names: [" + "'" * 5000,
    ],
)
def test_names_that_are_not_understood(text):
    with pytest.raises(
        AnnotationError, match=r"data.yaml(: names: cannot be read at| has no names:).* to the reader"
    ):
        yaml_names(text, "data.yaml")


def test_written_names_are_yaml(tmp_path):
    names = ("it's", "a: b", "büß 漢", "- x", "#5", '"')
    labels = annotations_of(frames=[0], categories=tuple(Category(i, n) for i, n in enumerate(names)))
    write_yolo(labels, tmp_path / "a")
    assert yaml.safe_load((tmp_path / "a/data.yaml").read_text())["names"] == dict(enumerate(names))
    assert read_yolo(tmp_path / "a", size=(8, 6)).categories == labels.categories
