"""A grid of one's own from TOML: what is read, and what is refused with place and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from evfr.errors import InputError
from evfr.experiments import Arm, Comparison
from evfr.experiments._grid import read_grid

GOOD = """
[[arm]]
name = "all"
stride = 1

[[arm]]
name = "moving"
n = 40
sampler = "adaptive:ssim"
copy_paste = 0.5

[[arm]]
name = "first"
positions = [0, 3]
iterations = 50
"""


def read(tmp_path: Path, text: str) -> tuple[tuple[Arm, ...], tuple[Comparison, ...]]:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    return read_grid(path)


def test_a_grid(tmp_path: Path) -> None:
    arms, pairs = read(tmp_path, GOOD)
    assert arms == (
        Arm("all", stride=1),
        Arm("moving", n=40, sampler="adaptive", signal="ssim", copy_paste=0.5),
        Arm("first", positions=(0, 3), iterations=50),
    )
    assert pairs == (Comparison("moving", "all"), Comparison("first", "all"))


def test_pairs_of_ones_own(tmp_path: Path) -> None:
    _, pairs = read(tmp_path, GOOD + '[[compare]]\narm = "first"\nbaseline = "moving"\n')
    assert pairs == (Comparison("first", "moving", "ours"),)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a = [", "no readable TOML file"),
        ("", "has no .*arm"),
        ("arms = 3", "has no key 'arms'; it has arm, compare"),
        ("arm = 3", "arm must be written as"),
        ('[[arm]]\nname = "a"\nstrides = 2', r"\[\[arm\]\] 1 has no key 'strides'; it has name, stride"),
        ("[[arm]]\nstride = 2", r"\[\[arm\]\] 1 needs name"),
        ('[[arm]]\nname = "a"\nstride = "2"', "stride must be int, got '2'"),
        ('[[arm]]\nname = "a"\nstride = true', "stride must be int, got True"),
        ('[[arm]]\nname = "a"\npositions = [0.5]', "positions must be tuple"),
        ('[[arm]]\nname = "a"', "give exactly one of"),
        ('[[arm]]\nname = "a"\nstride = 2\nsampler = "best"', "samplers must be of"),
        ('[[arm]]\nname = "a"\nstride = 2\n[[arm]]\nname = "a"\nstride = 3', "its own name, got 'a' twice"),
        ('[[arm]]\nname = "a"\nstride = 2\n[[compare]]\narm = "a"\nbaseline = "b"', "no arm 'b' to compare"),
        ('[[arm]]\nname = "a"\nstride = 2\n[[compare]]\narm = "a"\nbaseline = "a"', "compared with itself"),
    ],
)
def test_wrong_grids(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(InputError, match=match) as raised:
        read(tmp_path, text)
    assert "grid.toml" in str(raised.value)
