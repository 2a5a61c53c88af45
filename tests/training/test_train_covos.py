"""Training the CoVOS decoder: samples, batches, and that it beats its untrained self on a clip it has not seen."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np
import pytest

from evfr.errors import InputError
from evfr.models import CovosNetwork, covos_decoder, low_level_features
from evfr.propagation._covos_clip import covos_frames
from evfr.training import CovosSamples, Recipe, covos_samples, train_covos
from evfr.video import proxy_clip
from helpers.coded import moving_square, pyramid_clip

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def features():
    return low_level_features(seed=0)


def drawn(seed):
    frames, masks = moving_square(seed=seed)
    return frames, masks[:, None], pyramid_clip(masks)


@pytest.fixture(scope="module")
def samples(features):
    network = CovosNetwork(features, covos_decoder(seed=0))
    clips = [drawn(seed) for seed in range(2)]
    return covos_samples(clips, network, rng=np.random.default_rng(0), crops_per_frame=2, crop=8)


def mean_iou(clip, network):
    frames, masks, coded = clip
    scores = []
    for made in covos_frames(
        frames, coded, lambda t: masks[t], coded.is_key, object_count=1, decoder=network
    ):
        if not made.is_key:
            found, true = made.masks()[0], masks[made.position, 0]
            scores.append((found & true).sum() / max((found | true).sum(), 1))
    return float(np.mean(scores))


def test_samples_are_what_the_decoder_gets(samples):
    assert len(samples) == 2 * 3 * 2
    assert samples.current.shape == samples.warped.shape == (12, 8, 8, 256)
    assert samples.probabilities.shape == samples.corrected.shape == (12, 8, 8, 11)
    assert samples.target.shape == (12, 32, 32)
    assert set(np.unique(samples.target)) == {0, 1}
    assert np.allclose(samples.probabilities.astype(np.float32)[..., :2].sum(axis=-1), 1, atol=1e-3)
    # Carried cells lie where the labels are: the crops are cut alike from cells and pixels.
    inside = cv2.resize(samples.target[0].astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA) > 0.5
    assert (samples.probabilities[0, ..., 1] > 0.5)[inside].mean() > 0.8
    assert "12 crops of 32x32" in repr(samples)


def test_samples_are_kept_on_disk(samples, tmp_path):
    samples.save(tmp_path / "kept")
    loaded = CovosSamples.load(tmp_path / "kept")
    for name in ("current", "warped", "probabilities", "corrected", "target"):
        assert np.array_equal(getattr(loaded, name), getattr(samples, name))
    (tmp_path / "kept" / "target.npy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="holds no whole samples of CoVOS"):
        CovosSamples.load(tmp_path / "kept")


def test_small_frames_are_padded(features):
    frames, masks = moving_square(size=(48, 80))
    network = CovosNetwork(features, covos_decoder(seed=0))
    got = covos_samples(
        [(frames, masks[:, None], pyramid_clip(masks))], network, rng=np.random.default_rng(0), crop=16
    )
    assert got.current.shape == (3, 16, 16, 256)
    assert np.array_equal(got.target[:, 48:], np.repeat(got.target[:, 47:48], 16, axis=1))


def test_a_short_run_beats_the_untrained_decoder_on_another_clip(features, samples):
    decoder = covos_decoder(seed=0)
    held_out = drawn(7)
    before = mean_iou(held_out, CovosNetwork(features, covos_decoder(seed=0)))
    done = train_covos(decoder, samples, Recipe(iterations=50, learning_rate=5e-4), batch_size=4)
    assert done.loss[-5:].mean() < 0.7 * done.loss[:5].mean()
    assert mean_iou(held_out, CovosNetwork(features, decoder)) > before + 0.4


def test_resume_gives_the_same_weights(samples, tmp_path):
    recipe = Recipe(iterations=4, checkpoint_every=3)
    whole = covos_decoder(seed=0)
    train_covos(whole, samples, recipe, batch_size=2)
    for stop in (2, None):
        parts = covos_decoder(seed=0)
        train_covos(parts, samples, recipe, batch_size=2, out=tmp_path, stop_after=stop)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wrong_arguments(samples, features):
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        train_covos(covos_decoder(), samples, Recipe(iterations=1), batch_size=0)
    with pytest.raises(ValueError, match=r"target must be \(12, 32, 32\), got \(12, 32, 31\)"):
        CovosSamples(
            samples.current, samples.warped, samples.probabilities, samples.corrected, samples.target[..., 1:]
        )
    network = CovosNetwork(features, covos_decoder(seed=0))
    frames, masks, coded = drawn(0)
    with pytest.raises(ValueError, match=r"masks must be \(5, K, H, W\), got \(4, 1, 48, 80\)"):
        covos_samples([(frames, masks[:4], coded)], network, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="no B picture has an object"):
        covos_samples([(frames, 0 * masks, coded)], network, rng=np.random.default_rng(0))


@pytest.mark.slow
def test_a_run_on_real_clips_beats_the_untrained_decoder(data_dir, features):
    from PIL import Image

    def clip(name, count):
        with zipfile.ZipFile(data_dir / "seq" / f"davis_{name}.zip") as archive:
            frames, masks = [], []
            for t in range(count):
                frame = np.asarray(Image.open(io.BytesIO(archive.read(f"images/{t:05d}.jpg"))))
                mask = np.asarray(Image.open(io.BytesIO(archive.read(f"masks/{t:05d}.png")))) > 127
                frames.append(cv2.resize(frame, (214, 120), interpolation=cv2.INTER_AREA))
                masks.append(
                    cv2.resize(mask.astype(np.float32), (214, 120), interpolation=cv2.INTER_AREA) >= 0.5
                )
        return frames, np.stack(masks)[:, None], proxy_clip(frames, b_count=3)

    network = CovosNetwork(features, covos_decoder(seed=0))
    clips = [clip("dog", 13), clip("car-shadow", 13)]
    stored = covos_samples(clips, network, rng=np.random.default_rng(0), crops_per_frame=2, crop=16)
    decoder, held_out = covos_decoder(seed=0), clip("scooter-black", 9)
    before = mean_iou(held_out, network)
    train_covos(decoder, stored, Recipe(iterations=80, learning_rate=5e-4, warmup=5), batch_size=4)
    assert mean_iou(held_out, CovosNetwork(features, decoder)) > before + 0.2
