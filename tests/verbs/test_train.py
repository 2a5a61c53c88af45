"""`evfr train covos`: labelled clips in, a decoder that `covos` takes out; the same call again goes on."""

from __future__ import annotations

import numpy as np
import pytest

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr.annotations import write
from evfr.errors import AnnotationError, InputError
from evfr.models import covos_network
from evfr.verbs.train import train
from helpers.clips import write_clip
from helpers.coded import moving_square

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

OPTIONS = {"iterations": 4, "model_options": {"batch_size": 2, "crop": 8, "crops_per_frame": 1}}


def labels_of(masks, frames=range(5), video_id="square.mp4", size=None, boxes_only=False):
    height, width = size or masks.shape[1:]
    video = AnnotatedVideo(video_id, width, height, np.array(list(frames), np.int64))
    rows = [
        ObjectRow(
            video_id,
            int(t),
            track_id=1,
            category_id=1,
            box_xyxy=(1.0, 1.0, 9.0, 9.0) if boxes_only else None,
            mask=None
            if boxes_only
            else Rle.from_mask(masks[t])
            if size is None
            else Rle.from_mask(np.ones(size)),
        )
        for t in frames
    ]
    return VideoAnnotations.build([video], [Category(1, "square")], rows)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Return a clip of five frames, its label file and its masks."""
    frames, masks = moving_square()
    folder = tmp_path_factory.mktemp("train")
    path = write_clip(folder / "square.mp4", frames, options={"crf": "12"})
    return path, write(labels_of(masks), folder / "labels.parquet", format="evfr"), masks


def test_it_trains_writes_and_goes_on(clip, tmp_path):
    path, labels, _ = clip
    torch.set_num_threads(1)
    result = train("covos", [path], labels=labels, out=tmp_path, **OPTIONS)
    assert result.iterations == 4
    assert result.resumed_at == 0
    assert result.sample_count == 3
    assert result.to_dict()["files"] == [
        str(tmp_path / n) for n in ("decoder.safetensors", "features.safetensors")
    ]
    assert "4 iterations on 3 samples" in str(result)
    network = covos_network(result.files[0], features=result.files[1])
    assert network.features(np.zeros((8, 8, 3), np.uint8)).shape == (2, 2, 256)
    before = [p.read_bytes() for p in result.files]
    again = train("covos", [path], labels=labels, out=tmp_path, **OPTIONS)
    assert again.resumed_at == 4
    assert [p.read_bytes() for p in again.files] == before
    # From the stored samples alone the weights are made again, byte for byte.
    (tmp_path / "checkpoint.safetensors").unlink()
    anew = train("covos", [path], labels=labels, out=tmp_path, **OPTIONS)
    assert [p.read_bytes() for p in anew.files] == before


def test_wrong_arguments(clip, tmp_path):
    path, labels, _ = clip
    with pytest.raises(ValueError, match=r"model must be one of tiny, maskrcnn, .*seq-maskrcnn, got 'yolo'"):
        train("yolo", [path], labels=labels, out=tmp_path)
    with pytest.raises(ValueError, match="give at least one video"):
        train("covos", [], labels=labels, out=tmp_path)
    with pytest.raises(ValueError, match="covos has no option 'depth'; it has batch_size"):
        train("covos", [path], labels=labels, out=tmp_path, model_options={"depth": 3})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: labels_of(m, video_id="other.mp4"), r"0 videos of the labels are called square\.mp4"),
        (lambda m: labels_of(m, frames=(0, 2, 4)), "no 3 consecutive frames are labelled"),
        (lambda m: labels_of(m, boxes_only=True), r"square\.mp4 frame 0: track 1 has no mask"),
        (lambda m: labels_of(m, size=(20, 30)), "the mask is 30x20, the frame 80x48"),
        (
            lambda m: labels_of(np.concatenate([m, m]), frames=range(7)),
            r"only 5 of square\.mp4 frames 0\.\.6 decode",
        ),
    ],
)
def test_labels_that_do_not_fit(clip, tmp_path, make, message):
    path, _, masks = clip
    labels = write(make(masks), tmp_path / "labels.parquet", format="evfr")
    with pytest.raises(AnnotationError, match=message):
        train("covos", [path], labels=labels, out=tmp_path / "out", **OPTIONS)


def test_too_many_tracks_and_nothing_to_learn(clip, tmp_path):
    path, _, masks = clip
    video = AnnotatedVideo("square.mp4", 80, 48, np.arange(5))
    many = [
        ObjectRow("square.mp4", t, track_id=k, category_id=1, mask=Rle.from_mask(masks[t]))
        for t in range(5)
        for k in range(11)
    ]
    categories = [Category(1, "square")]
    labels = write(
        VideoAnnotations.build([video], categories, many), tmp_path / "many.parquet", format="evfr"
    )
    with pytest.raises(AnnotationError, match="11 tracks, but the decoder takes 10"):
        train("covos", [path], labels=labels, out=tmp_path / "a", **OPTIONS)
    none = write(VideoAnnotations.build([video], categories, []), tmp_path / "none.parquet", format="evfr")
    with pytest.raises(InputError, match="nothing to train on: no B picture has an object"):
        train("covos", [path], labels=none, out=tmp_path / "b", **OPTIONS)
