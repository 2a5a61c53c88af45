"""`tiny` from clips to objects: a step without waiting, exact resume, equal seeds, files, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.augmentation import Augmentation
from evfr.datasets import moving_objects
from evfr.errors import InputError
from evfr.training import Recipe, _batch_placement, _tiny, fit_tiny, load_tiny, predict_tiny, save_tiny
from helpers.tensors import save_state

torch = pytest.importorskip("torch")

FULL = Augmentation(jitter="large", flip=0.5, copy_paste=0.5)


@pytest.fixture(scope="module")
def clips():
    return [moving_objects(seed, frames=4, width=56, height=40) for seed in (0, 1)]


def weights(model):
    return torch.cat([value.detach().float().flatten() for value in model.state_dict().values()])


def step_of(monkeypatch, clips, augmentation):
    """Return what `fit_tiny` gives to the loop."""
    given = {}

    def caught(module, draw, loss, recipe, **options):
        given.update(module=module.train(), draw=draw, loss=loss, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_tiny, "train", caught)
        with pytest.raises(KeyboardInterrupt):
            fit_tiny(clips, recipe=Recipe(3), augmentation=augmentation, batch_size=3, width=8)
    return given


@pytest.mark.parametrize("augmentation", [Augmentation(), FULL])
def test_a_step_reads_nothing_back_and_is_the_same_operations_for_any_batch(monkeypatch, clips, augmentation):
    from helpers.no_sync import NoSync

    # On the CPU pictures are resized one by one, which is faster there; this is how it is done elsewhere.
    monkeypatch.setattr(_batch_placement, "resized_by_loop", _batch_placement.resized_by_products)
    given = step_of(monkeypatch, clips, augmentation)
    assert given["is_static"]
    done = []
    for iteration in (0, 1):
        batch = given["draw"](np.random.default_rng(0), iteration)
        assert all(part.device.type == "cpu" and part.shape == (3,) for part in batch)
        given["module"].zero_grad()
        with NoSync() as watch:
            given["loss"](given["module"], batch).backward()
        done.append(watch.done)
    assert done[0] == done[1]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in given["module"].parameters())


def test_the_watch_sees_what_waits():
    from helpers.no_sync import NoSync

    values = torch.arange(3.0)
    for waits in (
        lambda: float(values.sum()),
        lambda: values[values > 1],
        lambda: torch.nonzero(values),
        lambda: values + torch.tensor(3.0),
    ):
        with pytest.raises(AssertionError, match="makes the host wait"), NoSync():
            waits()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stops_change_no_bit(tmp_path, clips, precision):
    recipe = Recipe(7, 2e-3, seed=3, precision=precision, checkpoint_every=3)
    options = {"recipe": recipe, "augmentation": FULL, "batch_size": 3, "width": 8}
    whole, straight = fit_tiny(clips, **options)
    for stop in (2, 5, None):
        parts, last = fit_tiny(clips, **options, out=tmp_path, stop_after=stop)
    assert last.resumed_at == 5
    assert last.visits == straight.visits == (2, 3)
    assert np.array_equal(last.loss, straight.loss)
    assert torch.equal(weights(parts), weights(whole))
    assert parts.classes == clips[0].classes


def test_the_seed_is_all_that_is_random(clips):
    def fitted(seed, drawn):
        torch.manual_seed(drawn)
        return weights(
            fit_tiny(clips, recipe=Recipe(2, seed=seed), augmentation=FULL, batch_size=3, width=8)[0]
        )

    assert torch.equal(fitted(1, 5), fitted(1, 6))
    assert not torch.equal(fitted(1, 5), fitted(2, 5))


def test_files(tmp_path, clips):
    model, _ = fit_tiny(clips, recipe=Recipe(1), batch_size=3, width=8)
    save_tiny(model, tmp_path / "tiny.safetensors")
    again = load_tiny(tmp_path / "tiny.safetensors")
    assert again.classes == clips[0].classes
    assert not again.training
    assert torch.equal(weights(again), weights(model))
    one, two = (predict_tiny(m, clips[0].images, least_score=0.0, most_objects=5) for m in (model, again))
    assert [np.array_equal(a.boxes_xyxy, b.boxes_xyxy) for a, b in zip(one, two, strict=True)] == [True] * 4
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    save_state({"format": "other"}, tmp_path / "other.safetensors")
    for name in ("bad.safetensors", "other.safetensors", "none.safetensors"):
        with pytest.raises(InputError, match=f"{name} is no network of evfr's tiny"):
            load_tiny(tmp_path / name)


def test_what_is_found_lies_inside_and_less_the_more_must_be_apart(clips):
    model, _ = fit_tiny(clips, recipe=Recipe(1), batch_size=3, width=8)
    # An untrained network with eager scores: boxes everywhere, over the borders too.
    with torch.no_grad():
        model.out.weight.normal_(0, 0.5, generator=torch.Generator().manual_seed(0))
    images = clips[0].images[:, :37, :51]  # no multiples of 16
    found = predict_tiny(model, images, batch_size=3, least_score=0.02, most_objects=9, nms_iou=0.5)
    assert len(found) == 4
    assert max(len(objects) for objects in found) > 3
    for objects in found:
        assert len(objects) <= 9
        assert (np.diff(objects.score) <= 0).all()
        assert (objects.score >= 0.02).all()
        assert not objects.is_crowd.any()
        x0, y0, x1, y1 = objects.boxes_xyxy.T
        assert ((x0 >= 0) & (x1 <= 51) & (y0 >= 0) & (y1 <= 37)).all()
        for mask, box in zip(objects.masks, objects.boxes_xyxy, strict=True):
            assert (mask.height, mask.width) == (37, 51)
            assert mask.area > 0
            inside = np.array(mask.box_xyxy) - box
            assert (inside[:2] > -1.5).all()
            assert (inside[2:] < 1.5).all()
    counts = [
        sum(map(len, predict_tiny(model, images, least_score=0.02, most_objects=999, nms_iou=limit)))
        for limit in (0.0, 0.5, 1.0)
    ]
    assert counts[0] < counts[1] < counts[2]
    assert predict_tiny(model, images[:0]) == []


def test_wrong_arguments(clips):
    with pytest.raises(ValueError, match="frame_count and batch_size must be 1 or more"):
        fit_tiny(clips, recipe=Recipe(1), batch_size=0)
    with pytest.raises(ValueError, match=r"colour must be in \[0, 1\], got 1.5"):
        fit_tiny(clips, recipe=Recipe(1), colour=1.5)
    with pytest.raises(ValueError, match="width 8 or more, got 5, 12 and 4"):
        fit_tiny(clips, recipe=Recipe(1), width=4)
    model, _ = fit_tiny(clips, recipe=Recipe(1), batch_size=3, width=8)
    with pytest.raises(ValueError, match=r"images must be \(F, H, W, 3\) uint8, got \(4, 40, 56\) uint8"):
        predict_tiny(model, clips[0].ids)
    with pytest.raises(ValueError, match="batch_size and most_objects must be 1 or more, got 0 and 50"):
        predict_tiny(model, clips[0].images, batch_size=0)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\], got 0.05 and 1.5"):
        predict_tiny(model, clips[0].images, nms_iou=1.5)
