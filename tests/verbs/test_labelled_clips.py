"""Labelled clips: maps against a plain painter, every data set's layout, real clips, the cache."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.labelled import IGNORE_ID
from evfr._core.masks import Rle
from evfr.annotations import read
from evfr.errors import AnnotationError, VideoError
from evfr.verbs._labelled_clips import ClipCounts, labelled_clips, read_label_file
from evfr.verbs._labelled_clips_maps import draw_map, map_rule
from evfr.verbs._labelled_clips_pictures import PictureReaders
from evfr.verbs.split import Split
from evfr.video import content_hash, frames
from helpers.clips import moving_square, write_clip
from helpers.labelled_scene import CLASSES, FRAMES, LAYOUTS, SIZE, picture, scene, truth_map

OPTIONS = {
    "classes": None,
    "on_boxes": "fail",
    "others": "background",
    "components": False,
    "least_pixels": 1,
}


def quiet(_counts: ClipCounts) -> None:
    """Say nothing of losses."""


def one_frame(*rows: ObjectRow, size: tuple[int, int] = (8, 6)) -> VideoAnnotations:
    categories = [Category(1, "car"), Category(2, "person"), Category(3, "void")]
    return VideoAnnotations.build([AnnotatedVideo("v", *size, np.array([0]))], categories, rows)


def block(x0: int, y0: int, x1: int, y1: int, category: int = 1, **fields: object) -> ObjectRow:
    return ObjectRow("v", 0, category, mask=Rle.from_box((x0, y0, x1, y1), 6, 8), **fields)  # type: ignore[arg-type]


def drawn(labels: VideoAnnotations, width: int = 8, height: int = 6, **options: object):
    rule = map_rule(labels, width=width, height=height, **{**OPTIONS, **options})  # type: ignore[arg-type]
    return draw_map(labels, labels.videos[0], 0, rule)


def painted(labels: VideoAnnotations, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint whole masks one over the other, then take the nearest pixels: classes + 1, and objects by row + 1."""
    video = labels.videos[0]
    owner = np.zeros((video.height, video.width), int)
    order = sorted(range(len(labels)), key=lambda row: (not labels.is_crowd[row], -labels.masks[row].area))
    for row in order:
        owner[labels.masks[row].to_mask()] = row + 1
    rows = (2 * np.arange(height) + 1) * video.height // (2 * height)
    columns = (2 * np.arange(width) + 1) * video.width // (2 * width)
    owner = owner[rows[:, None], columns]
    classes = np.concatenate([[0], np.where(labels.is_crowd, IGNORE_ID, labels.category_id)])
    return classes[owner], owner


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 24), height=st.integers(1, 20))
def test_maps_equal_a_plain_painter(seed, width, height):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(rng.integers(0, 6)):
        mask = rng.random((11, 13)) < rng.random() ** 2
        rows.append(
            ObjectRow("v", 0, int(rng.integers(1, 3)), mask=Rle.from_mask(mask), is_crowd=rng.random() < 0.2)
        )
    labels = one_frame(*rows, size=(13, 11))
    found = drawn(labels, width, height)
    classes, owner = painted(labels, width, height)
    lookup = np.array([0, *(1 + number for number in found.category), *[0] * (255 - found.objects)])
    lookup[IGNORE_ID] = IGNORE_ID
    np.testing.assert_array_equal(lookup[found.ids], classes)
    # Each id is one object, and each object one id.
    pairs = {
        pair for pair in zip(found.ids.ravel().tolist(), owner.ravel().tolist(), strict=True) if classes.size
    }
    objects = {pair for pair in pairs if pair[0] not in (0, IGNORE_ID)}
    assert len({number for number, _ in objects}) == len({row for _, row in objects}) == found.objects
    shown = {row - 1 for _, row in objects}
    hidden = [r for r in range(len(labels)) if not labels.is_crowd[r] and r not in shown]
    assert found.vanished + found.covered + found.empty == len(hidden)
    assert found.empty == sum(labels.masks[row].is_empty for row in hidden)


def test_small_objects_are_on_top_and_numbered_last():
    found = drawn(one_frame(block(1, 1, 3, 3, 2), block(0, 0, 6, 6)))
    assert found.category == (0, 1)
    assert found.ids[1:3, 1:3].tolist() == [[2, 2], [2, 2]]
    assert (found.ids == 1).sum() == 32


def test_crowds_and_void_lie_below_objects():
    crowd = block(0, 0, 8, 6, is_crowd=True)
    void = block(6, 0, 8, 6, 3, is_crowd=True)
    found = drawn(one_frame(block(0, 0, 2, 2), crowd, void))
    assert found.category == (0,)
    assert (found.ids == IGNORE_ID).sum() == 44
    assert (found.ids == 1).sum() == 4
    alone = drawn(one_frame(block(0, 0, 2, 2), void))
    assert (alone.ids == IGNORE_ID).sum() == 12
    assert alone.others == 0


@pytest.mark.parametrize(("others", "value"), [("background", 0), ("ignore", IGNORE_ID)])
def test_other_classes_and_ignored_objects(others, value):
    labels = one_frame(
        block(0, 0, 2, 2), block(4, 0, 8, 2, 2), block(0, 4, 2, 6, attributes={"ignored": True})
    )
    found = drawn(labels, classes=("car",), others=others)
    assert (found.ids[0, 0], found.ids[0, 5], found.ids[5, 0]) == (1, value, value)
    assert (found.objects, found.others) == (1, 2)
    reordered = drawn(labels, classes=("person", "car"))
    assert sorted(reordered.category) == [0, 1]
    assert reordered.category[reordered.ids[0, 5] - 1] == 0


def test_boxes_are_filled_if_asked():
    labels = one_frame(ObjectRow("v", 0, 1, box_xyxy=(1.0, 1.0, 3.4, 2.6)))
    with pytest.raises(
        AnnotationError, match=r"v frame 0: an object has a box and no mask; give on_boxes='fill'"
    ):
        drawn(labels)
    ids = drawn(labels, on_boxes="fill").ids
    assert np.argwhere(ids).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    with pytest.raises(AnnotationError, match=r"v frame 0: an object has neither mask nor box; leave it out"):
        drawn(one_frame(ObjectRow("v", 0, 1)), on_boxes="fill")
    outside = drawn(one_frame(ObjectRow("v", 0, 1, box_xyxy=(20.0, 0.0, 30.0, 5.0))), on_boxes="fill")
    assert (outside.objects, outside.empty) == (0, 1)


def test_parts_are_objects_if_asked():
    mask = np.zeros((6, 8), bool)
    mask[0, 0] = mask[1, 1] = True  # they touch at a corner
    mask[4:, 5:] = True
    labels = one_frame(ObjectRow("v", 0, 2, mask=Rle.from_mask(mask)))
    assert drawn(labels).objects == 1
    parts = drawn(labels, components=True)
    assert parts.category == (1, 1)
    assert [(parts.ids == number).sum() for number in (1, 2)] == [6, 2]


def test_what_is_lost_is_counted():
    # At 4 x 3 the pixels under the centres are those at odd places.
    corner, tiny, thin, below = block(0, 0, 1, 1), block(1, 1, 2, 2), block(5, 0, 6, 6), block(7, 3, 8, 4)
    above = replace(below, category_id=2)
    found = drawn(one_frame(block(2, 2, 8, 6), corner, tiny, thin, below, above), 4, 3, least_pixels=2)
    assert (found.vanished, found.covered, found.small, found.objects) == (1, 1, 2, 2)
    assert found.ids.tolist() == [[255, 0, 2, 0], [0, 1, 2, 255], [0, 1, 2, 1]]
    counts = ClipCounts("v", 3, 10, vanished=2, covered=1, small=4, others=5, empty=6)
    assert counts.lost == 7
    assert str(counts) == (
        "v: 10 objects on 3 frames; 2 vanished by resizing, 1 are covered by smaller ones, 4 are too small and "
        "ignored, 5 are not to be learnt"
    )
    assert str(ClipCounts("v", 1, 2)) == "v: 2 objects on 1 frames"


def test_small_ones_are_ignored():
    labels = one_frame(block(0, 0, 1, 1), block(3, 0, 8, 6))
    assert drawn(labels).objects == 2
    found = drawn(labels, least_pixels=2)
    assert (found.objects, found.small) == (1, 1)
    assert found.ids[0, 0] == IGNORE_ID


def test_more_objects_than_a_map_holds():
    def speckled(count: int) -> VideoAnnotations:
        mask = np.zeros((64, 64), bool)
        mask[::2, ::2] = np.arange(32 * 32).reshape(32, 32) < count
        return one_frame(ObjectRow("v", 0, 1, mask=Rle.from_mask(mask)), size=(64, 64))

    assert drawn(speckled(254), 64, 64, components=True).objects == 254
    with pytest.raises(
        AnnotationError, match=r"v frame 0: 255 objects can be seen, a map holds 254; leave small"
    ):
        drawn(speckled(255), 64, 64, components=True)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"width": 0}, ValueError, r"width and height must be 1 or more, got 0 and 6"),
        ({"on_boxes": "x"}, ValueError, r"on_boxes must be fail or fill, got 'x'"),
        ({"others": "x"}, ValueError, r"others must be background or ignore, got 'x'"),
        ({"least_pixels": 0}, ValueError, r"least_pixels must be 1 or more, got 0"),
        ({"classes": "car"}, ValueError, r"classes must be a list of different names, got 'car'"),
        ({"classes": ("car", "car")}, ValueError, r"classes must be a list of different names"),
        (
            {"classes": ("bus",)},
            AnnotationError,
            r"the labels have no class 'bus'; they have \['car', 'person'\]",
        ),
        ({"classes": ()}, AnnotationError, r"there must be 1 to 254 classes, got 0"),
    ],
)
def test_options_out_of_range(options, error, match):
    with pytest.raises(error, match=match):
        drawn(one_frame(), **{"width": 8, **options})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_clips(tmp_path, layout):
    videos, labels = LAYOUTS[layout](tmp_path)
    classes = None if layout == "davis" else CLASSES
    clips = labelled_clips(videos, labels, width=16, height=12, classes=classes, on_boxes="fill")
    wanted = [(video, frame) for video in ("a", "b") for frame in range(FRAMES)]
    seen = [(clip, place) for clip in clips for place in range(len(clip))]
    assert len(seen) == len(wanted)
    assert [int(clip.frame_index[place]) for clip, place in seen] == (
        [0] * len(wanted) if layout == "coco stills" else [frame for _, frame in wanted]
    )
    for (clip, place), (video, frame) in zip(seen, wanted, strict=True):
        expected = cv2.resize(picture(video, frame), (16, 12), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(clip.images[place], expected)
        truth = truth_map(video, frame)[1::2, 1::2]
        found = clip.label_map(place)
        np.testing.assert_array_equal(
            found > 0 if layout == "davis" else found, truth > 0 if layout == "davis" else truth
        )
        assert len(clip.objects(place)) == 2


def test_frames_of_some_videos(tmp_path):
    videos, labels = LAYOUTS["evfr"](tmp_path)
    clips = labelled_clips(videos, labels, width=8, height=6, frames={"b": [2, 0]})
    assert [(clip.video_id, clip.frame_index.tolist()) for clip in clips] == [("b", [0, 2])]
    by_folder = labelled_clips(videos, labels, width=8, height=6, frames={str(videos[0] / "b"): [1]})
    assert by_folder[0].frame_index.tolist() == [1]
    for wanted, match in (
        ({"c": [0]}, r"frames: 'c' names 0 of the labelled videos that are given \(a, b\)"),
        ({"a": [0, 7]}, r"frames: frame 7 of 'a' has no labels \(1 of 2 have none\)"),
        ({}, r"no labelled frame is wanted of the videos that are given"),
        ({"a": [0], str(videos[0] / "a"): [1]}, r"or one that was named before"),
    ):
        with pytest.raises(AnnotationError, match=match):
            labelled_clips(videos, labels, width=8, height=6, frames=wanted)


def test_one_video_needs_no_name(tmp_path):
    path = write_clip(tmp_path / "any.mp4", moving_square(4, size=SIZE))
    labels = scene().of_video("a")
    clip = labelled_clips([path], labels, width=32, height=24)[0]
    assert clip.video_id == "a"
    pictures = np.stack([frame.image for frame in frames(path)][:FRAMES])
    np.testing.assert_array_equal(clip.images, pictures)
    assert repr(clip) == "LabelledClip('a', 3 frames of 32x24, 2 classes)"


def test_videos_and_labels_that_do_not_fit(tmp_path):
    path = write_clip(tmp_path / "a.mp4", moving_square(2, size=SIZE))
    labels = scene()
    with pytest.raises(
        AnnotationError, match=r"'a': frame 2 is labelled|a: frame 2 is labelled, but .*a.mp4 ends before"
    ):
        labelled_clips([path], labels, width=8, height=6)
    wrong = write_clip(tmp_path / "c.mp4", moving_square(2, size=SIZE))
    with pytest.raises(AnnotationError, match=r"c.mp4: no video of the labels has this name; they have a, b"):
        labelled_clips([path, wrong], labels, width=8, height=6)
    square = write_clip(tmp_path / "square.mp4", moving_square(3, size=(64, 64)))
    with pytest.raises(
        AnnotationError, match=r"a frame 0: the labels are for 32x24, the picture is 64x64, of another"
    ):
        labelled_clips([square], labels.of_video("a"), width=8, height=6)
    half = write_clip(tmp_path / "half.mp4", moving_square(3, size=(64, 48)))
    assert labelled_clips([half], labels.of_video("a"), width=8, height=6)[0].images.shape == (3, 6, 8, 3)
    (tmp_path / "x").mkdir()
    other = write_clip(tmp_path / "x/a.mp4", moving_square(3, size=SIZE))
    with pytest.raises(
        AnnotationError, match=r"'a' of the labels could be .*a.mp4 or .*a.mp4; give one of them"
    ):
        labelled_clips([path, other], labels, width=8, height=6)
    named = replace(
        labels, videos=(replace(labels.videos[0], video_id="p/a"), replace(labels.videos[1], video_id="q/a"))
    )
    with pytest.raises(
        AnnotationError, match=r"a.mp4 could be 'p/a' or 'q/a' of the labels; rename one of them"
    ):
        labelled_clips([path], named, width=8, height=6)
    hashed = replace(labels, videos=(replace(labels.videos[0], content_hash="ab"), labels.videos[1]))
    with pytest.raises(
        AnnotationError, match=r"'a': the labels were made on a video with the hash ab, .*give the labelled"
    ):
        labelled_clips([other], hashed.of_video("a"), width=8, height=6)
    right = replace(
        labels, videos=(replace(labels.videos[0], content_hash=content_hash(other)), labels.videos[1])
    )
    assert len(labelled_clips([other], right.of_video("a"), width=8, height=6)[0]) == 3
    with pytest.raises(VideoError, match="E_NOT_FOUND"):
        labelled_clips([tmp_path / "none.mp4"], labels.of_video("a"), width=8, height=6)


def test_frames_that_do_not_decode(tmp_path, monkeypatch):
    from evfr.video import _file_reader

    path = write_clip(tmp_path / "a.mp4", moving_square(3, size=SIZE))
    real = _file_reader.FileReader._pass

    def damaged(self):
        for frame in real(self):
            if frame.frame_index != 1:
                yield frame

    monkeypatch.setattr(_file_reader.FileReader, "_pass", damaged)
    with pytest.raises(
        AnnotationError, match=r"a: frame 1 is labelled, but does not decode cleanly; leave it out with"
    ):
        labelled_clips([path], scene().of_video("a"), width=8, height=6)
    assert len(labelled_clips([path], scene().of_video("a"), width=8, height=6, frames={"a": [0, 2]})[0]) == 2


def test_pictures_in_several_folders_of_a_zip(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for frame in range(FRAMES):
            for folder, pixels in (("images", picture("a", frame)), ("masks", truth_map("a", frame))):
                sink = io.BytesIO()
                Image.fromarray(pixels).save(sink, format="PNG")
                archive.writestr(f"{folder}/{frame:05d}.png", sink.getvalue())
    labels = scene().of_video("a")
    with pytest.raises(
        AnnotationError, match=r"pictures lie in 2 folders \['images', 'masks'\] below '.', .*pictures="
    ):
        labelled_clips([path], labels, width=32, height=24)
    clip = labelled_clips([path], labels, width=32, height=24, pictures="images")[0]
    np.testing.assert_array_equal(clip.images[2], picture("a", 2))
    with pytest.raises(AnnotationError, match=r"pictures lie in 0 folders \[\] below 'x'"):
        labelled_clips([path], labels, width=32, height=24, pictures="x")


def test_images_that_are_not_there(tmp_path):
    videos, labels = LAYOUTS["ytvis"](tmp_path)
    (videos[0] / "b/00002.png").unlink()
    with pytest.raises(AnnotationError, match=r"has no image b/00002.png, which the labels of 'b' name"):
        labelled_clips(videos, labels, width=8, height=6)
    nameless = scene()
    with pytest.raises(AnnotationError, match=r"frame 2 of 'b' is labelled, but there are 2 images"):
        labelled_clips(videos, nameless, width=8, height=6)


def test_a_folder_may_hold_more_than_is_labelled(tmp_path):
    videos, labels = LAYOUTS["evfr"](tmp_path)
    assert [clip.video_id for clip in labelled_clips(videos, labels.of_video("b"), width=8, height=6)] == [
        "b"
    ]


def test_losses_are_told():
    from evfr.verbs._labelled_clips import warn_of_losses

    with pytest.warns(UserWarning, match=r"v: 1 objects on 1 frames; 2 vanished by resizing"):
        warn_of_losses(ClipCounts("v", 1, 1, vanished=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_losses(ClipCounts("v", 1, 1, others=2, empty=1))


def test_label_files_and_their_options(tmp_path):
    path = tmp_path / "labels.parquet"
    from evfr.annotations import write

    write(scene(), path, format="evfr")
    assert read_label_file(path).equals(scene())
    with pytest.raises(ValueError, match=r"label_options go with a label file"):
        read_label_file(scene(), label_options={"start": 1})
    with pytest.raises(ValueError, match=r"the reader of 'evfr' has no option 'start'"):
        read_label_file(path, "evfr", {"start": 1})
    (tmp_path / "map.json").write_text('{"thing": ["car", "person"]}')
    joined = read_label_file(path, category_map=tmp_path / "map.json")
    assert [item.name for item in joined.categories] == ["thing"]
    assert read_label_file(path, category_map="by-name").categories == scene().categories
    (tmp_path / "map.json").write_text('{"thing": ["bus"]}')
    with pytest.raises(AnnotationError, match=r"no class is named 'bus'"):
        read_label_file(path, category_map=tmp_path / "map.json")


class TestCache:
    """What is kept is what would be made, and it is made once."""

    def clips(self, folder: Path, **options: object):
        videos = [folder / "videos"]
        return labelled_clips(
            videos,
            self.labels,
            cache=folder / "cache",
            **{"width": 8, "height": 6, "tell": quiet, **options},  # type: ignore[arg-type]
        )

    @pytest.fixture(autouse=True)
    def laid_out(self, tmp_path):
        _, self.labels = LAYOUTS["evfr"](tmp_path)

    def kept(self, folder: Path) -> set[str]:
        return {path.name for path in (folder / "cache").glob("*.npz")}

    def test_it_is_decoded_once(self, tmp_path, monkeypatch):
        counts: list[ClipCounts] = []
        plain = labelled_clips([tmp_path / "videos"], self.labels, width=8, height=6, tell=counts.append)
        self.clips(tmp_path, frames={"a": [1]})
        assert len(self.kept(tmp_path)) == 1
        first = self.clips(tmp_path)

        def refuse(*_args):
            raise AssertionError("decoded again")

        monkeypatch.setattr(PictureReaders, "pictures", refuse)
        again_counts: list[ClipCounts] = []
        for clips in (first, self.clips(tmp_path, tell=again_counts.append)):
            for one, other in zip(clips, plain, strict=True):
                for name in ("images", "ids", "category", "frame_index"):
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                assert (one.video_id, one.classes) == (other.video_id, other.classes)
        assert again_counts == counts
        part = self.clips(tmp_path, frames={"b": [0, 2]})
        np.testing.assert_array_equal(part[0].images, plain[1].images[[0, 2]])

    @pytest.mark.parametrize(
        "options",
        [
            {"width": 9},
            {"height": 5},
            {"classes": ("person", "car")},
            {"others": "ignore"},
            {"on_boxes": "fill"},
            {"components": True},
            {"least_pixels": 3},
        ],
    )
    def test_other_options_are_another_entry(self, tmp_path, options):
        self.clips(tmp_path)
        before = self.kept(tmp_path)
        self.clips(tmp_path, **options)
        assert len(self.kept(tmp_path) - before) == 2

    @pytest.mark.parametrize("what", ["mask", "class", "crowd", "frames", "ignored", "picture", "name"])
    def test_other_content_is_another_entry(self, tmp_path, what):
        self.clips(tmp_path)
        before = self.kept(tmp_path)
        rows = list(self.labels.objects())
        videos = list(self.labels.videos)
        if what == "mask":
            rows[0] = replace(rows[0], mask=Rle.from_box((0, 0, 2, 2), 24, 32))
        elif what == "class":
            rows[0] = replace(rows[0], category_id=2)
        elif what == "crowd":
            rows[0] = replace(rows[0], is_crowd=True)
        elif what == "ignored":
            rows[0] = replace(rows[0], attributes={"ignored": True})
        elif what == "frames":
            rows = [row for row in rows if (row.video_id, row.frame_index) != ("a", 0)]
            videos[0] = replace(videos[0], frame_index=[1, 2], pts=videos[0].pts[1:])
        elif what == "name":
            videos[0] = replace(videos[0], video_id="videos/a")
            rows = [
                replace(row, video_id=f"videos/{row.video_id}" if row.video_id == "a" else "b")
                for row in rows
            ]
        else:
            Image.fromarray(picture("b", 0)).save(tmp_path / "videos/a/00001.png")
        self.labels = VideoAnnotations.build(videos, self.labels.categories, rows)
        self.clips(tmp_path)
        assert len(self.kept(tmp_path) - before) == 1

    def test_a_damaged_entry_is_made_anew(self, tmp_path):
        first = self.clips(tmp_path)
        for path in (tmp_path / "cache").glob("*.npz"):
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
        again = self.clips(tmp_path)
        np.testing.assert_array_equal(again[0].images, first[0].images)
        path = next((tmp_path / "cache").glob("*.npz"))
        data = bytearray(path.read_bytes())
        data[400] ^= 1
        path.write_bytes(data)
        np.testing.assert_array_equal(self.clips(tmp_path)[0].images, first[0].images)


def png_of(path: Path, name: str) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        return np.asarray(Image.open(io.BytesIO(archive.read(name))))


def nearest(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    rows = (2 * np.arange(height) + 1) * pixels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * pixels.shape[1] // (2 * width)
    return pixels[rows[:, None], columns]


def test_highway(data_dir):
    """Frame i of the film is picture i + 1 of the truth, read here by Pillow alone."""
    path = data_dir / "research/highway_gt.zip"
    labels = read(path, format="cdnet", first=614, last=617, category="vehicle")
    clip = labelled_clips([data_dir / "research/highway_asp.avi"], labels, width=160, height=120)[0]
    assert clip.frame_index.tolist() == [613, 614, 615, 616]
    assert clip.classes == ("vehicle",)
    for place, frame in enumerate(clip.frame_index.tolist()):
        truth = nearest(png_of(path, f"gt{frame + 1:06d}.png"), 160, 120)
        np.testing.assert_array_equal(clip.ids[place] == 1, truth == 255)
        np.testing.assert_array_equal(clip.ids[place] == IGNORE_ID, (truth == 85) | (truth == 170))
    parts = labelled_clips(
        [data_dir / "research/highway_asp.avi"],
        labels,
        width=160,
        height=120,
        components=True,
        least_pixels=8,
    )[0]
    np.testing.assert_array_equal((parts.ids == 0), (clip.ids == 0))
    assert max(len(parts.objects(place)) for place in range(4)) >= 3


def test_traffic_and_chair(data_dir):
    labels = read(data_dir / "research/traffic_gt.zip", format="cdnet", start=950, last=953)
    clip = labelled_clips([data_dir / "research/traffic_mjpeg.avi"], labels, width=320, height=240)[0]
    assert clip.frame_index.tolist() == [0, 1, 2, 3]
    truth = png_of(data_dir / "research/traffic_gt.zip", "gt000952.png")
    np.testing.assert_array_equal(clip.ids[2] == 1, truth == 255)
    chair = labelled_clips(
        [data_dir / "seq/chair.mp4"],
        data_dir / "seq/chair_masks.zip",
        label_format="masks",
        width=90,
        height=60,
        frames={"chair_masks": [0, 9]},
    )[0]
    truth = nearest(png_of(data_dir / "seq/chair_masks.zip", "00009.png"), 90, 60)
    np.testing.assert_array_equal(chair.ids[1], truth)


def test_pets_and_flies(data_dir):
    """Boxes at another size than the film: 768 x 576 of 480 x 360."""
    labels = read(data_dir / "research/pets_gt.txt", format="mot", width=768, height=576, length=795)
    counts: list[ClipCounts] = []
    clip = labelled_clips(
        [data_dir / "research/pets_vtest_h264.avi"],
        labels,
        width=192,
        height=144,
        classes=("pedestrian",),
        on_boxes="fill",
        frames={"pets_gt": [0, 2]},
        tell=counts.append,
    )[0]
    lines = (data_dir / "research/pets_gt.txt").read_text().splitlines()
    rows = [[float(value) for value in line.split(",")] for line in lines if line.startswith("1,")]
    expected = np.zeros((144, 192), bool)
    centres = 4 * np.arange(192) + 2
    for _, _, left, top, across, down, flag, *_ in rows:
        if flag:
            x = [math.floor(value - 1 + 0.5) for value in (left, left + across)]
            y = [math.floor(value - 1 + 0.5) for value in (top, top + down)]
            expected |= (
                ((centres[:144] >= y[0]) & (centres[:144] < y[1]))[:, None]
                & (centres >= x[0])
                & (centres < x[1])
            )
    np.testing.assert_array_equal(clip.ids[0] > 0, expected)
    assert counts[0].frames == 2
    assert clip.ids[0][expected].all()
    flies = labelled_clips(
        [data_dir / "video/flies_clip.mp4"],
        data_dir / "video/flies_clip_gt.txt",
        label_format="mot",
        label_options={"width": 1024, "height": 1024, "length": 1500},
        width=64,
        height=64,
        on_boxes="fill",
        frames={"flies_clip_gt": [0]},
    )[0]
    assert len(flies.objects(0)) == 2


OTHERS = (
    "blackswan",
    "car-roundabout",
    "car-shadow",
    "horsejump-high",
    "kite-surf",
    "libby",
    "paragliding-launch",
    "scooter-black",
)


@pytest.mark.parametrize("name", ["dog", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_davis(data_dir, name):
    path = data_dir / f"seq/davis_{name}.zip"
    labels = read(path, format="masks", folder="masks", numbers=(0, 3))
    clip = labelled_clips([path], labels, width=107, height=60, pictures="images")[0]
    truth = nearest(png_of(path, "masks/00002.png"), 107, 60)
    np.testing.assert_array_equal(clip.ids[2] == 1, truth == 255)


@pytest.mark.slow
def test_all_of_highway(data_dir, tmp_path):
    """The halves that experiments use: 760 frames to learn from, 429 to judge on, 40 between them on neither side."""
    labels = read(data_dir / "research/highway_gt.zip", format="cdnet", last=1699, category="vehicle")
    halves = Split({"highway_gt": ((470, 1229),)}, {"highway_gt": ((1270, 1698),)}, by="time", buffer="40f")
    halves.check_leak_free()
    sides = {
        side: labelled_clips(
            [data_dir / "research/highway_asp.avi"],
            labels,
            width=128,
            height=96,
            components=True,
            frames=halves.frames(labels, side),
            cache=tmp_path,
            tell=quiet,
        )[0]
        for side in ("train", "val")
    }
    assert [len(clip) for clip in sides.values()] == [760, 429]
    assert len(list(tmp_path.glob("*.npz"))) == 1
    assert not set(sides["train"].frame_index.tolist()) & set(sides["val"].frame_index.tolist())
    vehicles = sum(len(clip.objects(place)) for clip in sides.values() for place in range(0, len(clip), 50))
    assert vehicles > 24


def test_camvid(data_dir, tmp_path):
    small = tmp_path / "camvid.zip"
    with zipfile.ZipFile(data_dir / "research/camvid.zip") as whole, zipfile.ZipFile(small, "w") as part:
        for stem in ("0006R0_f00930", "0006R0_f00960", "0016E5_07959"):
            for member in (f"images/{stem}.jpg", f"labels/{stem}.png"):
                part.writestr(member, whole.read(member))
    clips = labelled_clips([small], small, width=96, height=72, tell=quiet)
    assert [(clip.video_id, clip.frame_index.tolist()) for clip in clips] == [
        ("0006R0", [930, 960]),
        ("0016E5", [7959]),
    ]
    truth = nearest(png_of(small, "labels/0016E5_07959.png"), 96, 72)
    np.testing.assert_array_equal(clips[1].label_map(0), np.where(truth == 11, 255, truth + 1))
    with Image.open(io.BytesIO(zipfile.ZipFile(small).read("images/0006R0_f00960.jpg"))) as image:
        expected = cv2.resize(np.asarray(image.convert("RGB")), (96, 72), interpolation=cv2.INTER_AREA)
    assert np.abs(clips[0].images[1].astype(int) - expected).max() <= 2
