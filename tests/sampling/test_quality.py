from __future__ import annotations

import numpy as np
import pytest

from evfr.sampling import quality_mask

NAN = float("nan")


def test_gates():
    sharpness, exposure = [5.0, 1.0, NAN, 2.0], [0.1, 0.0, 0.0, 0.5]
    assert quality_mask(sharpness, exposure).tolist() == [True] * 4
    assert quality_mask(sharpness, exposure, min_sharpness=2.0).tolist() == [True, False, False, True]
    assert quality_mask(sharpness, exposure, max_clipped=0.2).tolist() == [True, True, True, False]
    both = quality_mask(sharpness, exposure, min_sharpness=2.0, max_clipped=0.2)
    assert both.tolist() == [True, False, False, False]
    assert both.dtype == np.bool_


def test_nan_fails_only_a_gate_that_is_on():
    assert quality_mask([1.0], [NAN], max_clipped=1.0).tolist() == [False]
    assert quality_mask([1.0], [NAN], min_sharpness=0.0).tolist() == [True]


def test_wrong_shapes():
    with pytest.raises(
        ValueError, match=r"sharpness and exposure must both be \(N,\), got \(2,\) and \(1,\)"
    ):
        quality_mask([1.0, 2.0], [0.0])
