"""CVAT tasks of videos: the video shows every pixel of the pictures, and labels come back by frame numbers."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
from tests.helpers.tool_package import draw_package, labels_for, placed, same_labels

from evfr._core.annotations import ObjectRow, concatenate
from evfr.errors import AnnotationError, VideoError
from evfr.verbs import _tool_cvat_video as tool
from evfr.verbs._import_pictures import read_picture
from evfr.verbs._tool_sequence import find_video, video_stem

STEMS = {"drive/a.mp4": "drive-a", "b": "b"}

EXPORTED = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id><name>{name}</name><size>{size}</size><mode>interpolation</mode><overlap>5</overlap>
      <start_frame>0</start_frame><stop_frame>8</stop_frame><frame_filter>{filter}</frame_filter>
      <labels><label><name>car</name><attributes><attribute><name>track_id</name><mutable>True</mutable>
      <input_type>text</input_type><default_value></default_value><values></values></attribute></attributes></label></labels>
      <original_size><width>61</width><height>43</height></original_size>
    </task>
    <dumped>2026-01-01 00:00:00.0+00:00</dumped>
    <source>{source}</source>
  </meta>
  <track id="0" label="car" source="manual">
    <box frame="1" keyframe="1" outside="0" occluded="0" xtl="1.00" ytl="2.00" xbr="9.00" ybr="12.00" z_order="0">
      <attribute name="track_id">4</attribute></box>
    <box frame="2" keyframe="0" outside="0" occluded="0" xtl="2.00" ytl="2.00" xbr="10.00" ybr="12.00" z_order="0">
      <attribute name="track_id">4</attribute></box>
    <box frame="3" keyframe="1" outside="1" occluded="0" xtl="3.00" ytl="2.00" xbr="11.00" ybr="12.00" z_order="0">
      <attribute name="track_id">4</attribute></box>
  </track>
  <track id="1" label="car" source="manual">
    <box frame="4" keyframe="1" outside="0" occluded="0" xtl="5.00" ytl="2.00" xbr="9.00" ybr="12.00" z_order="0">
      <attribute name="track_id"></attribute></box>
    <box frame="5" keyframe="0" outside="0" occluded="0" xtl="5.00" ytl="3.00" xbr="9.00" ybr="12.00" z_order="0">
      <attribute name="track_id"></attribute></box>
    <box frame="6" keyframe="1" outside="1" occluded="0" xtl="5.00" ytl="3.00" xbr="9.00" ybr="12.00" z_order="0">
      <attribute name="track_id"></attribute></box>
  </track>
  <track id="2" label="car" source="auto">
    <box frame="7" keyframe="1" outside="0" occluded="0" xtl="20.00" ytl="2.00" xbr="29.00" ybr="12.00" z_order="0">
      <attribute name="track_id"></attribute></box>
  </track>
</annotations>
"""
"""As CVAT writes "CVAT for video 1.1" (its exporter's code, 2.x): every frame of a track, single shapes as tracks, and
no end after a shape on the last frame but one."""


def exported(folder: Path, **changes: str) -> Path:
    words = {"name": "my task", "size": "9", "source": "drive-a.mkv", "filter": ""} | changes
    path = folder / "annotations.xml"
    path.write_text(EXPORTED.format(**words))
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    package = draw_package(tmp_path_factory.mktemp("cvat"), "cvat-video")
    tool.write(package)
    return package


def test_each_frame_of_the_video_is_a_picture_of_the_sequence(package):
    for video, stem in STEMS.items():
        frames = package.sequence(video)
        with av.open(str(package.folder / "cvat-video" / f"{stem}.mkv")) as container:
            shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(shown) == len(frames)
        for picture, frame in zip(shown, frames, strict=True):
            np.testing.assert_array_equal(
                picture, read_picture(package.path_of(frame).read_bytes(), frame.name)
            )


def test_labels_come_back_as_they_went(package):
    parts = [
        placed(tool.read(package.folder / "cvat-video" / f"{s}.xml", package), package)
        for s in STEMS.values()
    ]
    same_labels(concatenate([part.labels for part in parts]), labels_for())
    assert sum(part.untouched for part in parts) == len(labels_for())
    # b has a pick without an object: it is annotated all the same.
    assert parts[1].labels.videos[0].frame_index.tolist() == [0, 7]


def test_masks_stand_in_tracks_of_their_own_and_boxes_end_after_each_pick(package):
    """CVAT keeps the first mask of a track only, and fills in boxes between key frames."""
    text = (package.folder / "cvat-video" / "drive-a.xml").read_text()
    tracks = re.findall("<track.*?</track>", text, re.DOTALL)
    assert [track.count('outside="0"') for track in tracks] == [2, 1, 1]
    assert ["<mask" in track for track in tracks] == [False, True, True]
    for track in tracks:
        assert re.findall(r'frame="(\d+)" keyframe="1" outside="(\d)"', track)[1::2]
        shown = [int(frame) for frame in re.findall(r'frame="(\d+)" keyframe="1" outside="0"', track)]
        ended = [int(frame) for frame in re.findall(r'frame="(\d+)" keyframe="1" outside="1"', track)]
        assert ended == [frame + 1 for frame in shown]


def test_file_of_cvat_is_read_by_frame_numbers(package, tmp_path):
    done = placed(tool.read(exported(tmp_path), package), package)
    rows = {(row.frame_index, row.track_id): row for row in done.labels.objects()}
    # 1, 2, 4, 5, 7 are frames 5 (pick), 6 (context), 9 (pick), 10 (context) and 30 (pick) of the video.
    assert sorted(rows) == [(5, 4), (6, 4), (9, 5), (10, 5), (30, -1)]
    assert rows[5, 4].source == "human" and rows[6, 4].source == "interpolated"
    assert rows[30, -1].source == "detected"
    assert rows[5, 4].box_xyxy == (1, 2, 9, 12) and rows[10, 5].box_xyxy == (5, 3, 9, 12)
    # CVAT wrote no end of the single shape on frame 7 of 0..8: it is not drawn out to frame 8.
    assert done.context_pictures == 2 and done.context_objects == 2
    dropped = placed(tool.read(exported(tmp_path), package), package, context_labels="drop")
    assert sorted(dropped.labels.frame_index.tolist()) == [5, 9, 30]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": "other.mkv"},
            r"names 'other.mkv' and 'my task', which is no video of the export.*drive-a, b",
        ),
        ({"source": ""}, r"names 'my task', which is no video of the export"),
        ({"size": "8"}, r"has 9 frames, up to number 8|has 8 frames|none of the job's frames"),
        ({"source": "b.mkv"}, r"61x43 pixels, the exported video 48x36"),
    ],
)
def test_other_video_or_length_is_refused(package, tmp_path, changes, message):
    path = exported(tmp_path, **changes)
    if "size" in changes:
        path.write_text(path.read_text().replace("<stop_frame>8</stop_frame>", "<stop_frame>7</stop_frame>"))
    with pytest.raises(AnnotationError, match=message):
        tool.read(path, package)


def test_task_may_be_found_by_its_name_and_leave_out_frames(package, tmp_path):
    path = exported(tmp_path, source="", name="DRIVE-A")
    assert len(tool.read(path, package).videos) == 5
    text = path.read_text().replace("<source></source>", "").replace("<frame_filter></frame_filter>", "")
    path.write_text(
        text.replace("<start_frame>0<", "<start_frame>1<").replace(
            "<overlap>5</overlap>", "<frame_filter>step=1</frame_filter>"
        )
    )
    assert len(tool.read(path, package).videos) == 5


def test_images_of_a_video_task_are_read_by_their_numbers(package, tmp_path):
    path = tmp_path / "annotations.xml"
    head = "<annotations><meta><task><name>drive-a</name><size>9</size></task></meta>"
    images = "".join(
        f'<image id="{k}" name="{name.format(k)}" width="61" height="43">'
        + ('<box label="car" xtl="1" ytl="1" xbr="5" ybr="5"></box>' if k == 4 else "")
        + "</image>"
        for k, name in enumerate(["frame_{:06d}"] * 9)
    )
    path.write_text(head + images + "</annotations>")
    done = placed(tool.read(path, package), package)
    assert done.labels.frame_index.tolist() == [9]
    assert done.labels.videos[0].frame_index.tolist() == [5, 9, 30]
    path.write_text((head + images + "</annotations>").replace("frame_000003", "cat"))
    with pytest.raises(AnnotationError, match="'cat' is no frame of a video"):
        tool.read(path, package)


def test_project_and_folder_without_xml_are_refused(package, tmp_path):
    path = tmp_path / "annotations.xml"
    path.write_text("<annotations><meta><project/></meta></annotations>")
    with pytest.raises(AnnotationError, match="export of a whole project"):
        tool.read(path, package)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match=r"holds 0 files annotations\.xml"):
        tool.read(tmp_path / "empty", package)
    assert len(tool.read(exported(tmp_path).parent, package).videos) == 5


def test_object_without_shape_is_refused(tmp_path):
    bare = labels_for([ObjectRow("b", 0, 3, 9)])
    with pytest.raises(AnnotationError, match=r"b_f000000_p0\.png: an object with track 9 has neither"):
        tool.write(draw_package(tmp_path, "cvat-video", labels=bare))


def test_missing_encoder_is_an_error_with_a_way_out(tmp_path, monkeypatch):
    def missing(*_):
        raise ValueError("no codec")

    monkeypatch.setattr(av, "Codec", missing)
    with pytest.raises(VideoError, match="no encoder ffv1; install PyAV's own wheel"):
        tool.write(draw_package(tmp_path, "cvat-video", has_labels=False))


def test_pictures_of_a_selection_make_no_video(package):
    from dataclasses import replace

    bare = replace(package, frames=tuple(replace(f, name=f"x=20{f.name}", sha256="") for f in package.frames))
    with pytest.raises(AnnotationError, match="were not written by evfr export"):
        video_stem(bare, "b")


def test_upload_prefix_and_folders_do_not_count(package):
    for said in ("/data/upload/1/0a1b2c3d-drive-a.mp4", "C:\\clips\\Drive-A.MKV", "drive-a"):
        assert find_video(package, [said], "here")[0].video_id == "drive/a.mp4"
    with pytest.raises(AnnotationError, match="here names no video, which"):
        find_video(package, [], "here")
