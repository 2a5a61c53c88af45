"""The figure of a training run: its running mean by hand, the file whole and the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from evfr.reports import write_training_figure
from evfr.reports._training_figures import running_mean


def test_the_running_mean_by_hand():
    values = np.array([4.0, 2.0, 6.0, 8.0])
    assert running_mean(values, 1).tolist() == values.tolist()
    assert running_mean(values, 2).tolist() == [4.0, 3.0, 4.0, 7.0]
    assert running_mean(values, 9).tolist() == [4.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_one_file_that_is_the_same_each_time(tmp_path, ending):
    pytest.importorskip("matplotlib")
    loss = np.exp(-np.arange(50) / 20) - (0.5 if ending == "svg" else 0.0)  # below zero no logarithms
    made = [
        write_training_figure(loss, np.full(50, 0.1), tmp_path / f"{name}.{ending}", title="tiny, seed 0")
        for name in "ab"
    ]
    texts = [path.read_bytes() for path in made]
    assert texts[0] == texts[1]
    assert texts[0].startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    if ending == "svg":
        for words in (b"tiny, seed 0", b"learning rate", b"iteration", b"mean of 1"):
            assert words in texts[0]


def test_what_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"must be \(N,\) with N of 1 or more, got \(2,\) and \(3,\)"):
        write_training_figure([1, 2], [1, 2, 3], tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"got \(0,\) and \(0,\)"):
        write_training_figure([], [], tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a figure must be a \.png or \.svg file, got .*a\.pdf"):
        write_training_figure([1], [1], tmp_path / "a.pdf")
