"""One suite over every sampler on weights: what a user, a verb and the page may rely on.

Samplers on embeddings have a suite of their own, test_embedding_samplers.py; the first parameter tells which.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.errors import ConstraintError
from evfr.sampling import SAMPLERS as ALL_SAMPLERS
from evfr.sampling import Sample, takes_embeddings

SAMPLERS = {name: sampler for name, sampler in ALL_SAMPLERS.items() if not takes_embeddings(sampler)}
EVERY = pytest.mark.parametrize("name", sorted(SAMPLERS))
NESTED = [name for name, sampler in SAMPLERS.items() if sampler(np.ones(3), 1).order is not None]


def assert_is_sample(sample: Sample, n: int, n_frames: int) -> None:
    assert isinstance(sample, Sample)
    assert sample.indices.shape == (n,)
    assert sample.indices.dtype == np.int64
    assert np.all(np.diff(sample.indices) > 0)
    assert n == 0 or (sample.indices[0] >= 0 and sample.indices[-1] < n_frames)
    assert sorted(sample.rank.tolist()) == list(range(n))
    assert len(sample.reasons) == n
    assert all(reason.startswith(sample.method) for reason in sample.reasons)
    assert np.all((sample.inclusion > 0) & (sample.inclusion <= 1))
    assert sample.probabilities.shape == (n_frames,)
    assert sample.probabilities.sum() == pytest.approx(n, abs=1e-6)
    np.testing.assert_array_equal(sample.probabilities[sample.indices], sample.inclusion)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLERS)),
    weights=st.lists(
        st.one_of(st.floats(0, 1e6), st.just(0.0), st.just(float("nan"))),
        max_size=120,
    ),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**40),
)
def test_any_weights_any_budget(name, weights, share, seed):
    n = round(share * len(weights))
    sample = SAMPLERS[name](weights, n, seed=seed)
    assert_is_sample(sample, n, len(weights))
    assert sample.method == name
    assert sample.nan_count == sum(w != w for w in weights)
    again = SAMPLERS[name](weights, n, seed=seed)
    assert sample.indices.tobytes() == again.indices.tobytes()
    assert sample.rank.tobytes() == again.rank.tobytes()


@EVERY
@pytest.mark.parametrize("n_frames", [0, 1, 2, 17])
@pytest.mark.parametrize("kind", ["zeros", "ones", "nan"])
def test_edges(name, n_frames, kind):
    weights = {"zeros": np.zeros, "ones": np.ones, "nan": lambda n: np.full(n, np.nan)}[kind](n_frames)
    for n in {0, n_frames // 2, n_frames}:
        assert_is_sample(SAMPLERS[name](weights, n), n, n_frames)
    assert SAMPLERS[name](weights, n_frames).indices.tolist() == list(range(n_frames))


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_order_is_a_prefix(name):
    weights = np.random.default_rng(0).gamma(0.3, size=50)
    whole = SAMPLERS[name](weights, 10, seed=1)
    assert sorted(whole.order.tolist()) == list(range(50))
    for n in range(51):
        sample = SAMPLERS[name](weights, n, seed=1)
        assert sample.order.tolist() == whole.order.tolist()
        assert sample.indices.tolist() == sorted(whole.order[:n].tolist())
        assert sample.indices[np.argsort(sample.rank)].tolist() == whole.order[:n].tolist()


@EVERY
def test_scale_does_not_matter(name):
    weights = np.random.default_rng(0).gamma(0.3, size=50)
    for scale in (2.0**-60, 2.0**60):
        assert (
            SAMPLERS[name](weights * scale, 9).indices.tolist() == SAMPLERS[name](weights, 9).indices.tolist()
        )


@EVERY
def test_the_input_is_left_alone(name):
    weights = np.array([1.0, np.nan, 0.0, 2.0])
    before = weights.copy()
    SAMPLERS[name](weights, 2)
    np.testing.assert_array_equal(weights, before)


@EVERY
def test_signature_serves_the_command_line(name):
    parameters = list(inspect.signature(SAMPLERS[name]).parameters.values())
    assert [p.name for p in parameters[:3]] == ["weights", "n", "seed"]
    assert parameters[2].default == 0
    for parameter in parameters[2:]:
        assert parameter.kind is parameter.KEYWORD_ONLY
        assert parameter.default is not parameter.empty
        assert f"\n{parameter.name} : " in str(inspect.getdoc(SAMPLERS[name]))


@EVERY
@pytest.mark.parametrize("bad", [-1e-9, float("inf"), -float("inf")])
def test_bad_weights(name, bad):
    with pytest.raises(ValueError, match=r"weights must be finite and 0 or more, got .* at frame 2"):
        SAMPLERS[name]([1.0, 1.0, bad], 1)


@EVERY
def test_bad_budgets(name):
    with pytest.raises(ConstraintError, match="n=4 is more than the 3 frames that can be selected"):
        SAMPLERS[name](np.ones(3), 4)
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        SAMPLERS[name](np.ones(3), -1)
    with pytest.raises(TypeError, match=r"n must be an integer, got 1\.5"):
        SAMPLERS[name](np.ones(3), 1.5)
