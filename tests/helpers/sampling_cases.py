"""Random sampling problems with their answers, JSON-ready: golden vectors for other implementations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from evfr.errors import ConstraintError
from evfr.sampling import SAMPLERS, Constraints, allocate, sample, takes_embeddings

ON_WEIGHTS = {name: sampler for name, sampler in SAMPLERS.items() if not takes_embeddings(sampler)}
METHODS = ("uniform", "systematic", "auto", "random", "adaptive", "allocate")


def _weights(rng: np.random.Generator, n_frames: int) -> np.ndarray:
    kind = rng.integers(6)
    if kind == 0:
        weights = np.ones(n_frames)
    elif kind == 1:
        weights = rng.integers(0, 4, n_frames).astype(float)
    elif kind == 2:
        weights = rng.gamma(0.2, size=n_frames)
    elif kind == 3:
        weights = np.abs(np.cumsum(rng.normal(size=n_frames)))
    elif kind == 4:
        weights = np.where(rng.random(n_frames) < 0.9, 0.0, rng.random(n_frames) * 1e-3)
    else:
        weights = rng.random(n_frames) ** 8
    weights[rng.random(n_frames) < rng.choice([0.0, 0.0, 0.05])] = math.nan
    return weights


def _sample_case(rng: np.random.Generator, method: str) -> dict[str, Any]:
    n_frames = int(rng.choice([1, 2, 3, 10, 60, 300, 2000]))
    weights = _weights(rng, n_frames)
    cuts = (
        np.unique(rng.integers(1, n_frames, rng.integers(0, 6))) if n_frames > 1 else np.zeros(0, dtype=int)
    )
    selectable = rng.random(n_frames) >= rng.choice([0.0, 0.0, 0.2])
    pool = rng.permutation(n_frames).tolist()
    take = [int(rng.choice([0, 0, 1, 4])) for _ in range(3)]
    include = sorted(i for i in pool[: take[0]] if selectable[i])
    exclude = sorted(pool[take[0] : take[0] + take[1]])
    labeled = sorted(pool[take[0] + take[1] : sum(take)])
    options: dict[str, Any] = {}
    if method == "uniform":
        options = {"start": str(rng.choice(["first", "middle"]))}
    if method in ("systematic", "auto"):
        options = {"mixing": float(rng.choice([0.0, 0.25, 0.5, 0.9])), "power": float(rng.choice([0.5, 1.0]))}
    if method == "auto":
        options["threshold"] = float(rng.choice([0.3, 0.9, 2.0]))
    constraints = Constraints(
        include=tuple(include), exclude=tuple(exclude), labeled=tuple(labeled), selectable=selectable
    )
    n_eligible = int(selectable.sum()) - sum(bool(selectable[i]) for i in exclude + labeled)
    n = int(rng.integers(len(include), n_eligible + 1)) if n_eligible >= len(include) else 0
    seed = int(rng.integers(1000))
    order = None
    if method in ("random", "adaptive"):
        whole = sample(method, weights, 0, seed=seed)
        assert whole.order is not None
        order = whole.order.tolist()
    chosen = sample(method, weights, n, seed=seed, constraints=constraints, options=options, cuts=cuts)
    return {
        "method": method,
        "n_frames": n_frames,
        "weights": [None if math.isnan(w) else w for w in weights.tolist()],
        "n": n,
        "options": options,
        "cuts": cuts.tolist(),
        "selectable": selectable.tolist(),
        "include": include,
        "exclude": exclude,
        "labeled": labeled,
        "order": order,
        "expected": chosen.indices.tolist(),
    }


def _allocate_case(rng: np.random.Generator) -> dict[str, Any]:
    while True:
        count = int(rng.integers(1, 30))
        durations = np.round(rng.gamma(1.0, 100.0, count), int(rng.choice([0, 3])))
        activities = _weights(rng, count)
        activities[np.isnan(activities)] = 0.0
        minimum = rng.integers(0, 5, count) if rng.random() < 0.5 else None
        maximum = rng.integers(3, 60, count) if rng.random() < 0.5 else None
        total = int(rng.integers(0, 20 * count))
        rule = str(rng.choice(["duration", "equal", "activity"]))
        try:
            split = allocate(total, durations, activities, rule=rule, minimum=minimum, maximum=maximum)
        except ConstraintError:
            continue
        return {
            "method": "allocate",
            "total": total,
            "durations": durations.tolist(),
            "activities": activities.tolist(),
            "rule": rule,
            "minimum": None if minimum is None else minimum.tolist(),
            "maximum": None if maximum is None else maximum.tolist(),
            "expected": split.tolist(),
        }


def cases(seed: int, count: int) -> list[dict[str, Any]]:
    """Return ``count`` random cases, the methods in turn, each with its expected answer.

    Weights are plain doubles (None stands for NaN). A case with an ``order`` is a nested method: its answer
    follows from the order alone. No case has gaps.
    """
    rng = np.random.default_rng(seed)
    return [
        _allocate_case(rng) if METHODS[k % 6] == "allocate" else _sample_case(rng, METHODS[k % 6])
        for k in range(count)
    ]
