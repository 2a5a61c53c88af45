"""`evfr train seq-maskrcnn`: sparse labels of videos, folders and zips, images for stage 1, a detector that opens."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations import write
from evfr.errors import AnnotationError, InputError
from evfr.models import open_detector
from evfr.verbs._train_frames import VideoFrames, labelled_images, labelled_videos
from evfr.verbs.train import train
from evfr.video import open_video
from helpers.clips import write_clip
from helpers.coded import moving_square

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

CLASSES = (Category(4, "square"), Category(9, "disc"))
TINY = {"backbone": "resnet18", "channels": 8, "size": (96, 64), "freeze": "backbone"}
OPTIONS = {"iterations": 1, "learning_rate": 1e-3}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_of(masks, frames, video_id, track=1, category=4, **changes):
    return [
        ObjectRow(
            video_id,
            int(t),
            **({"track_id": track, "category_id": category, "mask": Rle.from_mask(masks[i])} | changes),
        )
        for i, t in enumerate(frames)
    ]


def labels_of(masks, frames=(0, 2, 5), video_id="square.mp4", names=(), **changes):
    video = AnnotatedVideo(
        video_id, masks.shape[2], masks.shape[1], np.array(frames), file_names=tuple(names)
    )
    return VideoAnnotations.build([video], CLASSES, rows_of(masks[list(frames)], frames, video_id, **changes))


@pytest.fixture(scope="module")
def square():
    return moving_square(6)


@pytest.fixture(scope="module")
def clip(square, tmp_path_factory):
    """Return a video of six frames with labels on three of them, as a file and its YouTube-VIS labels."""
    frames, masks = square
    folder = tmp_path_factory.mktemp("seq")
    path = write_clip(folder / "square.mp4", frames, options={"crf": "8"})
    return path, write(labels_of(masks), folder / "labels.json", format="ytvis")


def image_set(
    folder, frames, masks, *, category="square", with_mask=True, crowd=False, names=("a.jpg", "b.jpg")
):
    """Write two images and COCO instances as the data set has them: no videos."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    data = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": category}, {"id": 2, "name": "never used"}],
    }
    height, width = masks.shape[1:]
    for number, name in enumerate(names, 1):
        if number < 3:
            cv2.imwrite(str(pictures / name), frames[number][..., ::-1])
        data["images"].append({"id": number, "file_name": name, "height": height, "width": width})
        box = Rle.from_mask(masks[number % 6]).box_xyxy
        entry = {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "area": 256,
            "iscrowd": int(crowd),
        }
        if with_mask:
            entry["segmentation"] = Rle.from_mask(masks[number % 6]).to_coco()
        data["annotations"].append(entry)
    (folder / "instances.json").write_text(json.dumps(data))
    return pictures, folder / "instances.json"


def test_both_stages_write_a_detector_and_go_on(clip, square, tmp_path):
    path, labels = clip
    pictures, image_labels = image_set(tmp_path / "images", *square)
    out = tmp_path / "out"
    own = {**TINY, "stage": "both", "images": pictures, "image_labels": image_labels, "stage1_iterations": 2}
    result = train("seq-maskrcnn", [path], labels=labels, out=out, model_options=own, **OPTIONS)
    assert result.iterations == 3
    assert result.sample_count == 3 + 2
    assert [p.name for p in result.files] == ["model.safetensors", "model.json"]
    note = json.loads((out / "model.json").read_text())
    assert note["categories"] == [{"id": 4, "name": "square"}, {"id": 9, "name": "disc"}]
    assert note["training"]["random_at_start"] == ["backbone.", "rpn.", "roi_heads.", "propagation."]
    assert {n: s["iterations"] for n, s in note["training"]["stages"].items()} == {"1": 2, "2": 1}
    detector = open_detector(out / "model.safetensors", kind="seq-maskrcnn")
    assert detector.categories == CLASSES
    frames, masks = square
    opened = detector.open_session()
    opened.add_key(0, frames[0], {1: masks[0]})
    assert opened.step(1, frames[1])[1].shape == (48, 80)
    before = [p.read_bytes() for p in result.files]
    again = train("seq-maskrcnn", [path], labels=labels, out=out, model_options=own, **OPTIONS)
    assert again.resumed_at == 3
    assert [p.read_bytes() for p in again.files] == before
    with pytest.raises(
        InputError, match=r"stage1 has a checkpoint of a run with other videos, images or options"
    ):
        train("seq-maskrcnn", [path], labels=labels, out=out, model_options={**own, "frames": 2}, **OPTIONS)


def test_sparse_frames_of_files_folders_and_zips_are_the_labelled_ones(clip, square, tmp_path):
    frames, masks = square
    folder = tmp_path / "square"
    folder.mkdir()
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{5 * t:05d}.png"), frame[..., ::-1])
    packed = tmp_path / "square.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    labels = labels_of(masks, video_id="square")
    named = labels_of(
        masks, (0, 1, 2), "square", ["square/00000.png", "square/00010.png", "square/00025.png"]
    )
    # Whoever numbers the labelled frames 0, 1, 2 says by name which images they are.
    named = replace(named, masks=labels.masks)
    with open_video(clip[0]) as reader:
        decoded = [frame.rgb() for frame in reader]
    for path in (clip[0], folder, packed):
        for given in (labels, named) if path != clip[0] else (labels,):
            read = VideoFrames(labelled_videos([path], given)[0], tmp_path / "kept" / path.name)
            assert len(read) == 3
            assert read.starts == (0, 1, 2)
            for place, t in enumerate((0, 2, 5)):
                picture = read.load(place)
                assert np.array_equal(picture.masks, masks[t][None])
                assert picture.category.tolist() == [0]
                assert picture.track_ids.tolist() == [1]
                assert np.array_equal(picture.image, decoded[t] if path == clip[0] else frames[t])
    # Frames of a video file are decoded once.
    kept = tmp_path / "kept" / "square.mp4"
    stamp = (kept / "000000002.png").stat().st_mtime_ns
    VideoFrames(labelled_videos([clip[0]], labels)[0], kept)
    assert (kept / "000000002.png").stat().st_mtime_ns == stamp
    # Other labels keep other frames, and none of the old ones stands among them.
    read = VideoFrames(labelled_videos([clip[0]], labels_of(masks, (1, 2), "square"))[0], kept)
    assert np.array_equal(read.load(0).image, decoded[1])
    assert np.array_equal(read.load(1).image, decoded[2])


def test_crowds_and_classes_that_videos_lack_are_hidden(square, tmp_path):
    frames, masks = square
    pictures, labels = image_set(tmp_path / "a", frames, masks)
    shown = labelled_images(pictures, labels, CLASSES)
    assert shown.starts == (0, 1)
    assert len(shown) == 2
    picture = shown.load(0)
    assert np.array_equal(picture.image, cv2.imread(str(pictures / "a.jpg"))[..., ::-1])
    assert np.array_equal(picture.masks[0], masks[1])
    shown.close()
    with pytest.raises(AnnotationError, match="no image has an object of the videos' classes"):
        labelled_images(*image_set(tmp_path / "b", frames, masks, crowd=True), CLASSES)
    other = image_set(tmp_path / "c", frames, masks, category="cat")
    with pytest.raises(AnnotationError, match=r"the class 'cat' \(1 in all\) is none of the videos' classes"):
        labelled_images(*other, CLASSES)
    with pytest.raises(AnnotationError, match="no image has an object of the videos' classes"):
        labelled_images(*other, CLASSES, other_classes="hide")
    (tmp_path / "map.json").write_text('{"disc": ["cat"]}')
    mapped = labelled_images(*other, CLASSES, category_map=str(tmp_path / "map.json"))
    assert mapped.load(1).category.tolist() == [1]
    # A crowd beside an object: hidden, not learnt.
    crowded = VideoAnnotations.build(
        [AnnotatedVideo("square.mp4", 80, 48, np.array([0, 2]))],
        CLASSES,
        [
            *rows_of(masks[[0, 2]], (0, 2), "square.mp4"),
            *rows_of(masks[[4]], (2,), "square.mp4", track=-1, is_crowd=True),
        ],
    )
    folder = tmp_path / "square.mp4"
    folder.mkdir()
    for t in range(3):
        cv2.imwrite(str(folder / f"{t}.png"), frames[t][..., ::-1])
    picture = VideoFrames(labelled_videos([folder], crowded)[0], tmp_path / "kept").load(1)
    assert len(picture.masks) == 1
    assert np.array_equal(picture.hidden, masks[4])


def test_images_that_do_not_fit(square, tmp_path):
    frames, masks = square
    with pytest.raises(AnnotationError, match=r"a\.jpg frame 0: an object has a box and no mask"):
        labelled_images(*image_set(tmp_path / "a", frames, masks, with_mask=False), CLASSES)
    with pytest.raises(AnnotationError, match=r"has no image gone\.jpg, which is labelled"):
        labelled_images(
            *image_set(tmp_path / "b", frames, masks, names=("a.jpg", "b.jpg", "gone.jpg")), CLASSES
        )
    pictures, labels = image_set(tmp_path / "c", frames, masks)
    film = write_clip(tmp_path / "film.mp4", frames)
    with pytest.raises(InputError, match="must be a folder or zip of images"):
        labelled_images(film, labels, CLASSES)
    cv2.imwrite(str(pictures / "a.jpg"), frames[0][:40])
    with pytest.raises(
        AnnotationError, match=r"a\.jpg frame 0: the labels are for 80x48, the picture is 80x40"
    ):
        labelled_images(pictures, labels, CLASSES).load(0)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"images": "pictures"}, "images need labels and labels need images, got images=pictures and"),
        ({"image_labels": "a.json"}, "images need labels and labels need images, got images=None"),
        ({"images": "pictures", "image_labels": "a.json"}, "images are used in stage 1 only"),
        ({"stage": "1"}, "stage '1' learns from images as well: give images and image_labels"),
        ({"stage": "both"}, "stage 'both' learns from images as well"),
        ({"stage": "3"}, "stage must be one of 1, 2, both, got '3'"),
        ({"freeze": "head"}, "freeze must be one of none, stem, backbone, got 'head'"),
        ({"background": "blur"}, "background must be keep or fill, got 'blur'"),
        ({"other_classes": "drop"}, "other_classes must be fail or hide, got 'drop'"),
        ({"memory_limit": 1}, "memory_every must be 1 or more, memory_limit 2 or more"),
    ],
)
def test_wrong_options(clip, tmp_path, own, message):
    with pytest.raises(ValueError, match=message):
        train("seq-maskrcnn", [clip[0]], labels=clip[1], out=tmp_path, model_options=own, **OPTIONS)
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: labels_of(m, video_id="other.mp4"), r"0 videos of the labels are called square\.mp4"),
        (
            lambda m: labels_of(m, frames=(2,)),
            r"square\.mp4: 1 labelled frames, but a sequence needs two or more",
        ),
        (
            lambda m: labels_of(m & False),
            r"square\.mp4: no labelled frame has an object; leave the video out",
        ),
        (
            lambda m: labels_of(m, mask=None, box_xyxy=(1.0, 1.0, 9.0, 9.0)),
            r"square\.mp4 frame 0: an object has a box and no mask",
        ),
        (lambda m: labels_of(m, track_id=-1), r"square\.mp4 frame 0: an object has no track"),
        (lambda m: labels_of(np.concatenate([m, m]), frames=(0, 9)), r"frame 9 is labelled, but only 1 of 2"),
        (
            lambda m: labels_of(m[:, :40]),
            r"square\.mp4 frame \d: the labels are for 80x40, the picture is 80x48",
        ),
    ],
)
def test_labels_that_do_not_fit(clip, square, tmp_path, make, message):
    labels = write(make(square[1]), tmp_path / "labels.parquet", format="evfr")
    with pytest.raises(AnnotationError, match=message):
        train("seq-maskrcnn", [clip[0]], labels=labels, out=tmp_path / "out", model_options=TINY, **OPTIONS)


def test_folders_that_do_not_have_the_labelled_images(square, tmp_path):
    frames, masks = square
    folder = tmp_path / "square"
    folder.mkdir()
    for t in range(3):
        cv2.imwrite(str(folder / f"{t}.png"), frames[t][..., ::-1])
    named = labels_of(masks, (0, 1), "square", ["square/2.png", "square/7.png"])
    with pytest.raises(AnnotationError, match=r"has no image 7\.png, which the labels of square name"):
        VideoFrames(labelled_videos([folder], named)[0], tmp_path / "kept")
    with pytest.raises(AnnotationError, match="frame 5 is labelled, but there are 3 images"):
        VideoFrames(labelled_videos([folder], labels_of(masks, video_id="square"))[0], tmp_path / "kept")
