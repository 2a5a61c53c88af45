"""Networks of pixels: what they are shown, what their loss counts, that they learn, go on exactly and are kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from evfr._core.labelled import IGNORE_ID, LabelledClip
from evfr._core.rng import generator
from evfr.augmentation import Augmentation
from evfr.errors import InputError
from evfr.training import (
    DeviceFrames,
    Recipe,
    fit_deep_unet,
    fit_unet,
    fit_vgg,
    load_segmentation,
    predict_segmentation,
    save_segmentation,
)
from evfr.training._segmentation_crops import crop_draw, pixel_loss
from helpers.drawn_pixels import coloured_clip, torchvision_features, truth_of, write_vgg
from helpers.tensors import save_state

torch = pytest.importorskip("torch")

FITS = {"unet": fit_unet, "deep-unet": fit_deep_unet, "vgg": fit_vgg}
NONE = Augmentation()


def draws(clips, augmentation=NONE, batch_size=4, crop=16, count=1, seed=0):
    """Return what the first iterations show: pictures (B, h, w, 3) and labels (B, h, w)."""
    recipe = Recipe(iterations=max(count, 1), seed=seed)
    draw = crop_draw(DeviceFrames(clips), augmentation, recipe, batch_size, crop)
    batches = [draw(generator(i), i) for i in range(count)]
    pictures = torch.cat([batch[0] for batch in batches]).permute(0, 2, 3, 1).numpy()
    return pictures, torch.cat([batch[1] for batch in batches]).numpy()


def placed_clip(height=24, width=40):
    """Return a clip whose pictures tell where a pixel is, and whose objects are its four quarters."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([y, x, 0 * x], axis=2).astype(np.uint8)
    ids = (1 + 2 * (y >= height // 2) + (x >= width // 2)).astype(np.uint8)
    ids[:3] = IGNORE_ID
    category = np.array([[2, 0, 1, 0]], np.int16)
    return LabelledClip("placed", np.array([0]), image[None], ids[None], category, ("a", "b", "c"))


def test_crops_are_cut_alike_from_pictures_and_labels_anywhere():
    clip = placed_clip()
    pictures, labels = draws([clip], count=60)
    assert pictures.shape == (240, 16, 16, 3)
    truth = clip.label_map(0)
    assert set(np.unique(truth)) == {1, 2, 3, IGNORE_ID}
    assert np.array_equal(truth[pictures[..., 0], pictures[..., 1]], labels)
    assert (np.diff(pictures[..., 0].astype(int), axis=1) == 1).all()
    assert (np.diff(pictures[..., 1].astype(int), axis=2) == 1).all()
    assert set(pictures[:, 0, 0, 0]) == set(range(24 - 16 + 1))
    assert set(pictures[:, 0, 0, 1]) == set(range(40 - 16 + 1))


def test_pictures_smaller_than_a_crop_are_taken_whole():
    clip = placed_clip()
    pictures, labels = draws([clip], crop=32)
    assert pictures.shape == (4, 24, 32, 3)
    pictures, labels = draws([clip], crop=256)
    assert (pictures == clip.images).all()
    assert (labels == clip.label_map(0)).all()


def test_frames_take_turns():
    clips = [coloured_clip(0, frames=3), coloured_clip(1, frames=4, video_id="other")]
    pictures, _ = draws(clips, batch_size=2, crop=64, count=7)
    shown = [picture.tobytes() for picture in pictures]
    frames = [frame.tobytes() for clip in clips for frame in clip.images]
    assert sorted(shown) == sorted(frames * 2)


def test_processes_share_a_batch(monkeypatch):
    clip = coloured_clip(0, frames=7)
    whole, labels = draws([clip], batch_size=6)
    for rank in (0, 1, 2):
        monkeypatch.setattr(
            "evfr.training._segmentation_crops.share_of", lambda size, rank=rank: slice(rank, None, 3)
        )
        pictures, own = draws([clip], batch_size=6)
        assert np.array_equal(pictures, whole[rank::3])
        assert np.array_equal(own, labels[rank::3])


def test_copies_get_noise_of_the_asked_variance_anew():
    height = width = 32
    still = np.full((2, height, width, 3), 128, np.uint8)
    spread = np.zeros((2, height, width, 3), np.float32)
    spread[0, :, :16], spread[0, :, 16:] = 6.0, 20.0
    clip = LabelledClip(
        *("noised", np.arange(2), still, np.zeros((2, height, width), np.uint8)),
        *(np.zeros((2, 0), np.int16), ("thing",), spread, 20),
    )
    pictures, _ = draws([clip], batch_size=20, crop=32, count=2)
    noise = pictures.astype(float) - 128
    is_noised = noise.reshape(40, -1).any(axis=1)
    assert is_noised.sum() == 20
    noise = noise[is_noised]
    # Rounding to whole grey levels adds 1/12; 20 x 1,536 values know their variance to 1 %.
    assert noise[:, :, :16].var() == pytest.approx(36 + 1 / 12, rel=0.04)
    assert noise[:, :, 16:].var() == pytest.approx(400 + 1 / 12, rel=0.04)
    flat = noise.reshape(20, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(20)).max() < 0.1
    again, _ = draws([clip], batch_size=20, crop=32, count=2)
    assert np.array_equal(again, pictures)
    other, _ = draws([clip], batch_size=20, crop=32, count=2, seed=1)
    assert not np.array_equal(other, pictures)


def test_pasted_objects_come_with_their_labels_and_noise():
    one = coloured_clip(0, frames=1, noise=1)
    only_red = dataclasses.replace(one, ids=np.where(one.ids == 1, 1, 0).astype(np.uint8))
    bare = dataclasses.replace(one, ids=np.zeros_like(one.ids), images=np.full_like(one.images, 10))
    spread = np.full(one.images.shape, 4, np.float32)
    noised = [dataclasses.replace(clip, noise_std=spread) for clip in (only_red, bare)]
    for clips, sigma in (([only_red, bare], 0), (noised, 4)):
        pictures, labels = draws(clips, Augmentation(copy_paste=1.0), crop=64, batch_size=8, count=12)
        is_bare = pictures[:, 0, 0].mean(axis=1) < 50
        is_red = labels == 1
        assert is_red[is_bare].any()
        assert set(np.unique(labels[is_bare])) == {0, 1}
        red = pictures[is_bare][is_red[is_bare]].astype(float)
        assert (np.abs(red.mean(axis=0) - (200, 70, 70)) < 3).all()
        assert red[:, 0].std() == pytest.approx(max(sigma, 0.7), abs=0.5)
        assert (pictures[is_bare][~is_red[is_bare]] < 40).all()


class Fixed(torch.nn.Module):
    """Give fixed scores, whatever the picture."""

    def __init__(self, scores):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.tensor(scores))

    def forward(self, pictures):
        return self.scores.expand(len(pictures), -1, -1, -1)


def test_the_loss_is_the_mean_over_judged_pixels_by_hand():
    # Scores of two classes at two pixels: -log softmax is log(1 + e^-2) where class 0 is right, and 2 more where not.
    module = Fixed([[[2.0, 2.0]], [[0.0, 0.0]]])
    right = np.log1p(np.exp(-2.0))
    pictures = torch.zeros(1, 3, 1, 2, dtype=torch.uint8)

    def loss(*labels):
        return pixel_loss(module, (pictures, torch.tensor([[labels]], dtype=torch.uint8)))

    assert loss(0, 1).item() == pytest.approx(right + 1)
    assert loss(0, 0).item() == pytest.approx(right)
    assert loss(0, IGNORE_ID).item() == pytest.approx(right)
    assert loss(IGNORE_ID, 1).item() == pytest.approx(right + 2)
    loss(IGNORE_ID, 1).backward()
    assert module.scores.grad[:, 0, 0].tolist() == [0, 0]
    module.scores.grad = None
    nothing = loss(IGNORE_ID, IGNORE_ID)
    nothing.backward()
    assert nothing.item() == 0
    assert not module.scores.grad.any()


def learnt(clip, held_out):
    """Train a U-Net, and return what the run did and what is found in another clip."""
    recipe = Recipe(40, 0.3, "sgd", warmup=4)
    model, run = fit_unet([clip], recipe=recipe, width=4, batch_size=4, crop=32)
    return run, predict_segmentation(model, held_out.images)


def test_it_learns_colours_and_tells_them_in_a_new_clip():
    clip, held_out = coloured_clip(0, frames=8, noise=10), coloured_clip(1, frames=4, noise=10)
    run, found = learnt(clip, held_out)
    assert run.loss[-6:].mean() < 0.4 * run.loss[:6].mean()
    assert run.visits == (20, 20)
    truth = truth_of(held_out)
    assert found.dtype == np.uint8
    assert found.shape == truth.shape
    assert (found == truth).mean() > 0.9 > 0.75 == (truth == 0).mean()


def test_nothing_is_learnt_from_what_is_ignored():
    clip = coloured_clip(0, frames=8, noise=10)
    # All of blue is ignored: nothing says what it is, and it is not learnt as background either.
    hidden = dataclasses.replace(clip, ids=np.where(clip.ids == 2, IGNORE_ID, clip.ids).astype(np.uint8))
    truth = truth_of(clip)
    _, found = learnt(hidden, clip)
    assert (found[truth == 1] == 1).mean() > 0.9
    assert not (found == 2).any()
    assert set(np.unique(found)) <= {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "recipe", "batch_norm", "least"),
    [
        ("deep-unet", Recipe(80, 0.3, "sgd", warmup=4), True, 0.9),
        ("vgg", Recipe(150, 1e-3, "adam"), False, 0.5),
    ],
)
def test_the_others_learn_too(kind, recipe, batch_norm, least):
    # VGG without skips scores cells of 32 px, which is why these squares are large.
    options = {"height": 96, "width": 192, "side": 80, "noise": 10}
    clip, held_out = coloured_clip(0, frames=8, **options), coloured_clip(1, frames=4, **options)
    augmentation = Augmentation(flip=0.5, copy_paste=0.5)
    options = {"width": 8, "batch_size": 4, "crop": 64, "batch_norm": batch_norm}
    model, run = FITS[kind]([clip], recipe=recipe, augmentation=augmentation, **options)
    assert run.loss[-6:].mean() < 0.6 * run.loss[:6].mean()
    truth, found = truth_of(held_out), predict_segmentation(model, held_out.images)
    nothing = (truth == 0).mean()
    assert (found == truth).mean() > nothing + least * (1 - nothing)


def test_a_run_in_portions_is_the_run_at_once(tmp_path):
    clips = [
        coloured_clip(0, frames=3),
        dataclasses.replace(coloured_clip(1, frames=2), noise_std=np.full((2, 32, 64, 3), 5, np.float32)),
    ]
    options = {
        "recipe": Recipe(6, 0.05, "sgd", checkpoint_every=2, seed=3),
        "augmentation": Augmentation("large", 0.5, 0.5),
        "width": 1,
        "batch_size": 3,
        "crop": 32,
    }
    whole, run = fit_unet(clips, **options)
    for stop in (1, 4, None):
        parts, last = fit_unet(clips, **options, out=tmp_path, stop_after=stop)
    assert last.resumed_at == 4
    assert np.array_equal(last.loss, run.loss)
    assert last.visits == run.visits == (3, 4)
    for name, tensor in whole.module.state_dict().items():
        assert torch.equal(tensor, parts.module.state_dict()[name]), name


def test_seeds_decide():
    clip = coloured_clip(0, frames=2)
    runs = [
        fit_vgg([clip], recipe=Recipe(2, seed=seed), width=2, batch_size=2, crop=32)[1].loss
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("kind", FITS)
def test_what_is_kept_predicts_the_same(tmp_path, kind):
    clip = coloured_clip(0, frames=2, height=40, width=50)
    weights = write_vgg(tmp_path / "vgg16_bn.safetensors", torchvision_features(8, True))
    model, _ = FITS[kind]([clip], recipe=Recipe(2), encoder_weights=weights, batch_size=2)
    save_segmentation(model, tmp_path / "kept" / "weights.safetensors")
    loaded = load_segmentation(tmp_path / "kept" / "weights.safetensors")
    assert loaded.classes == clip.classes
    assert repr(loaded) == f"Segmenter({kind!r}, 2 classes, width 8)"
    assert np.array_equal(predict_segmentation(loaded, clip.images), predict_segmentation(model, clip.images))


def test_predictions_do_not_depend_on_what_is_predicted_beside(monkeypatch):
    clip = coloured_clip(0, frames=3)
    model, _ = fit_unet([clip], recipe=Recipe(5, 0.01), width=2, batch_size=2, crop=32)
    together = predict_segmentation(model, clip.images)
    monkeypatch.setattr("evfr.training._segmentation._PIXELS", 1)
    assert np.array_equal(predict_segmentation(model, clip.images), together)
    assert predict_segmentation(model, clip.images[:0]).shape == (0, 32, 64)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="cannot read the weights"):
        load_segmentation(tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(
        InputError,
        match=r"other.safetensors is no segmentation network of evfr: it is no whole safetensors file",
    ):
        load_segmentation(path)
    save_state({"format": "evfr hypercolumn svm 1"}, path)
    with pytest.raises(
        InputError, match="is no segmentation network of evfr \\(format 'evfr hypercolumn svm 1'"
    ):
        load_segmentation(path)


def test_wrong_arguments():
    clip = coloured_clip(0, frames=1)
    recipe = Recipe(1)
    with pytest.raises(ValueError, match="batch_size and crop must be 1 or more, got 0 and 256"):
        fit_unet([clip], recipe=recipe, batch_size=0)
    with pytest.raises(ValueError, match="batch_size and crop must be 1 or more, got 8 and 0"):
        fit_vgg([clip], recipe=recipe, crop=0)
    with pytest.raises(ValueError, match="there is no labelled frame to learn from in 0 clips"):
        fit_deep_unet([], recipe=recipe)
    model, _ = fit_vgg([clip], recipe=recipe, width=1, batch_size=1)
    with pytest.raises(ValueError, match=r"images must be \(F, H, W, 3\) uint8, got \(32, 64, 3\) uint8"):
        predict_segmentation(model, clip.images[0])
