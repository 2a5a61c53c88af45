"""Tiny checkpoints, saved once per run."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from helpers.checkpoints import save_checkpoint


@pytest.fixture(scope="session")
def one_thread():
    """Keep torch from spinning on cores that other tests use: the models are tiny."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, one_thread):
    """Return a function: kind to the folder of a tiny random model of that kind."""
    root = tmp_path_factory.mktemp("checkpoints")
    return functools.lru_cache(maxsize=None)(lambda kind: save_checkpoint(kind, root / kind))


@pytest.fixture(scope="session")
def noise(one_thread):
    """Return five frames of noise, 48 x 80: every pixel matters."""
    return np.random.default_rng(3).integers(0, 256, (5, 48, 80, 3), dtype=np.uint8)
