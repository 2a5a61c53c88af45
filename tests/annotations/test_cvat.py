from __future__ import annotations

import math
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations._cvat import looks_like_cvat, read_cvat
from evfr.annotations._cvat_write import write_cvat
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, assert_equal_labels, label_sets, squares

KEEPS = frozenset(
    {
        "boxes",
        "masks",
        "tracks",
        "categories",
        "score",
        "source",
        "trust",
        "is_crowd",
        "empty_frames",
        "frame_numbers",
    }
)

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>9</id>
      <name>street</name>
      <size>{size}</size>
      <mode>{mode}</mode>
      <overlap>5</overlap>
      <bugtracker></bugtracker>
      <created>2024-06-27 09:42:02.145575+00:00</created>
      <start_frame>{start}</start_frame>
      <stop_frame>{stop}</stop_frame>
      <frame_filter>{filter}</frame_filter>
      <labels>
        <label><name>car</name><color>#ff00ff</color><type>any</type><attributes>
          <attribute><name>parked</name><mutable>True</mutable><input_type>checkbox</input_type>
            <default_value>false</default_value><values>false</values></attribute>
          <attribute><name>doors</name><mutable>False</mutable><input_type>number</input_type>
            <default_value>4</default_value><values>2
5
1</values></attribute>
          <attribute><name>make</name><mutable>False</mutable><input_type>text</input_type>
            <default_value></default_value><values></values></attribute>
        </attributes></label>
        <label><name>person</name><color>#ffff00</color><attributes></attributes></label>
      </labels>
      <segments><segment><id>8</id><start>0</start><stop>9</stop><url>http://localhost/?id=8</url></segment></segments>
      <owner><username>admin</username><email></email></owner>
      <original_size><width>64</width><height>48</height></original_size>
      <source>street.mp4</source>
    </task>
    <dumped>2024-06-27 10:00:00+00:00</dumped>
  </meta>
"""


def video_file(tmp_path: Path, body: str, *, size=10, start=0, stop=9, step="", mode="interpolation") -> Path:
    path = tmp_path / "annotations.xml"
    head = HEAD.format(size=size, start=start, stop=stop, filter=step, mode=mode)
    path.write_text(head + body + "</annotations>\n", encoding="utf-8")
    return path


def box(frame, x, *, keyframe=1, outside=0, more="") -> str:
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" xtl="{x:.2f}" ytl="10.00" '
        f'xbr="{x + 8:.2f}" ybr="20.00" z_order="0">{more}</box>'
    )


def track(body: str, *, track_id=0, label="car", more="") -> str:
    return f'<track id="{track_id}" label="{label}" source="manual" {more}>{body}</track>\n'


def sorted_by_track(labels: VideoAnnotations) -> VideoAnnotations:
    """Order the objects of a frame as tracks come in CVAT's file: by id, those without a track last."""
    rows = sorted(labels.objects(), key=lambda r: (r.track_id == NO_TRACK, r.track_id))
    return VideoAnnotations.build(labels.videos, labels.categories, rows)


@settings(max_examples=25, deadline=None)
@given(
    labels=label_sets(keeps=KEEPS, most_videos=1, category_ids=(1, 2)),
    start=st.integers(0, 7),
    step=st.integers(1, 5),
)
def test_video_round_trip(labels, start, step):
    """A task of any start and step comes back whole: objects that leave and return, masks and boxes, their facts."""
    index = {f: start + step * k for k, f in enumerate(labels.videos[0].frame_index.tolist())}
    video = replace(labels.videos[0], frame_index=np.array(list(index.values())))
    rows = [replace(row, frame_index=index[row.frame_index]) for row in labels.objects()]
    labels = sorted_by_track(VideoAnnotations.build([video], labels.categories, rows))
    with tempfile.TemporaryDirectory() as folder:
        path = write_cvat(labels, Path(folder) / "a.xml")
        assert looks_like_cvat(path)
        back = read_cvat(path)
        assert_equal_labels(back, replace(labels, categories=back.categories))
        assert [c.name for c in back.categories] == [c.name for c in labels.categories]


@settings(max_examples=25, deadline=None)
@given(labels=label_sets(keeps=KEEPS | {"file_names"}, most_videos=1, category_ids=(1, 2)))
def test_images_round_trip(labels):
    with tempfile.TemporaryDirectory() as folder:
        back = read_cvat(write_cvat(labels, Path(folder) / "a.xml", mode="images"))
        assert_equal_labels(back, replace(labels, categories=back.categories))


def test_attributes_come_back_typed(tmp_path):
    """An attribute of one kind keeps it; one of several kinds comes back as text."""
    attributes = [
        {
            "parked": True,
            "doors": 4,
            "share": 0.5,
            "note": 'a<b>&"c"',
            "mixed": 1,
            "occluded": True,
            "z_order": -2,
        },
        {
            "parked": False,
            "doors": -3,
            "share": 2.0,
            "note": "",
            "mixed": "x",
            "z_order": 0,
            "occluded": False,
        },
    ]
    rows = [
        ObjectRow("clip", frame, 1, 5, (0, 0, 1, 1), attributes=values)
        for frame, values in enumerate(attributes)
    ]
    for mode in ("video", "images"):
        back = read_cvat(write_cvat(annotations_of(*rows), tmp_path / "a.xml", mode=mode))
        expected = [{**values, "mixed": str(values["mixed"])} for values in attributes]
        got = [dict(values) for values in back.attributes]
        assert got == expected
        assert [type(value) for values in got for _, value in sorted(values.items())] == [
            type(value) for values in expected for _, value in sorted(values.items())
        ]


def test_a_video_task_as_cvat_exports_it(tmp_path):
    """Every frame is listed; key frames are human, the rest CVAT filled in; the track ends with an outside shape."""
    more = '<attribute name="parked">true</attribute><attribute name="doors">4</attribute>'
    body = track(
        box(2, 10, more=more) + box(3, 12.5, keyframe=0, more=more) + box(4, 15) + box(5, 15, outside=1),
        track_id=3,
    ) + track(
        '<mask frame="4" keyframe="1" outside="0" occluded="1" rle="1, 2, 3" left="5" top="7" width="3" height="2" '
        'z_order="4"></mask><mask frame="5" keyframe="1" outside="1" occluded="1" rle="1, 2, 3" left="5" top="7" '
        'width="3" height="2" z_order="4"></mask>',
        track_id=4,
        label="person",
    )
    labels = read_cvat(video_file(tmp_path, body))
    video = labels.videos[0]
    assert (video.video_id, video.width, video.height) == ("street", 64, 48)
    assert video.frame_index.tolist() == list(range(10))
    assert labels.categories == (Category(1, "car"), Category(2, "person"))
    rows = list(labels.objects())
    assert [(r.frame_index, r.track_id, r.category_id, r.source) for r in rows] == [
        (2, 3, 1, "human"),
        (3, 3, 1, "interpolated"),
        (4, 3, 1, "human"),
        (4, 4, 2, "human"),
    ]
    assert rows[1].box_xyxy == (12.5, 10, 20.5, 20)
    assert rows[0].attributes == {"parked": True, "doors": 4}
    assert rows[3].attributes == {"occluded": True, "z_order": 4}
    # The runs follow the rows of the box of 3x2: 0 1 1 / 0 0 0.
    expected = np.zeros((48, 64), bool)
    expected[7, 6:8] = True
    assert rows[3].mask == Rle.from_mask(expected)


def test_key_frames_are_interpolated(tmp_path):
    """Key frames only, as scripts write them: linear between, still after the last one until the job ends."""
    labels = read_cvat(video_file(tmp_path, track(box(1, 10) + box(5, 18))))
    assert labels.frame_index.tolist() == list(range(1, 10))
    assert labels.boxes_xyxy[:, 0].tolist() == [10, 12, 14, 16, 18, 18, 18, 18, 18]
    assert [r.source for r in labels.objects()] == [
        "human",
        *["interpolated"] * 3,
        "human",
        *["interpolated"] * 4,
    ]


def test_a_leaving_object_moves_to_where_it_left(tmp_path):
    """CVAT interpolates towards an outside shape, and shows nothing from there until the object is back."""
    labels = read_cvat(video_file(tmp_path, track(box(0, 10) + box(2, 14, outside=1) + box(6, 30))))
    assert labels.frame_index.tolist() == [0, 1, 6, 7, 8, 9]
    assert labels.boxes_xyxy[:3, 0].tolist() == [10, 12, 30]


def test_start_and_step(tmp_path):
    """Frames are numbered in the whole video: 10, 15, 20, ...; interpolation counts them, too."""
    path = video_file(tmp_path, track(box(10, 10) + box(20, 14)), size=4, start=10, stop=25, step="step=5")
    labels = read_cvat(path)
    assert labels.videos[0].frame_index.tolist() == [10, 15, 20, 25]
    assert labels.boxes_xyxy[:, 0].tolist() == [10, 12, 14, 14]


def test_polygons_become_masks(tmp_path):
    points = ["0.00,0.00;8.00,0.00;8.00,4.00;0.00,4.00", "4.00,0.00;12.00,0.00;12.00,4.00;4.00,4.00"]
    body = "".join(
        f'<polygon frame="{frame}" keyframe="1" outside="0" occluded="0" points="{text}" z_order="0"/>'
        for frame, text in zip((0, 2), points, strict=True)
    )
    labels = read_cvat(video_file(tmp_path, track(body), size=3, stop=2))
    assert [mask.box_xyxy for mask in labels.masks if mask is not None] == [
        (0, 0, 8, 4),
        (2, 0, 10, 4),
        (4, 0, 12, 4),
    ]
    assert np.isnan(labels.boxes_xyxy).all()


def test_an_image_task_as_cvat_exports_it(tmp_path):
    body = """<image id="0" name="shots/b.jpg" width="64" height="48">
      <box label="car" source="manual" occluded="1" xtl="1.00" ytl="2.00" xbr="11.50" ybr="22.00" z_order="0">
        <attribute name="make">Fiat</attribute></box>
      <polygon label="person" source="auto" occluded="0" points="0.00,0.00;8.00,0.00;8.00,4.00" z_order="1"></polygon>
    </image>
    <image id="3" name="shots/a.jpg" width="64" height="48"></image>"""
    path = video_file(tmp_path, body, size=2, stop=3, mode="annotation")
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.write(path, "annotations.xml")
    for place in (path, tmp_path, tmp_path / "export.zip"):
        assert looks_like_cvat(place)
        labels = read_cvat(place)
        assert labels.videos[0].file_names == ("shots/b.jpg", "shots/a.jpg")
        assert labels.videos[0].frame_index.tolist() == [0, 3]
        rows = list(labels.objects())
        assert [(r.category_id, r.track_id, r.source) for r in rows] == [
            (1, NO_TRACK, "human"),
            (2, NO_TRACK, "detected"),
        ]
        assert rows[0].box_xyxy == (1, 2, 11.5, 22)
        assert rows[0].attributes == {"occluded": True, "make": "Fiat"}


def test_a_file_without_labels_in_its_head(tmp_path):
    """Hand-made files have no meta: names are taken from the shapes, in order; frames up to the last shape."""
    path = tmp_path / "bare.xml"
    body = track(box(2, 0) + box(3, 0, outside=1), label="b") + track(
        box(1, 0) + box(2, 0, outside=1), track_id=1, label="a"
    )
    path.write_text(f"<annotations>{body}</annotations>")
    with pytest.raises(
        AnnotationError, match="does not state the size of the video; give width= and height="
    ):
        read_cvat(path)
    labels = read_cvat(path, width=64, height=48)
    assert labels.categories == (Category(1, "a"), Category(2, "b"))
    assert labels.videos[0].video_id == "bare"
    assert labels.videos[0].frame_index.tolist() == [0, 1, 2]
    assert labels.frame_index.tolist() == [1, 2]


def test_other_shapes_are_refused_or_left_out(tmp_path):
    body = track('<points frame="0" keyframe="1" outside="0" occluded="0" points="1,2"/>') + track(
        box(0, 1), track_id=1
    )
    path = video_file(tmp_path, body)
    with pytest.raises(
        AnnotationError, match="track 0: a points is neither a box nor a mask; unsupported='skip'"
    ):
        read_cvat(path)
    assert set(read_cvat(path, unsupported="skip").track_id.tolist()) == {1}
    with pytest.raises(ValueError, match="unsupported must be 'error' or 'skip', got 'x'"):
        read_cvat(path, unsupported="x")


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<annotations><version>&c;</version></annotations>"""
FETCH = """<?xml version="1.0"?><!DOCTYPE a SYSTEM "http://localhost/a.dtd"><annotations/>"""
STEAL = (
    """<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations><track>&b;</track></annotations>"""
)


@pytest.mark.parametrize("text", [BOMB, FETCH, STEAL])
def test_document_types_are_refused(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"has a document type \(DOCTYPE\)"):
        read_cvat(path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("<annotations>", "no well-formed XML"),
        ("", "no well-formed XML"),
        ("<annotations>&b;</annotations>", "no well-formed XML: undefined entity"),
        ("<annotations>" * 60, "nested more than 50 elements deep"),
        ("<labels/>", "has the root <labels>, CVAT's is <annotations>"),
        ("<annotations><version>2.0</version></annotations>", "has version '2.0', known is 1.1"),
        ("<annotations><meta><project/></meta></annotations>", "the export of a whole project"),
        ("<annotations><track/><image/></annotations>", "has both tracks and images"),
        (
            "<annotations><meta><task><mode>annotation</mode></task></meta></annotations>",
            "has no image, so their size",
        ),
        (
            "<annotations><meta><task><labels><label><name> </name></label></labels></task></meta></annotations>",
            "each label needs a name of its own",
        ),
    ],
)
def test_wrong_files(tmp_path, text, match):
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=match):
        read_cvat(path)


GOOD = box(0, 1)
MASK = (
    '<mask frame="0" keyframe="1" outside="0" occluded="0" rle="{}" left="{}" top="0" width="{}" height="2"/>'
)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (track(GOOD, label="bus"), "track 0: unknown category 'bus'; known are car, person"),
        (track(GOOD) + track(GOOD), "track 0: there is another track of this id"),
        (track(GOOD, track_id="x"), "the id must be a whole number, got 'x'"),
        (track(GOOD, track_id=-1), "the id must be 0 or more, got -1"),
        (track(GOOD, track_id="9" * 1_000_000), "the id must be a whole number, got '9+'"),
        (track(GOOD.replace('frame="0"', "")), "the frame of a shape must be a whole number, got None"),
        (track(GOOD + GOOD), "track 0: there are two shapes on frame 0"),
        (track(box(10, 1)), r"frame 10 is none of the job's frames \(0 to 9, step 1\)"),
        (track(GOOD.replace('"1.00"', '"nan"')), "frame 0: xtl of a box must be a finite number, got 'nan'"),
        (
            track(GOOD.replace('"1.00"', '"' + "9" * 1_000_000 + '"')),
            "xtl of a box must be a finite number, got '9+'",
        ),
        (track(GOOD.replace('"9.00"', '"0.50"')), "has its corners exchanged"),
        (
            track(GOOD.replace("z_order", 'rotation="30.00" z_order')),
            "turned by 30 degrees; draw it as a polygon",
        ),
        (track(GOOD.replace('outside="0"', 'outside="2"')), "outside must be 0 or 1, got '2'"),
        (track(GOOD.replace('z_order="0"', 'z_order="a"')), "z_order must be a whole number"),
        (
            track(GOOD, more="").replace('"manual"', '"robot"'),
            "source must be one of manual, .*, got 'robot'",
        ),
        (track("<blob/>"), "unknown element <blob>"),
        (track(box(0, 1, more="<attribute>a</attribute>")), "an attribute has no name"),
        (
            track(box(0, 1, more='<attribute name="parked">maybe</attribute>')),
            "the checkbox 'parked' must be true or",
        ),
        (
            track(box(0, 1, more='<attribute name="doors">many</attribute>')),
            "the attribute 'doors' must be a finite",
        ),
        (
            track(box(0, 1, more='<attribute name="evfr_source">dog</attribute>')),
            "evfr_source must be one of",
        ),
        (
            track(box(0, 1, more='<attribute name="evfr_box">1 2</attribute>')),
            "evfr_box must be four numbers",
        ),
        (track('<polygon frame="0" points="1,2;3,4"/>'), "a polygon needs three points"),
        (track('<polygon frame="0" points="1,2;3,4;5"/>'), "a polygon needs three points"),
        (
            track('<polygon frame="0" points="1,2;3,inf;5,6"/>'),
            "a coordinate of a polygon must be a finite number",
        ),
        (track('<polygon frame="0" points="1,2;3,4;5e9,6"/>'), "polygon 0 has"),
        (
            track('<polygon frame="0" points="1,2;3,4;5,6"/><polygon frame="3" points="1,2;3,4;5,6;7,8"/>'),
            "from frame 0 to 3 a polygon of 3 points becomes a polygon of 4",
        ),
        (
            track(GOOD + '<polygon frame="3" points="1,2;3,4;5,6"/>'),
            "a box of 2 points becomes a polygon of 3",
        ),
        (
            track(MASK.format("3, 4", 0, 3)),
            "the runs of the mask add up to 7, but its box has 3x2 = 6 pixels",
        ),
        (track(MASK.format("3, -3, 6", 0, 3)), "a run of a mask must be 0 to 6, got -3"),
        (track(MASK.format("6", 62, 3)), "the mask's box of 3x2 at 62,0 leaves the picture of 64x48"),
        (track(MASK.format("6", -1, 3)), "left of a mask must be 0 or more, got -1"),
        (track(MASK.format("0", 0, 0)), "width of a mask must be 1 or more, got 0"),
    ],
)
def test_wrong_tracks(tmp_path, body, match):
    with pytest.raises(AnnotationError, match=match):
        read_cvat(video_file(tmp_path, body))


def image(frame=0, name="a.jpg", width=64, body="") -> str:
    return f'<image id="{frame}" name="{name}" width="{width}" height="48">{body}</image>'


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (image() + image(), "image 0: there is another image of this id"),
        (image(name="../a.jpg"), "leads out of its folder"),
        (image(name="/etc/passwd"), "leads out of its folder"),
        (image() + image(1, width=65), "image 1: 65x48 pixels, the images before have 64x48"),
        (image(body='<box label="bus" xtl="0" ytl="0" xbr="1" ybr="1"/>'), "image 0: unknown category 'bus'"),
        (image(body='<tag label="car"/>'), "a tag is neither a box nor a mask"),
        (
            image(
                body='<box label="car" xtl="0" ytl="0" xbr="1" ybr="1"><attribute name="track_id">a</attribute></box>'
            ),
            "the attribute track_id must be a whole number, got 'a'",
        ),
    ],
)
def test_wrong_images(tmp_path, body, match):
    with pytest.raises(AnnotationError, match=match):
        read_cvat(video_file(tmp_path, body, mode="annotation"))


def test_wrong_heads(tmp_path):
    with pytest.raises(AnnotationError, match="frame_filter 'step=0' must be 1 or more, got 0"):
        read_cvat(video_file(tmp_path, "", step="step=0"))
    with pytest.raises(AnnotationError, match="stop_frame must be 5 to 5000000, got 4"):
        read_cvat(video_file(tmp_path, "", start=5, stop=4))
    with pytest.raises(AnnotationError, match=r"holds 0 files annotations\.xml"):
        (tmp_path / "empty").mkdir()
        read_cvat(tmp_path / "empty")
    assert not looks_like_cvat(tmp_path / "empty")


def test_small_files_do_not_fill_the_memory(tmp_path, monkeypatch):
    """A few bytes can claim a video of years, a picture of terabytes, or tracks that never end."""
    with pytest.raises(AnnotationError, match="stop_frame must be 0 to 5000000, got 999999999"):
        read_cvat(video_file(tmp_path, "", stop=999_999_999))
    with pytest.raises(AnnotationError, match="the frame of a shape must be 0 to 5000000, got 999999999"):
        read_cvat(video_file(tmp_path, track(box(999_999_999, 1))))
    path = video_file(tmp_path, track(MASK.format("6", 0, 3)))
    path.write_text(path.read_text().replace("<width>64<", "<width>999999<"))
    path.write_text(path.read_text().replace("<height>48<", "<height>999999<"))
    with pytest.raises(AnnotationError, match="999999x999999 pixels are more than 67108864"):
        read_cvat(path)
    monkeypatch.setattr("evfr.annotations._parse._ROWS_MOST", 5)
    with pytest.raises(AnnotationError, match="track 0: the tracks expand to more than 5 labels"):
        read_cvat(video_file(tmp_path, track(GOOD)))


def test_a_job_without_frames(tmp_path):
    path = video_file(tmp_path, track(GOOD), size=0, stop="")
    with pytest.raises(AnnotationError, match="track 0: frame 0 lies in a job without frames"):
        read_cvat(path)
    path.write_text(path.read_text().replace("<size>0<", "<size>3<"))
    assert read_cvat(path).videos[0].frame_index.tolist() == [0, 1, 2]


def test_a_file_is_known_by_its_beginning(tmp_path):
    assert not looks_like_cvat(tmp_path / "none.xml")


def test_what_cannot_be_written(tmp_path):
    path = tmp_path / "a.xml"
    with pytest.raises(ValueError, match="mode must be 'video' or 'images', got 'x'"):
        write_cvat(squares(), path, mode="x")
    two = VideoAnnotations.build([*squares().videos, *squares(video_id="b").videos], squares().categories, [])
    with pytest.raises(AnnotationError, match="holds one video, these labels have 2"):
        write_cvat(two, path)
    with pytest.raises(AnnotationError, match="the object has neither box nor mask"):
        write_cvat(annotations_of(ObjectRow("clip", 0, 1, 1)), path)
    with pytest.raises(
        AnnotationError, match="lie 1, 2 apart, but a CVAT task has equal steps; write mode='images'"
    ):
        write_cvat(annotations_of(frames=[0, 1, 3]), path)
    write_cvat(annotations_of(frames=[0, 1, 3]), path, mode="images")
    categories = (Category(1, "a"), Category(2, "b"))
    rows = [ObjectRow("clip", frame, frame + 1, 1, (0, 0, 1, 1)) for frame in (0, 1)]
    with pytest.raises(AnnotationError, match="frame 1: track 1 changes from 'a' to 'b'"):
        write_cvat(annotations_of(*rows, categories=categories), path)
    with pytest.raises(AnnotationError, match="CVAT's track ids are 0 or more, got -5"):
        write_cvat(annotations_of(ObjectRow("clip", 0, 1, -5, (0, 0, 1, 1))), path)
    for name in ("a\nb", "a\x00b"):
        with pytest.raises(AnnotationError, match="has a control character"):
            write_cvat(annotations_of(categories=(Category(1, name),), frames=[0]), path)


def test_what_is_written_is_what_cvat_reads(tmp_path):
    """CVAT's own importer takes key frames and interpolates: closing shapes keep gaps empty, others stay key frames.

    Datumaro 1.13.12, with whose code CVAT imports, read boxes and masks of ``images`` and boxes of ``video`` files from
    here as they were (`CvatBase(path)`; it does not read masks of tracks).
    """
    rows = [
        ObjectRow("clip", 0, 1, 4, (0, 0, 1, 1)),
        ObjectRow("clip", 2, 1, 4, (1, 0, 2, 1), source="interpolated", score=0.5),
        ObjectRow("clip", 6, 1, 4, (2, 0, 3, 1), trust=0.25, source="carried"),
    ]
    text = write_cvat(annotations_of(*rows, frames=[0, 2, 4, 6]), tmp_path / "a.xml").read_text()
    assert "<frame_filter>step=2</frame_filter>" in text
    places = [line.split("xtl")[0] for line in text.splitlines() if line.startswith("<box")]
    assert places == [
        '<box frame="0" keyframe="1" outside="0" occluded="0" z_order="0" ',
        '<box frame="2" keyframe="0" outside="0" occluded="0" z_order="0" ',
        '<box frame="4" keyframe="1" outside="1" occluded="0" z_order="0" ',
        '<box frame="6" keyframe="1" outside="0" occluded="0" z_order="0" ',
    ]
    assert '<attribute name="evfr_trust">0.25</attribute>' in text
    back = list(read_cvat(tmp_path / "a.xml").objects())
    assert [(r.source, r.frame_index) for r in back] == [("human", 0), ("interpolated", 2), ("carried", 6)]
    assert (back[1].score, back[2].trust) == (0.5, 0.25)
    assert math.isnan(back[0].score)
