"""The training loop: schedules by hand, exact resume, the log, and checkpoints that do not fit."""

from __future__ import annotations

import math
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from evfr._core.progress import use_progress
from evfr._core.rng import generator, spawn_seed
from evfr.errors import InputError
from evfr.training import Recipe, _loop, learning_rate_at, train
from helpers.tensors import load_state

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


def test_steps_fall_at_shares_of_the_iterations():
    recipe = Recipe(iterations=25, learning_rate=1.0, schedule="step", warmup=2)
    rates = [learning_rate_at(i, recipe) for i in range(25)]
    assert rates == pytest.approx([1 / 3, 2 / 3] + [1.0] * 14 + [0.1] * 6 + [0.01] * 3)
    halves = Recipe(iterations=10, learning_rate=1.0, schedule="step", milestones=(0.5,))
    assert [learning_rate_at(i, halves) for i in (4, 5)] == pytest.approx([1.0, 0.1])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_five_stops_at_random_change_no_bit(tmp_path, precision):
    recipe = Recipe(
        *(30, 0.05, "sgd", "step"), seed=5, checkpoint_every=9, precision=precision, max_gradient_norm=2.0
    )
    whole = network()
    straight = train(whole, draw, loss, recipe)
    stops = sorted(np.random.default_rng(0).choice(np.arange(1, 30), 5, replace=False).tolist())
    for first_seed, stop in enumerate([*stops, None]):
        parts = network(first_seed)
        last = train(parts, draw, loss, recipe, out=tmp_path, stop_after=stop)
    assert last.resumed_at == stops[-1]
    assert np.array_equal(last.loss, straight.loss)
    assert np.array_equal(last.learning_rate, straight.learning_rate)
    for a, b in zip(parts.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_fewer_bits_change_little_and_32_bits_are_what_they_were(tmp_path):
    def final(precision, iterations=10):
        module = network()
        seen = []

        def told(module, batch):
            found = module(batch[0])
            seen.append(found.dtype)
            return torch.nn.functional.mse_loss(found.float(), batch[1])

        train(module, draw, told, Recipe(iterations, 0.02, precision=precision), out=tmp_path / precision)
        return torch.cat([p.detach().flatten() for p in module.parameters()]), seen[0]

    plain, dtype = final("fp32")
    assert dtype == torch.float32
    # What the loop did before it knew of precision: the same operations one by one.
    module = network()
    recipe = Recipe(10, 0.02)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for i in range(10):
        torch.manual_seed(spawn_seed(0, "torch", str(i)))
        batch = draw(generator(spawn_seed(0, "batch", str(i))), i)
        optimizer.param_groups[0]["lr"] = learning_rate_at(i, recipe)
        optimizer.zero_grad()
        loss(module.train(), batch).backward()
        optimizer.step()
    assert torch.equal(plain, torch.cat([p.detach().flatten() for p in module.parameters()]))
    for precision, wanted in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        found, dtype = final(precision)
        assert dtype == wanted
        assert not torch.equal(found, plain)
        assert torch.allclose(found, plain, atol=0.05)
    state = load_state(tmp_path / "fp16" / "checkpoint.safetensors")
    assert state["scaler"]["scale"] <= 2.0**16


def test_a_step_that_overflows_in_16_bits_is_left_out_and_the_scale_falls(tmp_path):
    module = network()
    before = module[0].weight.clone()

    def steep(module, batch):
        return module(batch[0]).sum().float() * 1e33

    train(module, draw, steep, Recipe(1, 0.1, precision="fp16"), out=tmp_path)
    assert torch.equal(module[0].weight, before)
    state = load_state(tmp_path / "checkpoint.safetensors")
    assert state["scaler"]["scale"] == 2.0**15


def test_checkpoints_know_no_more_than_they_must(tmp_path):
    train(network(), draw, loss, Recipe(iterations=2), out=tmp_path / "a")
    state = load_state(tmp_path / "a" / "checkpoint.safetensors")
    # As earlier releases wrote it, so that theirs go on.
    assert state["recipe"] == (
        '{"iterations": 2, "learning_rate": 0.001, "momentum": 0.9, "optimizer": "adam", "schedule": "cosine", '
        '"seed": 0, "warmup": 0, "weight_decay": 0.0}'
    )
    assert set(state) == {"module", "optimizer", "recipe", "loss"}
    with pytest.raises(InputError, match="is of another recipe"):
        train(network(), draw, loss, Recipe(iterations=2, precision="bf16"), out=tmp_path / "a")
    train(network(), draw, loss, Recipe(iterations=2, schedule="step"), out=tmp_path / "b")
    with pytest.raises(InputError, match="is of another recipe"):
        train(
            network(),
            draw,
            loss,
            Recipe(iterations=2, schedule="step", milestones=(0.5,)),
            out=tmp_path / "b",
        )


def test_losses_may_be_read_seldom(monkeypatch, tmp_path):
    recipe = Recipe(iterations=20, checkpoint_every=8)
    often = train(network(), draw, loss, recipe)
    monkeypatch.setitem(_loop.READ_EVERY, "cpu", 7)
    seldom = train(network(), draw, loss, recipe, out=tmp_path)
    assert np.array_equal(seldom.loss, often.loss)
    assert pq.read_table(tmp_path / "log.parquet").num_rows == 20

    def breaks(module, batch):
        return loss(module, batch[:2]) * (float("nan") if batch[2] == 10 else 1.0)

    with pytest.raises(InputError, match="the loss is nan at iteration 10: lower"):
        train(network(), lambda rng, i: (*draw(rng, i), i), breaks, recipe)


def test_a_static_step_is_recorded_once_and_replayed(monkeypatch):
    """A stand-in for CUDA: what is copied where, what is drawn, and that warming up leaves no trace."""
    recorded = []

    class Graph:
        def replay(self):
            self.again()

    def fake_capture(graph):
        recorded.append(graph)
        return nullcontext()

    stream = SimpleNamespace(wait_stream=lambda other: None)
    cuda = SimpleNamespace(
        CUDAGraph=Graph,
        Stream=lambda device: stream,
        current_stream=lambda device: stream,
        stream=lambda stream: nullcontext(),
        graph=fake_capture,
    )
    module = torch.nn.BatchNorm1d(3)
    inputs = []

    def backward(batch):
        inputs.append(batch[0])
        return module(batch[0]).sum().detach()

    first, second = torch.randn(8, 3), torch.randn(8, 3) + 5
    replay = _loop._captured(SimpleNamespace(cuda=cuda), module, backward, (first,), "cpu")
    assert len(recorded) == 1
    assert len(inputs) == _loop.WARM_UPS + 1
    # In the stand-in recording computes as well, once; warming up has been undone.
    assert int(module.num_batches_tracked) == 1
    recorded[0].again = lambda: None
    replay((second,))
    assert torch.equal(inputs[-1], second)


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
    state = load_state(tmp_path / "checkpoint.safetensors")
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
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="is no checkpoint of evfr"):
        train(network(), draw, loss, Recipe(iterations=2), out=tmp_path)


def test_cudnn_adds_up_in_one_order_and_only_here():
    seen = []

    def watched(module, batch):
        seen.append(torch.backends.cudnn.deterministic)
        return loss(module, batch) * float("nan")

    with pytest.raises(InputError, match="the loss is nan"):
        train(network(), draw, watched, Recipe(iterations=1))
    assert seen == [True]
    assert not torch.backends.cudnn.deterministic


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
        ({"precision": "int8"}, "precision must be one of fp32, bf16, fp16, got 'int8'"),
        ({"milestones": (0.6, 0.5)}, r"milestones must rise between 0 and 1, got \(0.6, 0.5\)"),
        ({"milestones": (1.0,)}, r"got \(1.0,\)"),
        ({"max_gradient_norm": -1.0}, r"max_gradient_norm must be 0 \(off\) or more, got -1.0"),
    ],
)
def test_wrong_recipes(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**({"iterations": 5} | options))
