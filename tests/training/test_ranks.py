"""Several processes train as one does on the whole batch; the first one writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evfr.training import _ranks

torch = pytest.importorskip("torch")

SCRIPT = """
import sys
from pathlib import Path
import torch
from evfr.training import Recipe, train, visits
from evfr.training._ranks import join_ranks, share_of

torch.set_num_threads(1)
with join_ranks("cpu") as device:
    assert device == "cpu"
    part = share_of(4)
    out = Path(sys.argv[1])
    torch.manual_seed(0 if part.start == 0 else 99)  # the first one's weights count
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    module.unused = torch.nn.Linear(2, 2)
    data = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))

    def draw(rng, iteration):
        return (torch.from_numpy(visits(10, 4, iteration, 0)[part].copy()),)

    def loss(module, batch):
        x = data[batch[0]]
        return (module[2](module[1](module[0](x))) - x.sum(1, keepdim=True)).square().mean()

    run = train(module, draw, loss, Recipe(12, 0.05, "sgd"), out=out if part.start == 0 else out / "other")
    if part.start:
        assert not (out / "other" / "checkpoint.safetensors").exists()
    torch.save([run.loss.tolist(), module.state_dict()], out / f"rank{part.start}.pt")
"""


def run(out: Path, count: int) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(out)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    found = {}
    for count in (1, 2):
        out = tmp_path / str(count)
        out.mkdir()
        for process in run(out, count):
            assert process.wait(timeout=240) == 0
        found[count] = [torch.load(out / f"rank{rank}.pt", weights_only=True) for rank in range(count)]
    (alone,), (first, second) = found[1], found[2]
    assert first[0] == second[0]
    assert np.allclose(first[0], alone[0], rtol=1e-5)
    for name, value in alone[1].items():
        assert torch.equal(first[1][name], second[1][name])
        assert torch.allclose(first[1][name], value, rtol=1e-4, atol=1e-6)


def test_a_batch_is_shared_evenly(monkeypatch):
    assert _ranks.rank_and_count() == (0, 1)
    assert list(range(6))[_ranks.share_of(6)] == list(range(6))
    monkeypatch.setattr(_ranks, "rank_and_count", lambda: (1, 3))
    assert list(range(6))[_ranks.share_of(6)] == [1, 4]
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 3 processes, got 7"):
        _ranks.share_of(7)


def test_alone_there_is_nobody_to_join(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with _ranks.join_ranks("cuda") as device:
        assert device == "cuda"
    assert not torch.distributed.is_initialized()


def test_a_gradient_that_is_missing_counts_as_zero(monkeypatch):
    parameters = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1, 3))]
    parameters[0].grad = torch.tensor([2.0, 4.0])
    seen = []

    def all_reduce(flat):
        seen.append(flat.clone())
        flat += torch.arange(5.0)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    _ranks.average_gradients(torch, parameters, 2)
    assert seen[0].tolist() == [2.0, 4.0, 0.0, 0.0, 0.0]
    assert parameters[0].grad.tolist() == [1.0, 2.5]
    assert parameters[1].grad.tolist() == [[1.0, 1.5, 2.0]]
