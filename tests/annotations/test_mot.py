from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr import open_video
from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr.annotations import bind, read
from evfr.annotations._mot import MOT_CLASSES, looks_like_mot, read_mot, write_mot
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, label_sets, reduced, squares

KEEPS = frozenset({"boxes", "tracks", "categories", "frame_numbers"})
LINE = "1,1,10,20,30,40,1,1,1\n"


@pytest.fixture
def sequence(tmp_path):
    """A sequence as the Challenge lays it out: five frames of 64x48."""
    folder = tmp_path / "MOT-01"
    (folder / "gt").mkdir(parents=True)
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nname=MOT-01\nimDir=img1\nframeRate=30\nseqLength=5\nimWidth=64\nimHeight=48\nimExt=.jpg\n"
    )
    return folder


def read_text(tmp_path: Path, text: str, **options) -> VideoAnnotations:
    path = tmp_path / "labels.txt.txt"
    path.write_text(text)
    return read_mot(path, **{"width": 64, "height": 48, **options})


def sets(**more):
    return label_sets(
        keeps=KEEPS, most_videos=1, untracked=False, every_object="box", category_ids=(1, 2), **more
    )


def ids_from_one(labels: VideoAnnotations) -> VideoAnnotations:
    """Number the categories 1, 2, ... as MOT text does, in the order of their ids."""
    ids = {c.category_id: place + 1 for place, c in enumerate(labels.categories)}
    rows = [replace(row, category_id=ids[row.category_id]) for row in labels.objects()]
    return VideoAnnotations.build(
        labels.videos, [replace(c, category_id=ids[c.category_id]) for c in labels.categories], rows
    )


@settings(max_examples=30, deadline=None)
@given(
    labels=sets(stride=3),
    start=st.integers(0, 2),
    first_pixel=st.integers(0, 1),
    stride=st.sampled_from([1, 3]),
)
def test_round_trip(labels, start, first_pixel, stride):
    """The folder keeps name, size and classes; frames that have a line come back, whatever the numbering."""
    labels = ids_from_one(labels)
    if not labels.videos:
        return
    options = {"start": start, "first_pixel": first_pixel, "stride": stride}
    with tempfile.TemporaryDirectory() as folder:
        path = write_mot(labels, Path(folder) / "sequence", **options)
        back = read_mot(path, annotated="listed", **options)
        first = min(labels.frame_index.tolist(), default=0)
        assert_equal_labels(
            replace(back, videos=tuple(replace(v, frame_count=None) for v in back.videos)), labels
        )
        names = [c.name for c in labels.categories]
        size = {"width": labels.videos[0].width, "height": labels.videos[0].height, "categories": names}
        text = write_mot(labels, Path(folder) / "other.txt", **options)
        again = read_mot(text, video_id=labels.videos[0].video_id, **size, **options)
        assert_equal_labels(again, labels)
        lines = text.read_text().splitlines()
        assert min((int(line.split(",")[0]) for line in lines), default=start + first // stride) == (
            start + first // stride
        )


def test_a_true_file_as_the_challenge_writes_it(sequence):
    """MOT16's own lines: 1-based frames and pixels, flag, class, visibility; all frames count as annotated."""
    (sequence / "gt" / "gt.txt").write_text(
        "1,1,1,1,10,20,1,1,0.83\n3,1,2,1,10,20,1,1,1\n3,7,5,6,7,8,0,13,0.5\n\n"
    )
    for path in (sequence, sequence / "gt" / "gt.txt"):
        labels = read_mot(path)
        video = labels.videos[0]
        assert (video.video_id, video.width, video.height, video.frame_count) == ("MOT-01", 64, 48, 5)
        assert video.frame_index.tolist() == [0, 1, 2, 3, 4]
        assert [c.name for c in labels.categories] == list(MOT_CLASSES)
        assert labels.boxes_xyxy.tolist() == [[0, 0, 10, 20], [1, 0, 11, 20], [4, 5, 11, 13]]
        assert labels.frame_index.tolist() == [0, 2, 2]
        assert labels.track_id.tolist() == [1, 1, 7]
        assert labels.category_id.tolist() == [1, 1, 13]
        assert labels.attributes == (
            {"visibility": 0.83},
            {"visibility": 1.0},
            {"ignored": True, "visibility": 0.5},
        )
    assert read_mot(sequence, annotated="listed").videos[0].frame_index.tolist() == [0, 2]


def test_detections_as_the_challenge_writes_them(sequence):
    (sequence / "det").mkdir()
    (sequence / "det" / "det.txt").write_text("1,-1,3,4,10,20,2.309,-1,-1,-1\n1,-1,3,4,10,20,-0.5,-1,-1,-1\n")
    labels = read_mot(sequence, kind="detected")
    assert labels.track_id.tolist() == [NO_TRACK, NO_TRACK]
    assert labels.score.tolist() == [2.309, -0.5]
    assert {row.source for row in labels.objects()} == {"detected"}


def test_classes_beside_the_file_name_them(sequence):
    (sequence / "gt" / "gt.txt").write_text("1,1,1,1,1,1,1,2,-1\n")
    (sequence / "gt" / "labels.txt").write_text("cat\ndog\n")
    assert read_mot(sequence).categories == (Category(1, "cat"), Category(2, "dog"))
    (sequence / "gt" / "labels.txt").write_text("cat\ncat\n")
    with pytest.raises(AnnotationError, match=r"labels\.txt: categories must differ"):
        read_mot(sequence)


def test_scores_flags_and_crowds_are_written(tmp_path):
    rows = [
        ObjectRow("clip", 0, 1, 3, (0, 0, 2, 2), score=0.5, source="detected"),
        ObjectRow("clip", 0, 1, 4, (0, 0, 2, 2), attributes={"ignored": True}),
        ObjectRow("clip", 0, 1, 5, (0, 0, 2, 2), is_crowd=True),
    ]
    path = write_mot(annotations_of(*rows), tmp_path / "a.txt", kind="detected")
    assert [line.split(",")[6] for line in path.read_text().splitlines()] == ["0.5", "-1", "-1"]
    assert read_mot(path, width=8, height=6, kind="detected").score[0] == 0.5
    path = write_mot(annotations_of(*rows), tmp_path / "b.txt")
    assert path.read_text() == "1,3,1,1,2,2,1,1,-1\n1,4,1,1,2,2,0,1,-1\n1,5,1,1,2,2,0,1,-1\n"


def test_masks_are_written_as_their_boxes(tmp_path):
    labels = reduced(squares(), box_xyxy=None)
    back = read_mot(write_mot(labels, tmp_path / "a.txt"), width=16, height=12)
    np.testing.assert_array_equal(back.boxes_xyxy, squares().boxes_xyxy)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1,1,10,20,30\n", "line 1: a line of MOT text has 6 to 10 columns, got 5"),
        (LINE + "1,1,1,1,1,1,1,1,1,1,1\n", "line 2: .* got 11"),
        ("0,1,10,20,30,40\n", "number 0 lies before start=1"),
        ("x,1,10,20,30,40\n", "the frame must be a whole number, got 'x'"),
        ("1.5,1,10,20,30,40\n", "the frame must be a whole number"),
        ("9" * 1_000_000 + ",1,10,20,30,40\n", "the frame must be a whole number, got '9+'"),
        ("1,1," + "9" * 1_000_000 + ",20,30,40\n", "left must be a finite number, got '9+'"),
        ("1,-2,10,20,30,40\n", "the id must be -1 or more, got -2"),
        ("1,-1,10,20,30,40,1\n", "the id of a true box is 0 or more"),
        ("1,1,nan,20,30,40\n", "left must be a finite number, got 'nan'"),
        ("1,1,10,inf,30,40\n", "top must be a finite number, got 'inf'"),
        ("1,1,10,20,-3,40\n", "the width must be 0 or more, got -3"),
        ("1,1,10,20,3,-40\n", "the height must be 0 or more, got -40"),
        ("1,1,10,20,3,4,.7\n", "the flag of a true box is 0 or 1, got 0.7"),
        ("1,1,10,20,3,4,1,14,1\n", "unknown class 14, known are 1 to 13"),
        ("1,1,10,20,3,4,1,0,1\n", "unknown class 0"),
        (LINE + LINE, "line 2: id 1 is already in this frame, at line 1"),
    ],
)
def test_wrong_lines(tmp_path, text, match):
    with pytest.raises(AnnotationError, match=match):
        read_text(tmp_path, text)


def test_wrong_files(tmp_path, sequence):
    (tmp_path / "bare.txt").write_text(LINE)
    with pytest.raises(
        AnnotationError, match=r"does not say the size of the pictures, .*; give width= and height="
    ):
        read_mot(tmp_path / "bare.txt")
    with pytest.raises(AnnotationError, match="does not exist"):
        read_mot(tmp_path / "none.txt", width=1, height=1)
    (tmp_path / "latin.txt").write_bytes(b"1,1,\xff")
    with pytest.raises(AnnotationError, match="no UTF-8 text"):
        read_mot(tmp_path / "latin.txt", width=1, height=1)
    (sequence / "gt" / "gt.txt").write_text("6,1,1,1,1,1\n")
    with pytest.raises(
        AnnotationError, match="number 6 lies behind the sequence, which has 5 frames from 1 on"
    ):
        read_mot(sequence)
    (sequence / "seqinfo.ini").write_text("[Sequence]\nname=a\n")
    with pytest.raises(AnnotationError, match=r"seqinfo.ini is broken: .*seqLength"):
        read_mot(sequence)
    (sequence / "seqinfo.ini").write_text("[Sequence]\nname=\nseqLength=1\nimWidth=1\nimHeight=1")
    with pytest.raises(AnnotationError, match="the name of the sequence is empty"):
        read_mot(sequence)
    (sequence / "seqinfo.ini").write_text("[Sequence]\nname=a\nseqLength=1\nimWidth=0\nimHeight=1")
    with pytest.raises(AnnotationError, match="imWidth must be 1 to 5000000, got 0"):
        read_mot(sequence)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "gt"}, "kind must be 'truth' or 'detected', got 'gt'"),
        ({"annotated": "some"}, "annotated must be 'all' or 'listed', got 'some'"),
        ({"first_pixel": 2}, "first_pixel must be 0 or 1, got 2"),
        ({"stride": 0}, "stride must be 1 or more"),
        ({"categories": []}, "categories must be a list of one name or more"),
        ({"categories": ["a", "a"]}, "categories must differ from each other"),
    ],
)
def test_wrong_options(tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        read_text(tmp_path, LINE, **options)
    if not {"annotated", "categories"} & set(options):
        with pytest.raises(ValueError, match=match):
            write_mot(squares(), tmp_path / "out.txt", **options)


def test_what_cannot_be_written(tmp_path):
    path = tmp_path / "out"
    two = VideoAnnotations.build([*squares().videos, *squares(video_id="b").videos], squares().categories, [])
    with pytest.raises(AnnotationError, match="holds one video, these labels have 2"):
        write_mot(two, path)
    box = (0.0, 0.0, 1.0, 1.0)
    with pytest.raises(AnnotationError, match="holds boxes, this object has none"):
        write_mot(annotations_of(ObjectRow("clip", 0, 1, 1)), path)
    with pytest.raises(AnnotationError, match="a true box needs a track"):
        write_mot(annotations_of(ObjectRow("clip", 0, 1, NO_TRACK, box)), path)
    with pytest.raises(AnnotationError, match="visibility must be a number, got 'bad'"):
        write_mot(annotations_of(ObjectRow("clip", 0, 1, 1, box, attributes={"visibility": "bad"})), path)
    with pytest.raises(
        AnnotationError, match=r"numbered 1, 2, \.\.\. without a gap, these categories have the ids \[3\]"
    ):
        write_mot(annotations_of(ObjectRow("clip", 0, 3, 1, box), categories=(Category(3, "a"),)), path)
    with pytest.raises(AnnotationError, match="a name with a line break"):
        write_mot(annotations_of(ObjectRow("clip", 0, 1, 1, box), categories=(Category(1, "a\nb"),)), path)
    with pytest.raises(AnnotationError, match="frame 1 has no number"):
        write_mot(annotations_of(ObjectRow("clip", 1, 1, 1, box)), path, stride=2)
    assert not path.exists()


def test_its_look(tmp_path, sequence):
    path = tmp_path / "a.txt"
    for text, is_mot in (
        (LINE, True),
        ("1 2 3 4 5 6", False),
        ("1,2,3,4,5,x", False),
        ("", False),
        ("1,2,3,4,5,nan", False),
    ):
        path.write_text(text)
        assert looks_like_mot(path) is is_mot
    assert not looks_like_mot(sequence)
    (sequence / "gt" / "gt.txt").write_text(LINE)
    assert looks_like_mot(sequence)


def test_flies(data_dir):
    """2 ids x 1500 frames; the first line is 1,1,344.75,395.75,99.50,65.00."""
    labels = read_mot(
        data_dir / "video" / "flies_clip_gt.txt", width=1024, height=1024, categories=["fly"], first_pixel=0
    )
    assert labels.videos[0].frame_index.tolist() == list(range(1500))
    assert len(labels) == 3000
    assert set(labels.track_id.tolist()) == {1, 2}
    assert labels.boxes_xyxy[0].tolist() == [344.75, 395.75, 444.25, 460.75]
    assert not labels.attributes
    assert labels.boxes_xyxy.min() >= 0
    assert labels.boxes_xyxy.max() <= 1024


def test_pets(data_dir):
    """4650 boxes, 19 ids, 795 frames, 768x576; the first line is 1,9,499,158,31.03,75.17 from pixel 1."""
    labels = read_mot(data_dir / "research" / "pets_gt.txt", width=768, height=576)
    assert labels.videos[0].frame_index.tolist() == list(range(795))
    assert (len(labels), len(set(labels.track_id.tolist()))) == (4650, 19)
    first = labels.boxes_xyxy[(labels.frame_index == 0) & (labels.track_id == 9)][0]
    np.testing.assert_allclose(first, [498, 157, 529.03, 232.17])
    assert labels.attributes[0]["world_x"] == -4.1554
    assert math.isnan(labels.score[0])


def table_of(path):
    """Decode a clip to its end, to know its frames."""
    with open_video(path) as reader:
        for _ in reader:
            pass
        return reader.table()


def test_pets_on_its_video(data_dir):
    """Coordinates of 768x576 on a video of 480x360: scale .625; frame i is line number i + 1; no box is lost."""
    labels = read(data_dir / "research" / "pets_gt.txt", width=768, height=576)
    bound = bind(labels, table_of(data_dir / "research" / "pets_vtest_h264.avi"), scale=0.625)
    video = bound.videos[0]
    assert (video.width, video.height, video.frame_count) == (480, 360, 795)
    assert len(bound) == 4650
    np.testing.assert_allclose(bound.boxes_xyxy, labels.boxes_xyxy * 0.625)
    with pytest.raises(AnnotationError, match="768x576"):
        bind(labels, table_of(data_dir / "research" / "pets_vtest_h264.avi"))


@pytest.mark.slow
def test_flies_on_their_video(data_dir):
    labels = read(
        data_dir / "video" / "flies_clip_gt.txt", width=1024, height=1024, categories=["fly"], first_pixel=0
    )
    bound = bind(labels, table_of(data_dir / "video" / "flies_clip.mp4"))
    assert (bound.videos[0].frame_count, len(bound)) == (1500, 3000)
