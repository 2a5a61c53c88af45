"""One contract for all that learns from labelled clips."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from evfr._core.labelled import FrameObjects, LabelledClip
from evfr.augmentation import Augmentation
from evfr.errors import InputError
from evfr.training import LEARNERS, Recipe
from helpers.learner_clips import CLASSES, SMALL, saved, squares

pytest.importorskip("torchvision")

CHANGED = Augmentation(jitter="standard", flip=0.5, copy_paste=0.5)
# A second fit of the largest network is worth seconds of its own.
LESS = [pytest.param(name, marks=pytest.mark.slow) if name == "maskrcnn" else name for name in LEARNERS]
RECIPE = Recipe(iterations=2, learning_rate=1e-3, optimizer="sgd", seed=3, checkpoint_every=1)


def augmentation(name):
    return Augmentation() if name == "svm" else CHANGED


def fit(name, clips, recipe=RECIPE, **more):
    more.setdefault("augmentation", augmentation(name))
    return LEARNERS[name].fit(clips, recipe=recipe, **SMALL[name], **more)


@pytest.fixture(scope="module")
def clips():
    return [squares(), squares("b", 2, seed=1)]


@pytest.fixture(scope="module")
def fitted(clips):
    """Return a function that fits each learner once."""
    known = {}

    def get(name):
        if name not in known:
            known[name] = fit(name, clips)
        return known[name]

    return get


@pytest.fixture(params=LEARNERS)
def name(request):
    return request.param


def test_every_learner_is_small_in_these_tests():
    assert set(SMALL) == set(LEARNERS)


def test_naming_learners_imports_no_torch():
    code = (
        "import sys; from evfr.training import LEARNERS; "
        "print(len(LEARNERS), [m for m in ('torch', 'torchvision', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{len(LEARNERS)} []\n"


def test_it_trains_as_long_as_it_is_told(name, fitted):
    _, run = fitted(name)
    assert run.loss.shape == run.learning_rate.shape == (2,)
    assert np.isfinite(run.loss).all()
    assert run.resumed_at == 0
    # Visits of any two frames differ by 1 at most, whatever is learnt in between.
    assert run.visits is not None
    assert run.visits[1] - run.visits[0] <= 1


def test_it_predicts_what_its_kind_says(name, fitted, clips):
    learner = LEARNERS[name]
    images = clips[1].images
    found = learner.predict(fitted(name)[0], images)
    if learner.kind == "pixels":
        assert found.shape == (2, 48, 64)
        assert found.dtype == np.uint8
        assert found.max() <= len(CLASSES)
        return
    assert len(found) == 2
    for frame in (*found, *learner.predict(fitted(name)[0], images, least_score=0.0)):
        assert isinstance(frame, FrameObjects)
        assert (np.diff(frame.score) <= 0).all()
        assert ((frame.score >= 0) & (frame.score <= 1)).all()
        assert ((frame.category >= 0) & (frame.category < len(CLASSES))).all()
        assert (frame.boxes_xyxy >= 0).all()
        assert (frame.boxes_xyxy <= [64, 48, 64, 48]).all()
        assert (frame.boxes_xyxy[:, 2:] >= frame.boxes_xyxy[:, :2]).all()
        assert not frame.is_crowd.any()
        assert {(m.height, m.width) for m in frame.masks} <= {(48, 64)}


def test_no_picture_is_no_answer(name, fitted):
    assert len(LEARNERS[name].predict(fitted(name)[0], np.zeros((0, 48, 64, 3), np.uint8))) == 0


def everything(learner, model, images):
    """Return a model's predictions, even those it hardly believes, as comparable values."""
    if learner.kind == "pixels":
        return learner.predict(model, images).tolist()
    found = learner.predict(model, images, least_score=0.0)
    return [
        (f.category.tolist(), f.boxes_xyxy.tolist(), f.score.tolist(), [m.counts.tolist() for m in f.masks])
        for f in found
    ]


def test_a_loaded_model_predicts_the_same(name, fitted, clips, tmp_path):
    learner, (model, _) = LEARNERS[name], fitted(name)
    learner.save(model, tmp_path / "model.safetensors")
    loaded = learner.load(tmp_path / "model.safetensors", device="cpu")
    assert loaded.classes == CLASSES
    wanted = everything(learner, model, clips[0].images)
    assert any(np.size(part) for part in wanted[0])
    assert everything(learner, loaded, clips[0].images) == wanted


@pytest.mark.parametrize("which", LESS)
def test_same_seed_same_weights_also_in_two_parts(which, fitted, clips, tmp_path):
    learner = LEARNERS[which]
    whole = saved(learner, fitted(which)[0], tmp_path / "whole.safetensors")
    _, first = fit(which, clips, out=tmp_path / "run", stop_after=1)
    assert len(first.loss) == 1
    model, run = fit(which, clips, out=tmp_path / "run")
    assert run.resumed_at == 1
    assert run.loss.tolist() == fitted(which)[1].loss.tolist()
    parts = saved(learner, model, tmp_path / "parts.safetensors")
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[key], parts[key], equal_nan=True) for key in whole)


@pytest.mark.parametrize("which", LESS)
def test_another_seed_gives_other_weights(which, fitted, clips, tmp_path):
    learner = LEARNERS[which]
    one = saved(learner, fitted(which)[0], tmp_path / "one.safetensors")
    recipe = Recipe(iterations=1, learning_rate=1e-3, optimizer="sgd", seed=4)
    other = saved(learner, fit(which, clips, recipe)[0], tmp_path / "other.safetensors")
    assert any(not np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("which", LESS)
def test_copies_are_frames_to_visit(which):
    std = np.full((1, 48, 64, 3), 5.0, np.float32)
    _, run = fit(which, [squares(frames=1, noise_std=std, copies=7)])
    assert np.isfinite(run.loss).all()
    if which != "svm":  # which visits blocks
        assert run.visits == (0, 1)  # of 7 things to visit, 4 were


def renamed(clip):
    return LabelledClip(clip.video_id, clip.frame_index, clip.images, clip.ids, clip.category, ("x", "y"))


def test_clips_that_cannot_be_learnt(name, clips):
    with pytest.raises(ValueError, match=r"there is no labelled (frame|pixel) to learn from"):
        fit(name, [])
    with pytest.raises(ValueError, match="clips must share size and classes, got "):
        fit(name, [clips[0], renamed(clips[1])])


def test_pictures_that_are_none(name, fitted):
    with pytest.raises(ValueError, match=r"images must be \(F, H, W, 3\) uint8, got \(1, 8, 8, 3\) float32"):
        LEARNERS[name].predict(fitted(name)[0], np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"images must be \(F, H, W, 3\) uint8, got .*8, 3\) uint8"):
        LEARNERS[name].predict(fitted(name)[0], np.zeros((8, 8, 3), np.uint8))


def test_files_that_are_none(name, fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match=r"model\.safetensors"):
        LEARNERS[name].load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"model\.safetensors is no "):
        LEARNERS[name].load(path)
    other = "unet" if name in ("tiny", "maskrcnn", "svm") else "tiny"
    LEARNERS[other].save(fitted(other)[0], path)
    with pytest.raises(InputError, match=r"model\.safetensors is no "):
        LEARNERS[name].load(path)


def test_what_cannot_change_says_why(clips):
    with pytest.raises(ValueError, match=r"fits a fixed set of pixels.*augmentation must be the identity"):
        fit("svm", clips, augmentation=CHANGED)
