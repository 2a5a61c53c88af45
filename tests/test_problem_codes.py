"""The page of problem codes is complete and says no more than there is."""

from __future__ import annotations

import re
from pathlib import Path

from evfr.errors import ProblemCode

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "problem-codes.md"


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| `")]


def test_every_code_has_one_row_in_the_order_of_the_enum() -> None:
    assert [row[0].strip(" `") for row in rows()] == [str(code) for code in ProblemCode]


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    for code, meaning, advice in rows():
        assert len(meaning.split()) >= 3, code
        assert len(advice.split()) >= 3, code
        assert meaning.strip().endswith("."), code
        assert advice.strip().endswith("."), code


def test_every_code_of_the_torture_set_exists() -> None:
    from torture.make_torture import CASES

    named = {code for case in CASES for code in case.codes | case.failures | case.allowed} - {"*"}
    assert named <= {str(code) for code in ProblemCode}
