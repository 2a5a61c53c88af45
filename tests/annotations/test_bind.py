"""Labels meet the true frames of a video: by index, time and name, or with one clear error."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import ObjectRow, concatenate
from evfr._core.masks import Rle
from evfr._core.types import PTS_NONE, FrameTable
from evfr.annotations import bind
from evfr.annotations._masks import read_masks
from evfr.errors import AnnotationError
from evfr.video import draw_clip, frame_file_name, open_video, parse_frame_file_name
from helpers.labels import annotations_of, assert_equal_labels, label_sets, squares


def table_of(n=20, size=(16, 12), pts=None, time_base=Fraction(1, 90_000)):
    """A video of n frames at a variable rate."""
    pts = np.cumsum(np.arange(n) % 4 + 1).astype(np.int64) * 1001 if pts is None else np.array(pts, np.int64)
    n = len(pts)
    return FrameTable(
        pts=pts,
        time_base=time_base,
        time_seconds=np.arange(n) / 10.0,
        picture_type=np.full(n, b"P", "S1"),
        is_iframe=np.zeros(n, bool),
        luma_hash=np.zeros(n, np.uint64),
        is_suspect=np.zeros(n, bool),
        is_decoded=np.ones(n, bool),
        is_time_estimated=False,
        width=size[0],
        height=size[1],
    )


def with_video(labels, **fields):
    return replace(labels, videos=(replace(labels.videos[0], **fields),))


def test_by_index_takes_the_times_of_the_video():
    table = table_of()
    bound = bind(squares(4, step=5), table, name="drive.mp4", content_hash="ab", path="/footage/drive.mp4")
    (video,) = bound.videos
    assert video.frame_index.tolist() == [0, 5, 10, 15]
    assert video.pts.tolist() == table.pts[[0, 5, 10, 15]].tolist()
    assert (video.video_id, video.time_base, video.frame_count) == ("drive.mp4", Fraction(1, 90_000), 20)
    assert (video.content_hash, video.path) == ("ab", "/footage/drive.mp4")
    assert bound.masks == squares(4).masks


@settings(max_examples=20, deadline=None)
@given(label_sets(most_videos=1, last_frame=19), st.integers(1, 4), st.integers(0, 3), st.integers(0, 2))
def test_stride_and_start_move_all_frames(labels, stride, first, start):
    labels = with_video(labels, pts=None, time_base=None, content_hash="")
    (video,) = labels.videos
    table = table_of(100, (video.width, video.height))
    if len(video.frame_index) and video.frame_index[0] < start:
        with pytest.raises(AnnotationError, match=f"lies before start={start}"):
            bind(labels, table, start=start, stride=stride, first_frame=first)
        return
    bound = bind(labels, table, start=start, stride=stride, first_frame=first)
    np.testing.assert_array_equal(bound.frame_index, first + (labels.frame_index - start) * stride)
    np.testing.assert_array_equal(bound.videos[0].pts, table.pts[bound.videos[0].frame_index])
    assert_equal_labels(bind(bound, table), bound)
    # What was bound by index is found again by its times, whatever its indices say.
    if len(labels.videos[0].frame_index):
        moved = replace(
            bound,
            frame_index=bound.frame_index + 7,
            videos=(replace(bound.videos[0], frame_index=bound.videos[0].frame_index + 7, frame_count=None),),
        )
        assert_equal_labels(bind(moved, table, by="pts"), bound)


def test_by_time_in_another_time_base():
    """The labelling tool counted milliseconds; the video counts 1/90000 s; order by time, not by index."""
    table = table_of(pts=[90, 180, 450, 900])
    labels = with_video(squares(2), pts=np.array([10, 5]), time_base=Fraction(1, 1000), frame_count=None)
    bound = bind(labels, table, by="pts")
    assert bound.videos[0].frame_index.tolist() == [2, 3]
    assert bound.masks == (*squares(2).masks[2:], *squares(2).masks[:2])
    lost = with_video(squares(2), pts=np.array([5, 6]), time_base=Fraction(1, 1000))
    with pytest.raises(
        AnnotationError, match=r"the label of frame 1 lies at 0.006000 s, where the video has no frame"
    ):
        bind(lost, table, by="pts")
    with pytest.raises(AnnotationError, match=r"0.005000 s, where the video has several frames"):
        bind(labels, table_of(pts=[90, 450, 450, 900]), by="pts")
    with pytest.raises(AnnotationError, match=r"by='pts' needs a time stamp for every labelled frame"):
        bind(squares(2), table, by="pts")


def test_labels_of_another_encoding_are_found_out():
    table = table_of(pts=[90, 180, PTS_NONE, 900])
    labels = with_video(squares(2), pts=np.array([1, 2]), time_base=Fraction(1, 1000))
    assert bind(labels, table).videos[0].time_base == table.time_base
    wrong = with_video(squares(2), pts=np.array([1, 3]), time_base=Fraction(1, 1000))
    with pytest.raises(
        AnnotationError, match=r"the labels say that frame 1 lies at 0.003000 s, in the video .* 0.002000 s"
    ):
        bind(wrong, table)
    untimed = with_video(squares(4), pts=np.array([1, 2, 77, PTS_NONE]), time_base=Fraction(1, 1000))
    assert len(bind(untimed, table)) == 8


def test_by_name():
    table = table_of()
    names = tuple(frame_file_name("day 1/a.mp4", i, int(table.pts[i]), "png") for i in (7, 3))
    labels = with_video(squares(2), file_names=tuple(f"export/{name}" for name in names))
    bound = bind(labels, table, by="name", frame_of=parse_frame_file_name, name="day 1/a.mp4")
    assert bound.videos[0].frame_index.tolist() == [3, 7]
    assert bound.videos[0].file_names == (f"export/{names[1]}", f"export/{names[0]}")
    assert bound.masks == (*squares(2).masks[2:], *squares(2).masks[:2])
    mapped = bind(labels, table, by="name", frame_of={names[0]: 1, names[1]: 2})
    assert mapped.videos[0].frame_index.tolist() == [1, 2]
    with pytest.raises(AnnotationError, match=r"is a frame of 'day 1/a.mp4', not of 'clip'; give that video"):
        bind(labels, table, by="name", frame_of=parse_frame_file_name)
    with pytest.raises(
        AnnotationError, match=r"has the pts \d+, but frame 3 of the video has 99; it is another video"
    ):
        other = table_of(pts=[*table.pts[:3], 99, *table.pts[4:]])
        bind(labels, other, by="name", frame_of=parse_frame_file_name, name="day 1/a.mp4")
    with pytest.raises(AnnotationError, match=r"nothing says which frame .*_f000003_p\d+.png' is"):
        bind(labels, table, by="name", frame_of={names[0]: 1})
    with pytest.raises(
        AnnotationError, match=r"nothing says which frame 'a.png' is: 'a.png' is no frame's file name"
    ):
        bind(with_video(squares(1), file_names=("a.png",)), table, by="name", frame_of=parse_frame_file_name)
    with pytest.raises(AnnotationError, match=r"two labelled frames became frame 1 of the video"):
        bind(labels, table, by="name", frame_of=dict.fromkeys(names, 1))
    with pytest.raises(AnnotationError, match=r"by='name' needs the names of the labelled pictures"):
        bind(squares(1), table, by="name", frame_of={})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": "name"}, ValueError, "frame_of goes with by='name'"),
        ({"frame_of": {}}, ValueError, "frame_of goes with by='name'"),
        (
            {"by": "pts", "start": 1},
            ValueError,
            "start, stride and first_frame go with by='index', got by='pts'",
        ),
        ({"by": "time"}, ValueError, "by must be 'index', 'pts' or 'name', got 'time'"),
        ({"scale": 0}, ValueError, "scale must be positive and finite, got 0"),
        ({"scale": float("nan")}, ValueError, "scale must be positive and finite, got nan"),
        ({"video_id": "other"}, KeyError, "no video 'other'"),
        ({"content_hash": "cd"}, AnnotationError, "made on a video with the hash ab, this one has cd"),
        (
            {"stride": 10},
            AnnotationError,
            r"2 labelled frames do not exist in the video, which has frames 0 to 19: index 2",
        ),
        ({"start": 1}, AnnotationError, "number 0 lies before start=1"),
        (
            {"scale": 2.0},
            AnnotationError,
            "made at 16x12 pixels, times 2.0 about 32x24, and the video has 16x12",
        ),
    ],
)
def test_wrong_bindings(options, error, message):
    labels = with_video(squares(4), content_hash="ab")
    with pytest.raises(error, match=message):
        bind(labels, table_of(), **options)


def test_sizes_and_several_videos():
    with pytest.raises(
        AnnotationError, match=r"made at 16x12 pixels, and the video has 10x9; give scale=, for example 0.625"
    ):
        bind(squares(1), table_of(size=(10, 9)))
    both = concatenate([squares(1, video_id="a"), squares(2, video_id="b")])
    with pytest.raises(
        AnnotationError, match=r"the labels have 2 videos; give video_id=, one of \['a', 'b'\]"
    ):
        bind(both, table_of())
    assert len(bind(both, table_of(), video_id="b")) == 4


def test_scale_moves_boxes_and_masks():
    """PETS: labelled at 768x576, coded at 480x360."""
    row = ObjectRow("clip", 0, 1, 1, (499.0, 158.0, 530.0, 233.0))
    bound = bind(annotations_of(row, size=(768, 576)), table_of(size=(480, 360)), scale=0.625)
    assert bound.boxes_xyxy.tolist() == [[311.875, 98.75, 331.25, 145.625]]
    mask = np.zeros((6, 8), bool)
    mask[1:3, 2:5] = True
    labels = annotations_of(ObjectRow("clip", 0, 1, 1, mask=Rle.from_mask(mask)))
    double = bind(labels, table_of(size=(16, 12)), scale=2.0)
    np.testing.assert_array_equal(double.masks[0].to_mask(), np.kron(mask, np.ones((2, 2))) > 0)
    assert bind(double, table_of(size=(8, 6)), scale=0.5).masks[0] == labels.masks[0]
    wide = bind(labels, table_of(size=(16, 6)), scale=(2.0, 1.0))
    assert wide.masks[0].area == 12


def test_a_real_clip(tmp_path, data_dir):
    """chair.mp4 has a mask for each frame, named by its index; a drawn clip is another video."""
    labels = read_masks(data_dir / "seq/chair_masks.zip")
    bound = bind(labels, frames_of(data_dir / "seq/chair.mp4"), name="chair.mp4")
    assert len(bound.videos[0].frame_index) == bound.videos[0].frame_count == 60
    path = draw_clip(tmp_path / "a.mp4", seconds=1.0, seed=1, size=(320, 180))
    with pytest.raises(AnnotationError, match="720x480 pixels, and the video has 320x180"):
        bind(labels, frames_of(path))


def frames_of(path):
    with open_video(path) as video:
        for _ in video:
            pass
        return video.table()
