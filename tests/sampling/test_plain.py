"""The numbered steps of the docstrings, replayed in plain loops over doubles, give the same frames bit for bit."""

from __future__ import annotations

import json

import pytest

from helpers.sampling_cases import METHODS, cases
from helpers.sampling_plain import plain_sample

CASES = cases(seed=2023, count=900)


@pytest.mark.parametrize("method", METHODS)
def test_plain_loops_repeat_every_case(method):
    chosen = [case for case in CASES if case["method"] == method]
    assert len(chosen) == 150
    for case in chosen:
        assert plain_sample(case) == case["expected"], case


def test_cases_are_plain_json_and_repeat():
    text = json.dumps(cases(seed=5, count=12), allow_nan=False)
    assert text == json.dumps(cases(seed=5, count=12), allow_nan=False)
    assert json.loads(text) == cases(seed=5, count=12)
