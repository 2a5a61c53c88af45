"""`evfr train` for what learns from labelled frames one by one: which frames, what is written, what is refused."""

from __future__ import annotations

import inspect
import sys

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evfr import cli
from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.selection import SELECTION_SCHEMA, Selection
from evfr._core.signature import read_signature
from evfr.annotations import write
from evfr.errors import AnnotationError, InputError, MissingExtraError, SelectionFileError
from evfr.training import LEARNERS
from evfr.verbs.train import TRAINERS, train
from helpers.learner_clips import CLASSES, SMALL, squares

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

OWN = {
    name: {"channels" if key == "width" else key: value for key, value in options.items()}
    for name, options in SMALL.items()
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder with two folders of images and their labels: five frames each, with two objects."""
    folder = tmp_path_factory.mktemp("squares")
    videos, rows = [], []
    for name, seed in (("a", 0), ("b", 1)):
        clip = squares(name, 5, seed)
        (folder / name).mkdir()
        for t, image in enumerate(clip.images):
            cv2.imwrite(str(folder / name / f"{t:03d}.png"), image[..., ::-1])
            for k in (1, 2):
                mask = Rle.from_mask(clip.ids[t] == k)
                rows.append(ObjectRow(name, t, track_id=k, category_id=k, mask=mask))
        videos.append(AnnotatedVideo(name, 64, 48, np.arange(5)))
    categories = [Category(k + 1, name) for k, name in enumerate(CLASSES)]
    labels = VideoAnnotations.build(videos, categories, rows)
    write(labels, folder / "labels.parquet", format="evfr")
    return folder


def run(data, out, model="tiny", iterations=2, seed=0, **options):
    torch.set_num_threads(1)
    return train(
        model,
        [data / "a", data / "b"],
        labels=data / "labels.parquet",
        out=out,
        iterations=iterations,
        seed=seed,
        model_options={**OWN[model], **options},
    )


def test_every_learner_can_be_trained_by_the_verb():
    assert set(LEARNERS) <= set(TRAINERS)
    assert set(TRAINERS) - set(LEARNERS) == {"covos", "seq-maskrcnn"}


def test_common_options_are_the_same_for_all():
    shared = ("width", "height", "frames", "split", "classes", "category_map", "on_boxes", "device")
    changing = ("jitter", "flip", "copy_paste", "precision")
    family = cli.METHODS["train"]
    specs = {name: {spec.name: spec for spec in cli.read_method_options(family, name)} for name in LEARNERS}
    for option in (*shared, *changing):
        told = [
            (spec[option].default, spec[option].help, spec[option].choices)
            for name, spec in specs.items()
            if name != "svm" or option in shared
        ]
        assert told == [told[0]] * len(told)
    assert not set(changing) & set(specs["svm"])


@pytest.mark.parametrize("name", LEARNERS)
def test_own_options_have_the_defaults_of_the_learner(name):
    fit = inspect.signature(LEARNERS[name].fit).parameters
    verb = {
        spec.name: spec.default
        for spec in read_signature(TRAINERS[name], skip=("clips", "recipe", "out")).parameters
    }
    for option, parameter in fit.items():
        if option in ("clips", "recipe", "augmentation", "device", "out", "stop_after"):
            continue
        # A network's width beside a picture's would be two options of one name.
        assert verb["channels" if option == "width" else option] == parameter.default


def test_it_trains_writes_and_goes_on(data, tmp_path):
    result = run(data, tmp_path)
    assert (result.iterations, result.resumed_at, result.sample_count) == (2, 0, 10)
    assert result.visits == (0, 1)
    assert result.notes == ()
    assert "tiny: 2 iterations on 10 samples, each seen 0 to 1 times, loss " in str(result)
    assert result.to_dict()["visits"] == [0, 1]
    assert tmp_path / "weights.safetensors" in result.files
    assert pq.read_table(tmp_path / "log.parquet").column_names[:3] == ["iteration", "loss", "learning_rate"]
    model = LEARNERS["tiny"].load(tmp_path / "weights.safetensors")
    assert model.classes == CLASSES
    before = (tmp_path / "weights.safetensors").read_bytes()
    assert run(data, tmp_path).resumed_at == 2
    assert (tmp_path / "weights.safetensors").read_bytes() == before
    with pytest.raises(InputError, match="has a checkpoint of a run with other videos, images or options"):
        run(data, tmp_path, jitter="large")


@pytest.mark.parametrize("model", ["unet", "svm", pytest.param("maskrcnn", marks=pytest.mark.slow)])
def test_the_others_train_too(data, tmp_path, model):
    result = run(data, tmp_path, model, width=32, height=24)
    assert np.isfinite(result.last_loss)
    found = LEARNERS[model].load(tmp_path / "weights.safetensors")
    assert found.classes == CLASSES
    assert len(LEARNERS[model].predict(found, np.zeros((2, 24, 32, 3), np.uint8))) == 2


def frames_of(monkeypatch, data, tmp_path, **options):
    """Return the frames that the learner would be given."""
    from evfr.verbs import _train_learner

    seen = {}

    def digest(clip):
        seen[clip.video_id] = (clip.frame_index.tolist(), clip.images.shape[1:3], clip.classes)
        return ""

    monkeypatch.setattr(_train_learner, "_digest", digest)
    run(data, tmp_path / "out", iterations=1, **options)
    return seen


def test_a_plot_is_drawn_if_asked(data, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    given = {"labels": data / "labels.parquet", "iterations": 1, "model_options": OWN["svm"], "plot": True}
    result = train("svm", [data / "a"], out=tmp_path / "a", **given)
    assert result.files[-1] == tmp_path / "a" / "log.png"
    assert result.files[-1].read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib is not installed; run: .*evfr\[plot\]"):
        train("svm", [data / "a"], out=tmp_path / "b", **given)
    assert not (tmp_path / "b").exists()


def test_a_split_gives_its_side_train(monkeypatch, data, tmp_path):
    from evfr.verbs.split import Split

    Split({"a": ((1, 2), (4, 4))}, {"b": ((0, 4),)}).write(tmp_path / "split.json")
    seen = frames_of(monkeypatch, data, tmp_path, split=tmp_path / "split.json")
    assert seen == {"a": ([1, 2, 4], (48, 64), CLASSES)}


def test_a_selection_gives_its_frames(monkeypatch, data, tmp_path):
    row = {
        "video_id": str(data / "b"),
        "pts": None,
        "time_base_num": 1,
        "time_base_den": 25,
        "time_seconds": 0.0,
        "luma_hash": 1,
        "weight": 1.0,
        "inclusion_probability": 1.0,
        "reason": "uniform",
        "gain": None,
    }
    rows = [{**row, "frame_index": frame, "rank": rank} for rank, frame in enumerate((1, 3))]
    name = str(data / "b")
    entry = {"video_id": name, "path": name, "kind": "folder", "hash": "00", "status": "ok"}
    manifest = {"format": "evfr-selection", "schema": 1, "inputs": [entry], "parameters": {}, "problems": []}
    Selection(pa.Table.from_pylist(rows, schema=SELECTION_SCHEMA), manifest).save(tmp_path / "selection")
    seen = frames_of(monkeypatch, data, tmp_path, frames=tmp_path / "selection")
    assert seen == {"b": ([1, 3], (48, 64), CLASSES)}
    with pytest.raises(SelectionFileError, match="does not exist"):
        run(data, tmp_path / "x", frames=tmp_path / "none")


def test_size_and_classes_are_as_asked(monkeypatch, data, tmp_path):
    seen = frames_of(monkeypatch, data, tmp_path, width=32, height=32, classes=("dark",))
    assert seen == {name: ([0, 1, 2, 3, 4], (32, 32), ("dark",)) for name in ("a", "b")}


def test_objects_that_vanish_are_told(data, tmp_path):
    clip = squares("a", 5)
    rows = [
        ObjectRow("a", t, track_id=k, category_id=1, mask=Rle.from_mask(mask))
        for t in range(5)
        for k, mask in enumerate((clip.ids[t] == 1, np.arange(48 * 64).reshape(48, 64) == 65))
    ]
    labels = VideoAnnotations.build([AnnotatedVideo("a", 64, 48, np.arange(5))], [Category(1, "x")], rows)
    path = write(labels, tmp_path / "labels.parquet", format="evfr")
    result = train(
        *("tiny", [data / "a"]),
        labels=path,
        out=tmp_path / "out",
        iterations=1,
        model_options={**OWN["tiny"], "width": 16, "height": 12},
    )
    assert result.notes == ("a: 5 objects on 5 frames; 5 vanished by resizing",)
    assert str(result).endswith("\na: 5 objects on 5 frames; 5 vanished by resizing")


def test_choices_that_cannot_be_meant(data, tmp_path):
    with pytest.raises(ValueError, match="give width and height, or neither, got 32 and None"):
        run(data, tmp_path, width=32)
    with pytest.raises(ValueError, match="give frames or split, not both"):
        run(data, tmp_path, frames=tmp_path, split=tmp_path)
    with pytest.raises(ValueError, match="flip must be a probability"):
        run(data, tmp_path, flip=2.0)
    with pytest.raises(ValueError, match="tiny has no option 'depth'; it has width, height, frames"):
        run(data, tmp_path, depth=3)
    labels = VideoAnnotations.build(
        [AnnotatedVideo("a", 64, 48, np.arange(5)), AnnotatedVideo("c", 32, 48, np.arange(5))],
        [Category(1, "x")],
        [],
    )
    path = write(labels, tmp_path / "labels.parquet", format="evfr")
    with pytest.raises(
        InputError, match=r"the labels are of 2 sizes \(32x48, 64x48\), .*: give width and height"
    ):
        train("tiny", [data / "a"], labels=path, out=tmp_path / "out", model_options=OWN["tiny"])
    with pytest.raises(AnnotationError, match="no video of the labels has this name"):
        train(
            *("tiny", [data / "a", data]),
            labels=write(labels.of_video("c"), tmp_path / "c.parquet", format="evfr"),
            out=tmp_path / "out",
            model_options={**OWN["tiny"], "width": 32, "height": 32},
        )
