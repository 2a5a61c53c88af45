"""DAVIS and plain mask folders: round trips, the real ones, and names that do not fit."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, concatenate
from evfr._core.masks import Rle
from evfr.annotations import FORMATS, read
from evfr.annotations._davis import read_davis, write_davis
from evfr.annotations._masks import read_masks, write_masks
from evfr.annotations._palette import DAVIS_PALETTE
from evfr.errors import AnnotationError
from evfr.video import parse_frame_file_name
from helpers.labels import annotations_of, assert_equal_labels, canonical, label_sets, squares

PICTURES = {
    "keeps": FORMATS["davis"].keeps,
    "overlapping": False,
    "untracked": False,
    "lowest_track": 1,
    "every_object": "mask",
    "empty_masks": False,
}
QUIET = [HealthCheck.function_scoped_fixture]


def png(array, palette=False, mode=None):
    image = Image.fromarray(np.asarray(array), mode=mode) if mode else Image.fromarray(np.asarray(array))
    if palette:
        image.putpalette(DAVIS_PALETTE.tobytes())
    sink = io.BytesIO()
    image.save(sink, format="PNG")
    return sink.getvalue()


def folder_of(tmp_path, **files):
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path


def grey(*values, shape=(4, 6)):
    """A picture whose first pixels are ``values``."""
    picture = np.zeros(shape, np.uint8)
    picture.reshape(-1)[: len(values)] = values
    return picture


@settings(max_examples=20, deadline=None, suppress_health_check=QUIET)
@given(st.data(), st.integers(1, 6), st.integers(0, 3), st.integers(0, 9), st.booleans())
def test_davis_comes_back(tmp_path_factory, data, stride, first, start, is_zip):
    labels = data.draw(label_sets(stride=stride, **PICTURES))
    moved = annotations_shifted(labels, first)
    path = tmp_path_factory.mktemp("davis") / ("a.zip" if is_zip else "a")
    options = {"start": start, "stride": stride, "first_frame": first}
    assert write_davis(moved, path, **options) == path
    assert_equal_labels(canonical(read_davis(path, **options)), canonical(moved))
    assert_equal_labels(read(path, format="auto", **options), read_davis(path, **options))


def annotations_shifted(labels, first):
    videos = tuple(replace(v, frame_index=v.frame_index + first) for v in labels.videos)
    return replace(labels, videos=videos, frame_index=labels.frame_index + first)


@settings(max_examples=20, deadline=None, suppress_health_check=QUIET)
@given(st.data(), st.integers(1, 6), st.integers(0, 1000), st.booleans())
def test_mask_folders_come_back(tmp_path_factory, data, stride, start, is_zip):
    labels = data.draw(label_sets(stride=stride, **PICTURES | {"lowest_track": 1 if is_zip else 300}))
    path = tmp_path_factory.mktemp("masks") / ("a.zip" if is_zip else "a")
    options = {"start": start, "stride": stride, "pattern": "{video}/m_{frame:04d}.png"}
    write_masks(labels, path, **options)
    assert_equal_labels(canonical(read_masks(path, values="tracks", **options)), canonical(labels))


def test_davis_layout_and_palette(tmp_path):
    write_davis(squares(3, step=5), tmp_path / "out", resolution="Full-Resolution")
    names = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.png"))
    assert names == [f"Annotations/Full-Resolution/clip/{n:05d}.png" for n in (0, 5, 10)]
    with Image.open(tmp_path / "out" / names[0]) as image:
        assert image.mode == "P"
        assert image.getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
        assert set(np.unique(np.asarray(image))) == {0, 1, 2}


def test_davis_from_any_folder_on_the_way(tmp_path):
    write_davis(squares(2), tmp_path / "out")
    whole = read_davis(tmp_path / "out")
    for below in ("Annotations", "Annotations/480p"):
        assert_equal_labels(read_davis(tmp_path / "out" / below), whole)
    assert_equal_labels(read_davis(tmp_path / "out/Annotations/480p/clip"), whole)
    assert read_davis(tmp_path / "out/Annotations/480p/clip", video_id="x").videos[0].video_id == "x"
    write_davis(squares(2), tmp_path / "two", resolution="1080p")
    (tmp_path / "two/Annotations/1080p").rename(tmp_path / "out/Annotations/1080p")
    with pytest.raises(
        AnnotationError,
        match=r"masks of several resolutions; give resolution=, one of 480p, 1080p|1080p, 480p",
    ):
        read_davis(tmp_path / "out")
    assert_equal_labels(read_davis(tmp_path / "out", resolution="1080p"), whole)
    with pytest.raises(AnnotationError, match=r"has no masks of the resolution '720p'; it has 1080p, 480p"):
        read_davis(tmp_path / "out", resolution="720p")
    with pytest.raises(
        AnnotationError, match=r"has no folder Annotations, so resolution='480p' says nothing"
    ):
        read_davis(tmp_path / "out/Annotations/480p/clip", resolution="480p")


def test_davis_void(tmp_path):
    folder_of(tmp_path, **{"a/00000.png": png(grey(1, 255, 255), palette=True)})
    labels = read_davis(tmp_path)
    assert [c.name for c in labels.categories] == ["object", "void"]
    one, void = labels.objects()
    assert (one.track_id, one.category_id, one.is_crowd) == (1, 1, False)
    assert (void.track_id, void.category_id, void.is_crowd, void.mask.area) == (NO_TRACK, 255, True, 2)
    write_davis(labels, tmp_path / "b")
    assert_equal_labels(read_davis(tmp_path / "b"), labels)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/00000.png": png(grey(255))}, r"a/00000.png is grey and has pixels of 255"),
        (
            {"a/00000.png": png(np.full((4, 6), 256, np.uint16))},
            "has the value 256; DAVIS holds tracks 1 to 254",
        ),
        (
            {"a/00000.png": png(np.zeros((4, 6, 3), np.uint8))},
            "is a picture of kind RGB; labels need one value",
        ),
        ({"a/x0.png": png(grey())}, r"the name 'x0.png' does not fit pattern="),
        (
            {"a/0.png": png(grey()), "a/00.png": png(grey())},
            "'0.png' and '00.png' both stand for frame 0|'00.png' and '0.png'",
        ),
        (
            {"a/0.png": png(grey()), "a/1.png": png(grey(shape=(5, 6)))},
            "1.png has 6x5 pixels, but the labels before have 6x4",
        ),
        ({"a/0.png": png(grey())[:40]}, "is no readable picture"),
        ({"a/0.png": b"GIF"}, "is no readable picture"),
        ({"a/0.jpg": b""}, "has no .png file"),
    ],
)
def test_wrong_davis(tmp_path, files, message):
    with pytest.raises(AnnotationError, match=message):
        read_davis(folder_of(tmp_path, **files))


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (12_000, "claims 12000x12000 pixels, more than 134217728"),
        (60_000, "is no readable picture: .*exceeds limit"),
    ],
)
def test_a_picture_that_claims_too_much(tmp_path, side, message):
    """A header with a right checksum, and next to no pixels behind it."""
    data = bytearray(png(grey()))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(AnnotationError, match=message):
        read_davis(folder_of(tmp_path, **{"a/0.png": bytes(data)}))


def test_a_picture_that_is_cut_off(tmp_path):
    data = png(np.random.default_rng(0).integers(0, 3, (80, 80)).astype(np.uint8))
    with pytest.raises(AnnotationError, match=r"a/0.png is cut off or broken"):
        read_davis(folder_of(tmp_path, **{"a/0.png": data[: len(data) // 2]}))


def overlapping():
    small, large = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    small[2:4, 2:4] = True
    large[1:5, 1:5] = True
    rows = [
        ObjectRow("clip", 0, 1, 3, mask=Rle.from_mask(large)),
        ObjectRow("clip", 0, 1, 7, mask=Rle.from_mask(small)),
    ]
    return annotations_of(*rows), small, large


def test_overlap_needs_a_word(tmp_path):
    labels, small, large = overlapping()
    with pytest.raises(AnnotationError, match=r"video 'clip', frame 0: tracks 3 and 7 overlap in 4 pixels"):
        write_davis(labels, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == []
    for priority, front in (("low", 3), ("high", 7), ("small", 7)):
        write_davis(labels, tmp_path / priority, priority=priority)
        masks = {r.track_id: r.mask.to_mask() for r in read_davis(tmp_path / priority).objects()}
        if front == 7:
            np.testing.assert_array_equal(masks[7], small)
            np.testing.assert_array_equal(masks[3], large & ~small)
        else:
            np.testing.assert_array_equal(masks[3], large)
            assert 7 not in masks  # covered as a whole
    with pytest.raises(ValueError, match=r"priority must be 'low', 'high', 'small' or None, got 'first'"):
        write_davis(labels, tmp_path / "x", priority="first")


def test_what_pictures_cannot_hold(tmp_path):
    box = annotations_of(ObjectRow("clip", 0, 1, 1, (0.0, 0.0, 1.0, 1.0)))
    for writer in (write_davis, write_masks):
        with pytest.raises(AnnotationError, match=r"track 1 has a box and no mask"):
            writer(box, tmp_path / "a")
    for track in (0, 255, NO_TRACK):
        labels = annotations_of(ObjectRow("clip", 0, 1, track, mask=Rle.empty(6, 8)))
        with pytest.raises(AnnotationError, match=f"DAVIS holds tracks 1 to 254, got {track}"):
            write_davis(labels, tmp_path / "a")
    labels = annotations_of(ObjectRow("clip", 0, 1, 70_000, mask=Rle.empty(6, 8)))
    with pytest.raises(AnnotationError, match=r"a picture holds tracks 1 to 65535, got 70000"):
        write_masks(labels, tmp_path / "a")
    with pytest.raises(AnnotationError, match=r"frame 3 has no number: numbered are 0, 2, ..."):
        write_davis(annotations_of(frames=[0, 3]), tmp_path / "a", stride=2)
    with pytest.raises(AnnotationError, match=r"no file name for the number -1; give a higher start="):
        write_davis(annotations_of(frames=[0]), tmp_path / "a", start=-1)
    with pytest.raises(AnnotationError, match=r"leads out of its folder"):
        write_davis(annotations_of(frames=[0], video_id="../../x"), tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(AnnotationError, match=r"is there and not empty"):
        write_davis(squares(1), tmp_path / "full")
    assert write_davis(squares(1), tmp_path / "full/y").is_dir()
    with pytest.raises(AnnotationError, match=r"2 objects, and a binary mask holds one"):
        write_masks(squares(1), tmp_path / "b", values="binary")
    with pytest.raises(
        ValueError, match=r"values must be 'binary', 'tracks' or 'categories' and foreground 1 or 255"
    ):
        write_masks(squares(1), tmp_path / "b", foreground=2)
    two = annotations_of(frames=[0])
    both = concatenate([two, annotations_of(frames=[0], video_id="b")])
    with pytest.raises(AnnotationError, match=r"labels of 2 videos need {video} in pattern="):
        write_masks(both, tmp_path / "b", pattern="{frame}.png")


def test_binary_and_class_masks(tmp_path):
    mask = Rle.from_mask(np.eye(6, 8))
    labels = annotations_of(
        ObjectRow("clip", 1, 4, 1, mask=mask), frames=[0, 1], categories=(Category(4, "cat"),)
    )
    for foreground in (1, 255):
        path = write_masks(labels, tmp_path / str(foreground), values="binary", foreground=foreground)
        back = read_masks(path, video_id="clip", category="cat")
        assert back.masks == (mask,)
        assert back.videos[0].frame_index.tolist() == [0, 1]
        assert back.categories == (Category(1, "cat"),)
    path = write_masks(labels, tmp_path / "c", values="categories")
    back = read_masks(path, values={0: None, 4: "cat"}, video_id="clip")
    assert back.categories == (Category(4, "cat"),)
    assert (back.track_id.tolist(), back.masks) == ([4], (mask,))


def test_values_are_what_was_said(tmp_path):
    folder_of(tmp_path, **{"00000.png": png(grey(1, 1)), "00001.png": png(grey(255))})
    with pytest.raises(
        AnnotationError, match=r"00001.png has pixels of 255; binary masks have 0 and 1 in all pictures"
    ):
        read_masks(tmp_path)
    folder_of(tmp_path, **{"00000.png": png(grey(3, 9)), "00001.png": png(grey())})
    with pytest.raises(AnnotationError, match=r"00000.png has pixels of 3; binary masks have 0 and 1 or 255"):
        read_masks(tmp_path)
    assert read_masks(tmp_path, values="tracks").track_id.tolist() == [3, 9]
    with pytest.raises(
        AnnotationError, match=r"has pixels of 9, which values= does not mention \(but \[0, 3\]\)"
    ):
        read_masks(tmp_path, values={0: None, 3: "a"})
    labels = read_masks(tmp_path, values={0: None, 3: "a"}, void=(9,))
    assert [(c.category_id, c.name) for c in labels.categories] == [(3, "a"), (255, "void")]
    assert labels.is_crowd.tolist() == [False, True]
    with pytest.raises(ValueError, match=r"the value 3 stands in both values and void"):
        read_masks(tmp_path, values={3: "a"}, void=(3,))
    with pytest.raises(ValueError, match=r"values must be 'binary', 'tracks' or a mapping"):
        read_masks(tmp_path, values="grey")
    with pytest.raises(ValueError, match=r"give parse or frames, not both"):
        read_masks(tmp_path, parse=len, frames=[])


def test_frames_by_name_and_never_by_guess(tmp_path):
    folder_of(tmp_path, **{"m/img_10.png": png(grey(1)), "m/img_9.png": png(grey(1)), "note.txt": b""})
    with pytest.raises(
        AnnotationError, match=r"the name 'm/img_9.png' does not fit pattern='{frame:05d}.png'"
    ):
        read_masks(tmp_path)
    labels = read_masks(tmp_path, folder="m", frames=["img_8.jpg", "img_9.jpg", "img_10.jpg"], video_id="v")
    assert labels.videos[0].frame_index.tolist() == [1, 2]
    labels = read_masks(tmp_path, folder="m", frames={"img_9.jpg": 40, "img_10.jpg": 7})
    assert labels.videos[0].frame_index.tolist() == [7, 40]
    with pytest.raises(AnnotationError, match=r"'img_9.png' is named like none of the 1 pictures"):
        read_masks(tmp_path, folder="m", frames=["img_10.jpg"])
    with pytest.raises(AnnotationError, match=r"two pictures of the video are named 'a'"):
        read_masks(tmp_path, folder="m", frames=["a.jpg", "a.png"])
    with pytest.raises(AnnotationError, match=r"has no file below 'n' that ends in '.png'"):
        read_masks(tmp_path, folder="n")
    with pytest.raises(AnnotationError, match=r"is no frame's file name.* give pattern= instead of parse="):
        read_masks(tmp_path, folder="m", parse=parse_frame_file_name)
    assert len(read_masks(tmp_path, folder="m", pattern="img_{frame}.png", numbers=(10, 99))) == 1
    folder_of(tmp_path, **{"e/cam.mp4_f000012_p480.png": png(grey(1))})
    labels = read_masks(tmp_path, folder="e", parse=parse_frame_file_name)
    assert (labels.videos[0].video_id, labels.frame_index.tolist()) == ("cam.mp4", [12])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a.png", "needs {frame} once"),
        ("{frame}{frame}.png", "needs {frame} once"),
        ("{video}{video}{frame}", "at most once"),
        ("{number}.png", "a pattern knows {frame}, {frame:06d} and {video}, got '{number}'"),
        ("{frame.png", "a pattern knows"),
    ],
)
def test_wrong_patterns(tmp_path, pattern, message):
    folder_of(tmp_path, **{"0.png": png(grey())})
    with pytest.raises(ValueError, match=message):
        read_masks(tmp_path, pattern=pattern)


def test_names_that_could_not_be_read_back(tmp_path):
    with pytest.raises(AnnotationError, match=r"could not be read back by '{video}{frame}.png'"):
        write_masks(annotations_of(frames=[0], video_id="cam1"), tmp_path / "a", pattern="{video}{frame}.png")
    for options in ({"stride": 0}, {"first_frame": -1}):
        with pytest.raises(ValueError, match=r"stride must be 1 or more and first_frame 0 or more"):
            read_davis(tmp_path, **options)


# The real ones.


@pytest.mark.parametrize("name", ["dog", "blackswan"])
def test_davis_2016_masks(data_dir, name):
    path = data_dir / f"seq/davis_{name}.zip"
    labels = read_masks(path, folder="masks")
    (video,) = labels.videos
    assert (video.width, video.height, video.video_id) == (854, 480, f"davis_{name}")
    assert video.frame_index.tolist() == list(range(len(video.frame_index)))
    assert len(labels) == len(video.frame_index) == {"dog": 60, "blackswan": 50}[name]
    with zipfile.ZipFile(path) as archive, Image.open(archive.open("masks/00007.png")) as image:
        np.testing.assert_array_equal(labels.masks_at(video.video_id, 7)[0], np.asarray(image) == 255)
    with pytest.raises(AnnotationError, match=r"is grey and has pixels of 255"):
        read_davis(path)


def test_chair_masks(data_dir):
    for labels in (
        read_davis(data_dir / "seq/chair_masks.zip"),
        read_masks(data_dir / "seq/chair_masks.zip"),
    ):
        assert (labels.videos[0].width, labels.videos[0].height) == (720, 480)
        assert labels.frame_index.tolist() == list(range(60))
        assert set(labels.track_id.tolist()) == {1}


@pytest.mark.parametrize(
    ("name", "start", "numbers", "n"),
    [pytest.param("highway", 1, (470, 1699), 1230, marks=pytest.mark.slow), ("traffic", 950, None, 101)],
)
def test_cdnet_masks(data_dir, name, start, numbers, n):
    """Frame i is gt%06d with i + start; 50 shadow, 85 outside, 170 unknown, 255 moving."""
    labels = read_masks(
        data_dir / f"research/{name}_gt.zip",
        pattern="gt{frame:06d}.png",
        start=start,
        numbers=numbers,
        values={0: None, 50: None, 255: "vehicle"},
        void=(85, 170),
        video_id=name,
    )
    index = labels.videos[0].frame_index
    assert len(index) == n
    assert index[0] == (469 if name == "highway" else 0)
    assert [c.name for c in labels.categories] == ["vehicle", "void"]
    assert set(labels.track_id[~labels.is_crowd].tolist()) == {255}


@pytest.mark.slow
def test_camvid_classes(data_dir):
    """Two sequences in one folder; the pictures are the video, so their names in natural order say the frame."""
    path = data_dir / "research/camvid.zip"
    names = (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "cyclist",
    )
    with zipfile.ZipFile(path) as archive:
        pictures = [n.removeprefix("images/") for n in archive.namelist() if n.startswith("images/")]
    labels = read_masks(path, folder="labels", frames=pictures, values=dict(enumerate(names)), void=(11,))
    assert len(labels.videos[0].frame_index) == 406
    assert [c.category_id for c in labels.categories] == [*range(11), 255]
    with zipfile.ZipFile(path) as archive, Image.open(archive.open("labels/0016E5_08640.png")) as image:
        truth = np.asarray(image)
    at = {
        r.category_id: r.mask.to_mask()
        for r in labels.objects()
        if r.frame_index == pictures.index("0016E5_08640.jpg")
    }
    for category, mask in at.items():
        np.testing.assert_array_equal(mask, truth == (11 if category == 255 else category))


def test_cholecseg_masks(data_dir):
    labels = read_masks(data_dir / "research/cholecseg20.zip", folder="masks", pattern="{frame:06d}.png")
    assert (len(labels.videos[0].frame_index), labels.videos[0].width) == (20, 640)
