"""The training loop: schedules by hand, exact resume, the log, and checkpoints that do not fit."""

from __future__ import annotations

import math

import numpy as np
import pyarrow.parquet as pq
import pytest

from evfr._core.progress import use_progress
from evfr.errors import InputError
from evfr.training import Recipe, learning_rate_at, train

torch = pytest.importorskip("torch")


def network(seed=0, width=3):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(width, 4), torch.nn.Dropout(0.3), torch.nn.Linear(4, 1))


def draw(rng, iteration):
    x = rng.normal(size=(8, 3)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(x.sum(axis=1, keepdims=True))


def loss(module, batch):
    x, y = batch
    return torch.nn.functional.mse_loss(module(x), y)


def test_schedules_by_hand():
    def rates(schedule, warmup=0):
        recipe = Recipe(iterations=4 + warmup, learning_rate=8.0, schedule=schedule, warmup=warmup)
        return [learning_rate_at(i, recipe) for i in range(recipe.iterations)]

    assert rates("constant") == [8.0] * 4
    assert rates("cosine") == pytest.approx([8.0, 4 + 4 * math.sqrt(0.5), 4.0, 4 - 4 * math.sqrt(0.5)])
    assert rates("polynomial") == pytest.approx([8 * x**0.9 for x in (1.0, 0.75, 0.5, 0.25)])
    assert rates("constant", warmup=3) == [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_learns_and_resumes_exactly(tmp_path, optimizer):
    recipe = Recipe(
        iterations=40, learning_rate=0.02, optimizer=optimizer, seed=3, checkpoint_every=7, warmup=4
    )
    whole = network()
    straight = train(whole, draw, loss, recipe)
    assert straight.loss[-8:].mean() < 0.7 * straight.loss[:8].mean()
    # Three portions, the later ones with other weights at first, and whatever state torch's generator is in.
    for stop, first_seed in ((11, 0), (26, 99), (None, 98)):
        parts = network(first_seed)
        torch.rand(stop or 1)
        last = train(parts, draw, loss, recipe, out=tmp_path, stop_after=stop)
    assert last.resumed_at == 26
    assert np.array_equal(last.loss, straight.loss)
    for a, b in zip(parts.parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_finished_run_does_nothing_and_the_log_is_whole(tmp_path):
    recipe = Recipe(iterations=6, checkpoint_every=4)
    first = train(network(), draw, loss, recipe, out=tmp_path)
    table = pq.read_table(tmp_path / "log.parquet")
    assert table.column_names == ["iteration", "loss", "learning_rate"]
    assert table["iteration"].to_pylist() == list(range(6))
    assert np.array_equal(table["loss"].to_numpy(), first.loss)
    again = train(network(5), draw, loss, recipe, out=tmp_path)
    assert again.resumed_at == 6
    assert np.array_equal(again.loss, first.loss)
    assert "6 iterations" in repr(again)


def test_progress_is_told():
    told = []

    class Listener:
        def start(self, label, total=None):
            told.append((label, total))

        def advance(self, n=1, text=""):
            told.append(text[:4])

        def finish(self):
            told.append("end")

    with use_progress(Listener()):
        train(network(), draw, loss, Recipe(iterations=2), label="reading")
    assert told[:4] == [("reading", 2), "loss", "loss", "end"]


def test_fixed_parameters_stay():
    module = network()
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    train(module, draw, loss, Recipe(iterations=3))
    assert torch.equal(module[0].weight, before)
    assert not module.training


def test_gradients_are_scaled_down_to_the_norm_and_never_up():
    moved = []
    for norm in (0.0, 0.01, 1e9):
        module = network()
        before = torch.cat([p.detach().flatten() for p in module.parameters()])
        train(module, draw, loss, Recipe(1, 0.5, "sgd", "constant", momentum=0.0, max_gradient_norm=norm))
        moved.append(torch.cat([p.detach().flatten() for p in module.parameters()]) - before)
    assert torch.equal(moved[0], moved[2])
    assert float(moved[1].norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert torch.allclose(moved[1] / moved[1].norm(), moved[0] / moved[0].norm(), atol=1e-4)


def test_a_norm_is_part_of_the_recipe_but_checkpoints_older_than_it_go_on(tmp_path):
    train(network(), draw, loss, Recipe(iterations=2), out=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert "max_gradient_norm" not in state["recipe"]
    with pytest.raises(InputError, match="is of another recipe"):
        train(network(), draw, loss, Recipe(iterations=2, max_gradient_norm=1.0), out=tmp_path)


def test_checkpoints_that_do_not_fit(tmp_path):
    train(network(), draw, loss, Recipe(iterations=2), out=tmp_path)
    with pytest.raises(InputError, match="is of another recipe"):
        train(network(), draw, loss, Recipe(iterations=3), out=tmp_path)

    def wide_draw(rng, iteration):
        x, y = draw(rng, iteration)
        return torch.cat([x, x], dim=1), y

    with pytest.raises(InputError, match="is of another network"):
        train(network(width=6), wide_draw, loss, Recipe(iterations=2), out=tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no checkpoint of evfr"):
        train(network(), draw, loss, Recipe(iterations=2), out=tmp_path)


def test_a_loss_that_is_not_finite_stops():
    with pytest.raises(InputError, match="the loss is nan at iteration 0: lower learning_rate"):
        train(network(), draw, lambda m, b: m(b[0]).sum() * float("nan"), Recipe(iterations=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations and checkpoint_every must be 1 or more, got 0 and 100"),
        ({"checkpoint_every": 0}, "got 5 and 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay 0 or more"),
        ({"optimizer": "lion"}, "optimizer must be one of adam, sgd, got 'lion'"),
        ({"schedule": "steps"}, "schedule must be one of constant, cosine, polynomial, step, got 'steps'"),
        ({"warmup": 5}, "warmup must be in 0..4 iterations, got 5"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"max_gradient_norm": -1.0}, r"max_gradient_norm must be 0 \(off\) or more, got -1.0"),
    ],
)
def test_wrong_recipes(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"iterations": 5} | options))
