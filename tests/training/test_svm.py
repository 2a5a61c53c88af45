"""SVMs on hypercolumns: closed forms of the columns, liblinear and SGD against plain versions, streams, files."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from evfr._core.labelled import IGNORE_ID, LabelledClip
from evfr._core.rng import generator, spawn_seed
from evfr.augmentation import Augmentation
from evfr.errors import InputError
from evfr.models import vgg_taps
from evfr.training import Recipe, fit_svm, hypercolumns, load_svm, predict_svm, save_svm, visits
from evfr.training._hypercolumns import centres, columns_at, levels_of
from evfr.training._svm import _hinge
from evfr.training._svm_points import LabelledPoints, block_draw
from helpers.drawn_pixels import coloured_clip, torchvision_features, truth_of, write_vgg
from helpers.tensors import save_state

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def taps():
    return vgg_taps(width=2, seed=1)


def random_images(frames, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3)).astype(np.uint8)


class TestHypercolumns:
    def test_of_a_constant_picture_by_hand(self):
        """Let every layer copy its first channels: each level is the picture's normalised colour, everywhere."""
        taps = vgg_taps(width=4)
        for layer in taps.features:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.dirac_(layer.weight)
        colour = np.array([200, 100, 250], np.uint8)
        found = hypercolumns(taps, np.tile(colour, (1, 40, 50, 1)))
        wanted = np.maximum((colour / 255 - MEAN) / DEVIATION, 0)
        assert (wanted > 0).sum() == 2
        begin = 0
        for channels in (4, 8, 16, 32, 32):
            level = found[0, ..., begin : begin + channels]
            assert np.abs(level[..., :3] - wanted).max() < 1e-6
            # Further channels copy what is not there.
            assert not level[..., 3:4].any()
            begin += channels
        assert begin == found.shape[3]

    def test_of_a_constant_picture_through_random_layers(self, taps):
        """Far from borders a convolution of a constant is its kernel's sum times it, level by level."""
        colour = np.array([30, 180, 90], np.uint8)
        found = hypercolumns(taps, np.tile(colour, (1, 64, 64, 1)))[0]
        value = ((colour / 255 - MEAN) / DEVIATION).astype(np.float32)
        begin = 0
        convolutions = [layer for layer in taps.features if isinstance(layer, torch.nn.Conv2d)]
        for count, channels in ((2, 2), (2, 4), (3, 8)):
            for layer in convolutions[:count]:
                value = np.maximum(layer.weight.numpy().sum(axis=(2, 3)) @ value + layer.bias.numpy(), 0)
            del convolutions[:count]
            centre = found[28:36, 28:36, begin : begin + channels]
            assert np.abs(centre - value).max() < 1e-4 * max(1, np.abs(value).max())
            begin += channels

    def test_full_width_has_1472_channels(self):
        found = hypercolumns(vgg_taps(), random_images(1, 32, 33))
        assert found.shape == (1, 32, 33, 1472)
        assert found.dtype == np.float32
        assert found.shape[3] == 64 + 128 + 256 + 512 + 512

    @pytest.mark.parametrize("size", [(64, 96), (32, 48), (20, 31), (1, 1)])
    def test_levels_are_resized_as_torch_does(self, taps, size):
        """Oracle: ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``."""
        images = random_images(2, 64, 96)
        found = hypercolumns(taps, images, size)
        pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        wanted = torch.cat(
            [
                torch.nn.functional.interpolate(level, size, mode="bilinear", align_corners=False)
                for level in taps(pictures)
            ],
            dim=1,
        )
        assert np.abs(found - wanted.permute(0, 2, 3, 1).numpy()).max() < 2e-5 * float(wanted.max())

    def test_sides_that_32_does_not_divide_are_filled_by_their_border(self, taps):
        images = random_images(1, 40, 50)
        whole = np.pad(images, ((0, 0), (0, 24), (0, 14), (0, 0)), mode="edge")
        assert np.allclose(hypercolumns(taps, images), hypercolumns(taps, whole)[:, :40, :50], atol=1e-5)

    def test_single_columns_are_those_of_the_whole(self, taps):
        images = random_images(3, 40, 50)
        whole = hypercolumns(taps, images, (20, 25))
        rng = np.random.default_rng(1)
        which, row, column = rng.integers(0, 3, 99), rng.integers(0, 20, 99), rng.integers(0, 25, 99)
        y, x = centres(torch, 40, 20, "cpu")[row], centres(torch, 50, 25, "cpu")[column]
        levels = levels_of(taps, images)
        found = columns_at(torch, levels, taps.strides, torch.from_numpy(which), y, x)
        assert np.allclose(found.numpy(), whole[which, row, column], atol=1e-5)

    def test_pictures_of_another_kind(self, taps):
        with pytest.raises(
            ValueError, match=r"images must be \(F, H, W, 3\) uint8, got \(1, 4, 4, 3\) float64"
        ):
            hypercolumns(taps, np.zeros((1, 4, 4, 3)))


def noised_clip(copies=5, height=32, width=32):
    spread = np.full((2, height, width, 3), 7.0, np.float32)
    spread[1] = 0
    return LabelledClip(
        *("noised", np.array([3, 8]), np.full((2, height, width, 3), 120, np.uint8)),
        *(np.zeros((2, height, width), np.uint8), np.zeros((2, 0), np.int16), ("thing",), spread, copies),
    )


class TestPoints:
    def test_copies_have_noise_of_the_asked_variance_each_its_own_and_always_the_same(self):
        points = LabelledPoints([noised_clip()], seed=0, shrink=1)
        assert len(points) == 10
        assert points.count == 10 * 32 * 32
        noise = np.stack([points.picture(which).astype(float) - 120 for which in range(10)])
        assert not noise[5:].any()
        assert noise[:5].var() == pytest.approx(49 + 1 / 12, rel=0.05)
        assert np.abs(np.corrcoef(noise[:5].reshape(5, -1)) - np.eye(5)).max() < 0.1
        for which in (4, 0, 2):
            assert np.array_equal(points.picture(which) - 120.0, noise[which])
        other = LabelledPoints([noised_clip()], seed=1, shrink=1)
        assert not np.array_equal(other.picture(0) - 120.0, noise[0])

    def test_what_is_ignored_is_left_out(self, taps):
        clip = coloured_clip(0, frames=2)
        ids = clip.ids.copy()
        ids[:, :5] = IGNORE_ID
        points = LabelledPoints([dataclasses.replace(clip, ids=ids)], seed=0, shrink=1)
        assert points.count == 2 * 27 * 64
        columns, labels = points.all_columns(taps)
        truth = truth_of(clip)[:, 5:].reshape(-1)
        assert np.array_equal(labels, truth)
        assert np.allclose(
            columns, hypercolumns(taps, clip.images)[:, 5:].reshape(-1, taps.channels), atol=1e-5
        )

    def test_truth_may_be_smaller_than_pictures(self, taps):
        clip = coloured_clip(0, frames=1, height=33, width=50)
        points = LabelledPoints([clip], seed=0, shrink=4)
        assert points.size == (9, 13)
        rows, columns = (
            np.floor((np.arange(n) + 0.5) * side / n).astype(int) for n, side in ((9, 33), (13, 50))
        )
        assert np.array_equal(points.labels(0), truth_of(clip)[0][np.ix_(rows, columns)])
        found, _ = points.all_columns(taps)
        assert np.allclose(
            found, hypercolumns(taps, clip.images, (9, 13)).reshape(-1, taps.channels), atol=1e-5
        )

    def test_streamed_standardisation_is_that_of_all_pixels_in_memory(self, taps, monkeypatch):
        clips = [coloured_clip(0, frames=2), coloured_clip(1, frames=1, video_id="other")]
        columns, _ = LabelledPoints(clips, seed=0, shrink=1).all_columns(taps)
        columns = columns.astype(np.float64)
        monkeypatch.setattr("evfr.training._svm_points._AT_ONCE", 777)
        scores = torch.nn.Module()
        scores.register_buffer("mean", torch.zeros(taps.channels))
        scores.register_buffer("deviation", torch.zeros(taps.channels))
        LabelledPoints(clips, seed=0, shrink=1).standardise(taps, scores)
        assert np.allclose(scores.mean, columns.mean(axis=0), rtol=1e-5, atol=1e-7)
        deviation = columns.std(axis=0)
        assert np.allclose(scores.deviation, np.where(deviation == 0, 1, deviation), rtol=1e-5, atol=1e-7)
        assert (deviation == 0).any(), "a channel that does not vary is part of the case"

    def test_clips_that_do_not_fit(self):
        clip = coloured_clip(0, frames=1)
        with pytest.raises(ValueError, match="there is no labelled frame to learn from in 1 clips"):
            LabelledPoints([clip.take([])], seed=0, shrink=1)
        with pytest.raises(ValueError, match=r"clips must share size and classes, got .*64x32.* and .*66x32"):
            LabelledPoints([clip, coloured_clip(0, frames=1, width=66)], seed=0, shrink=1)
        nothing = dataclasses.replace(clip, ids=np.full_like(clip.ids, IGNORE_ID))
        with pytest.raises(ValueError, match="no pixel of the 1 pictures is labelled: all are to be ignored"):
            fit_svm([nothing], recipe=Recipe(1))


SGD = Recipe(60, 0.01, "sgd", "constant", weight_decay=1e-3, seed=2)
SMALL = {"width": 2, "batch_points": 128, "block_frames": 2, "block_steps": 7}


def separable_clip(seed, frames):
    """Draw red squares without their borders, where columns are mixtures; grey and blue are background."""
    clip = coloured_clip(seed, frames=frames, noise=3, side=24)
    clip = dataclasses.replace(clip, ids=np.where(clip.ids == 1, 1, 0).astype(np.uint8))
    kernel = np.ones((9, 9), np.uint8)
    is_border = [cv2.dilate(ids, kernel) != cv2.erode(ids, kernel) for ids in clip.ids]
    return dataclasses.replace(clip, ids=np.where(is_border, IGNORE_ID, clip.ids).astype(np.uint8))


def test_both_solvers_separate_what_can_be_separated():
    clip = separable_clip(0, 3)
    truth = truth_of(clip)
    is_judged = truth != IGNORE_ID
    found = []
    for solver, recipe in (("liblinear", Recipe(1)), ("sgd", Recipe(100, 0.003, "sgd"))):
        model, run = fit_svm(
            [clip], recipe=recipe, width=4, solver=solver, cost=1e-3, batch_points=256, block_steps=8
        )
        found.append(predict_svm(model, clip.images)[is_judged])
        assert found[-1].dtype == np.uint8
        assert (found[-1] == truth[is_judged]).mean() > 0.995, solver
    assert run.loss[-10:].mean() < 0.1 * run.loss[0] == 0.1 * 3
    assert (found[0] == found[1]).mean() > 0.995


def test_liblinear_is_scikit_learns_on_standardised_columns(taps):
    """Oracle: ``make_pipeline(StandardScaler(), LinearSVC(dual=False))``."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    clip = coloured_clip(0, frames=2)
    model, run = fit_svm([clip], recipe=Recipe(1, seed=1), width=2, cost=0.1)
    columns = hypercolumns(taps, clip.images).reshape(-1, taps.channels).astype(np.float64)
    labels = truth_of(clip).ravel()
    theirs = make_pipeline(StandardScaler(), LinearSVC(dual=False, C=0.1)).fit(columns, labels)
    scores = theirs.decision_function(columns)
    with torch.inference_mode():
        own = model.scores(torch.from_numpy(columns.astype(np.float32))).numpy()
    assert np.abs(own - scores).max() < 1e-3
    assert (predict_svm(model, clip.images).ravel() == theirs.predict(columns)).mean() > 0.999
    sign = np.where(labels[:, None] == np.arange(3), 1, -1)
    assert run.loss == pytest.approx([(np.maximum(0, 1 - sign * scores) ** 2).sum(axis=1).mean()], rel=1e-3)
    assert np.isnan(run.learning_rate).all()
    assert run.visits == (1, 1)


def test_streamed_blocks_are_the_steps_on_all_pixels_in_memory(taps):
    """Oracle: subgradient steps in float64 on an array of all hypercolumns, written out by hand."""
    clips = [coloured_clip(0, frames=3), dataclasses.replace(coloured_clip(1, frames=2), video_id="other")]
    clips[1].ids[:, :9] = IGNORE_ID
    model, run = fit_svm(clips, recipe=SGD, solver="sgd", **SMALL, encoder_weights=None)
    taps = vgg_taps(width=2, seed=SGD.seed)
    columns = np.concatenate([hypercolumns(taps, clip.images) for clip in clips]).astype(np.float64)
    columns, labels = columns.reshape(5, -1, columns.shape[-1]), np.concatenate([truth_of(c) for c in clips])
    labels = labels.reshape(5, -1)
    judged = columns[labels != IGNORE_ID]
    deviation = judged.std(axis=0)
    columns = (columns - judged.mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    weight, speed = np.zeros((3, columns.shape[-1] + 1)), 0.0
    losses = []
    for i in range(SGD.iterations):
        chosen = visits(5, 2, i // 7, SGD.seed)
        order = generator(spawn_seed(SGD.seed, "pixels", str(i // 7))).permutation(2 * labels.shape[1])
        at = order[i % 7 * 128 : (i % 7 + 1) * 128]
        x, y = columns[chosen].reshape(-1, columns.shape[-1])[at], labels[chosen].reshape(-1)[at]
        x, y = x[y != IGNORE_ID], y[y != IGNORE_ID]
        x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        sign = np.where(y[:, None] == np.arange(3), 1, -1)
        margin = 1 - sign * (x @ weight.T)
        losses.append(np.maximum(margin, 0).sum(axis=1).mean())
        gradient = -((margin > 0) * sign).T @ x / len(x) + SGD.weight_decay * weight
        speed = SGD.momentum * speed + gradient
        weight = weight - SGD.learning_rate * speed
    assert np.allclose(run.loss, losses, rtol=1e-3)
    assert np.allclose(model.scores.weight.detach(), weight[:, :-1], atol=1e-3 * np.abs(weight).max())
    assert np.allclose(model.scores.bias.detach(), weight[:, -1], atol=1e-3 * np.abs(weight).max())


def test_a_run_in_portions_is_the_run_at_once_across_blocks_and_within(tmp_path):
    clips = [
        noised_clip(copies=3),
        dataclasses.replace(
            noised_clip(),
            ids=np.ones((2, 32, 32), np.uint8),
            category=np.zeros((2, 1), np.int16),
            video_id="full",
        ),
    ]
    recipe = dataclasses.replace(SGD, iterations=30)
    whole, run = fit_svm(clips, recipe=recipe, solver="sgd", **SMALL)
    for stop in (7, 17, None):
        parts, last = fit_svm(clips, recipe=recipe, solver="sgd", **SMALL, out=tmp_path, stop_after=stop)
    assert last.resumed_at == 17
    assert np.array_equal(last.loss, run.loss)
    for name, tensor in whole.scores.state_dict().items():
        assert torch.equal(tensor, parts.scores.state_dict()[name]), name
    # 30 steps are 5 blocks of 2 pictures; there are 2 x 3 + 2 x 5 of them.
    assert run.visits == (0, 1)


def test_what_is_drawn_depends_on_the_iteration_alone(taps):
    points = LabelledPoints([coloured_clip(0, frames=3)], seed=0, shrink=1)

    def drawn(iterations):
        draw = block_draw(points, taps, 0, 100, 2, 3)
        return {i: draw(generator(99), i) for i in iterations}

    forward, backward = drawn(range(8)), drawn([7, 0, 3, 2])
    for i, (columns, labels) in backward.items():
        assert torch.equal(columns, forward[i][0])
        assert torch.equal(labels, forward[i][1])
    assert not torch.equal(forward[0][0], forward[1][0])


def test_one_block_is_held_at_a_time(taps, monkeypatch):
    read = []
    monkeypatch.setattr(
        "evfr.training._svm_points.levels_of", lambda *given: read.append(1) or levels_of(*given)
    )
    draw = block_draw(LabelledPoints([coloured_clip(0, frames=3)], seed=0, shrink=1), taps, 0, 100, 2, 3)
    for iteration, count in ((0, 2), (1, 2), (2, 2), (3, 4), (5, 4), (0, 6)):
        draw(generator(0), iteration)
        assert len(read) == count


def test_blocks_of_fewer_pixels_than_their_steps_take_are_gone_through_again(taps):
    points = LabelledPoints([coloured_clip(0, frames=1)], seed=0, shrink=8)
    draw = block_draw(points, taps, 0, 24, 1, 4)
    columns = torch.cat([draw(generator(0), i)[0] for i in range(4)])
    assert len(columns) == 96
    assert torch.equal(columns[:32], columns[32:64])
    assert len(torch.unique(columns[:32], dim=0)) == 32


def test_the_hinge_by_hand():
    class Scores(torch.nn.Module):
        def forward(self, columns):
            return columns

    columns = torch.tensor([[2.0, -0.5], [0.25, 0.5], [-9.0, 9.0]])
    # Own 2 costs 0 and the other's -.5 costs .5; own .5 costs .5 and the other's .25 costs 1.25; the last is ignored.
    labels = torch.tensor([0, 1, IGNORE_ID], dtype=torch.uint8)
    assert _hinge(Scores(), (columns, labels)).item() == pytest.approx((0.5 + 1.75) / 2)
    nothing = torch.full((3,), IGNORE_ID, dtype=torch.uint8)
    assert _hinge(Scores(), (columns, nothing)).item() == 0


@pytest.mark.parametrize("solver", ["liblinear", "sgd"])
def test_classes_that_no_pixel_shows_are_never_predicted(solver):
    clip = coloured_clip(0, frames=2)
    red = dataclasses.replace(clip, ids=np.where(clip.ids == 1, 1, 0).astype(np.uint8))
    model, _ = fit_svm([red], recipe=Recipe(8, 0.01, "sgd"), solver=solver, shrink=2, **SMALL)
    assert set(np.unique(predict_svm(model, random_images(1, 33, 40)))) <= {0, 1}
    bare = dataclasses.replace(clip, ids=np.zeros_like(clip.ids))
    model, _ = fit_svm([bare], recipe=Recipe(8, 0.01, "sgd"), solver=solver, shrink=2, **SMALL)
    assert not predict_svm(model, random_images(1, 33, 40)).any()


def test_the_solver_is_chosen_by_the_pixels_that_fit():
    clip = coloured_clip(0, frames=1, height=32, width=32, side=8)
    ids = clip.ids.copy()
    ids[:, :2] = IGNORE_ID
    clip = dataclasses.replace(clip, ids=ids, copies=2)
    exact, sgd = (fit_svm([clip], recipe=Recipe(2), max_points=limit, **SMALL)[1] for limit in (1920, 1919))
    assert np.isnan(exact.learning_rate).all()
    assert len(sgd.loss) == 2
    with pytest.raises(
        ValueError, match=r"1920 labelled pixels are more than max_points = 1919: raise it if memory"
    ):
        fit_svm([clip], recipe=Recipe(2), max_points=1919, solver="liblinear", **SMALL)


def test_predictions_are_the_scores_of_explicit_hypercolumns():
    clip = coloured_clip(0, frames=2, height=33, width=50)
    model, _ = fit_svm([clip], recipe=Recipe(1), width=4, cost=0.01)
    columns = torch.from_numpy(hypercolumns(model.taps, clip.images))
    with torch.inference_mode():
        scores = model.scores(columns).numpy()
    best = np.sort(scores, axis=-1)
    is_clear = best[..., -1] - best[..., -2] > 1e-3
    assert is_clear.mean() > 0.98
    found = predict_svm(model, clip.images)
    assert np.array_equal(found[is_clear], scores.argmax(axis=-1)[is_clear])


def test_what_is_kept_predicts_the_same(tmp_path):
    clip = coloured_clip(0, frames=2)
    weights = write_vgg(tmp_path / "vgg16_bn.safetensors", torchvision_features(8, True))
    model, _ = fit_svm([clip], recipe=Recipe(1), encoder_weights=weights, shrink=2)
    save_svm(model, tmp_path / "svm.safetensors")
    loaded = load_svm(tmp_path / "svm.safetensors")
    assert loaded.classes == clip.classes
    assert repr(loaded) == "HypercolumnSvm(2 classes, 184 channels)"
    assert np.array_equal(predict_svm(loaded, clip.images), predict_svm(model, clip.images))
    (tmp_path / "svm.safetensors").write_bytes(b"nonsense")
    with pytest.raises(
        InputError, match=r"svm.safetensors is no SVM of evfr: it is no whole safetensors file"
    ):
        load_svm(tmp_path / "svm.safetensors")
    save_state({"format": "evfr segmentation 1"}, tmp_path / "svm.safetensors")
    with pytest.raises(InputError, match=r"is no SVM of evfr \(format 'evfr segmentation 1'\)"):
        load_svm(tmp_path / "svm.safetensors")
    with pytest.raises(InputError, match="cannot read the weights"):
        load_svm(tmp_path / "none.safetensors")


def test_liblinear_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr("evfr.training._svm._MAX_NEWTON_STEPS", 1)
    with pytest.raises(
        InputError, match=r"liblinear did not converge on 2048 pixels in 1 steps: lower cost \(0.001\)"
    ):
        fit_svm([coloured_clip(0, frames=1)], recipe=Recipe(1), width=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"augmentation": Augmentation(flip=0.5)},
            "an SVM fits a fixed set of pixels, so that .* must be the identity",
        ),
        ({"solver": "smo"}, "solver must be auto, liblinear or sgd, got 'smo'"),
        ({"cost": 0.0}, "cost must be above 0, got 0.0"),
        ({"max_points": 0}, "must be 1 or more, got 0, 1, 1024, 4, 16"),
        ({"shrink": 0}, "max_points, shrink, batch_points, block_frames and block_steps must be 1 or more"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        fit_svm([coloured_clip(0, frames=1)], recipe=Recipe(1), **options)
