"""Signature to parameters: types, defaults, help; words to values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, Union

import pytest

from evfr._core.signature import ParameterSpec, convert, plain, read_signature
from helpers import fake_verbs

SPECS = {spec.name: spec for spec in read_signature(fake_verbs.pick).parameters}


@pytest.mark.parametrize(
    ("name", "option", "metavar"),
    [
        ("n", "--n", "INT"),
        ("ratio", "--ratio", "FLOAT"),
        ("method", "--method", "TEXT"),
        ("signals", "--signals", "TEXT,..."),
        ("strides", "--strides", "INT,..."),
        ("size", "--size", "small|large"),
        ("jobs", "--jobs", "auto|INT"),
        ("minimum", "--minimum", "NAME=INT"),
        ("labels", "--labels", "PATH"),
        ("from_", "--from", "PATH"),
        ("min_gap_seconds", "--min-gap-seconds", "FLOAT"),
        ("limit", "--limit", "INT|none"),
    ],
)
def test_option_and_metavar(name: str, option: str, metavar: str) -> None:
    assert (SPECS[name].option, SPECS[name].metavar) == (option, metavar)


def test_text_of_the_docstring() -> None:
    signature = read_signature(fake_verbs.pick)
    assert signature.name == "pick"
    assert signature.summary == "Pick things: the summary line."
    assert signature.description == "More text, with code and [/x] in it."
    assert SPECS["signals"].help == "Which signals, of flow, ssim."
    assert SPECS["thumbnails"].help == "Make thumbnails.\n\nA second paragraph."
    assert SPECS["thumbnails"].section == "Other Parameters"
    assert SPECS["is_dry"].section == "Parameters"


def test_help_speaks_the_words_of_the_command_line() -> None:
    assert SPECS["n"].help == "How many; leaving it out asks --ratio."
    assert SPECS["limit"].help == "Most; none is no limit. Counts PATHS."


def test_kinds() -> None:
    assert SPECS["paths"].is_argument
    assert SPECS["paths"].is_sequence
    assert not SPECS["paths"].is_required
    assert SPECS["is_dry"].is_flag
    assert SPECS["thumbnails"].default is True
    assert SPECS["minimum"].is_mapping
    assert SPECS["n"].is_optional
    assert not SPECS["size"].is_optional


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("n", ["3"], 3),
        ("limit", ["none"], None),
        ("limit", ["5"], 5),
        ("ratio", ["1e-1"], 0.1),
        ("signals", ["flow,ssim", "motion"], ("flow", "ssim", "motion")),
        ("strides", ["1, 2,3"], (1, 2, 3)),
        ("jobs", ["auto"], "auto"),
        ("jobs", ["4"], 4),
        ("minimum", ["a,b=3", "c=d=4".replace("d=", "")], {"a,b": 3, "c": 4}),
        ("labels", ["a,b"], Path("a,b")),
        ("from_", ["a//b"], "a//b"),
        ("paths", ["a,b", "\udcff"], ("a,b", "\udcff")),
    ],
)
def test_words_become_values(name: str, words: list[str], value: object) -> None:
    assert convert(SPECS[name], words) == value


@pytest.mark.parametrize(
    ("name", "words", "match"),
    [
        ("n", ["3.5"], "'3.5' is not allowed; give a whole number"),
        ("ratio", ["a"], "'a' is not allowed; give a number"),
        ("strides", ["1,x"], "'x' is not allowed; give a whole number"),
        ("size", ["tiny"], "'tiny' is not allowed; give small, large"),
        ("jobs", ["x"], "'x' is not allowed; give auto or a whole number"),
        ("minimum", ["a"], "'a' is not NAME=VALUE"),
        ("n", ["1", "2"], "one value expected, got 2"),
        ("n", ["none"], "'none' is not allowed; give a whole number$"),
        ("limit", ["no"], "'no' is not allowed; give a whole number or none"),
    ],
)
def test_words_that_do_not_fit(name: str, words: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        convert(SPECS[name], words)


def spec_of(annotation: object) -> ParameterSpec:
    def verb(*, x) -> None: ...  # type: ignore[no-untyped-def]

    verb.__annotations__["x"] = annotation
    return read_signature(verb).parameters[0]


@pytest.mark.parametrize(
    ("annotation", "types"),
    [
        (int, ("int",)),
        (Optional[float], ("float",)),  # noqa: UP045
        (Union[str, Path, None], ("str", "Path")),  # noqa: UP007
        ("np.ndarray | int", ("int",)),
        ("tuple[int, int]", ("int",)),
        ("int | float", ("int", "float")),
    ],
)
def test_annotations_in_other_spellings(annotation: object, types: tuple[str, ...]) -> None:
    assert spec_of(annotation).types == types


def test_annotation_that_no_word_can_express() -> None:
    with pytest.raises(TypeError, match=r"verb\(x\): Callable\[\[int\], int\] cannot be given"):
        spec_of("Callable[[int], int]")


def test_missing_annotation() -> None:
    def verb(*, x=1) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(TypeError, match=r"verb\(x\) has no annotation"):
        read_signature(verb)


def test_open_keywords_are_refused() -> None:
    def verb(**options: Any) -> None: ...

    with pytest.raises(TypeError, match=r"\*\*options cannot become options"):
        read_signature(verb)


def test_skip() -> None:
    names = [spec.name for spec in read_signature(fake_verbs.pick, skip=["method_options", "n"]).parameters]
    assert "n" not in names
    assert "method" in names


def test_callable_without_docstring() -> None:
    function: Callable[..., None] = lambda a: None  # noqa: E731
    function.__annotations__["a"] = "int"
    assert read_signature(function).summary == ""


def test_plain_takes_markup_away() -> None:
    assert plain("``a`` and `b` stay; it's") == "a and b stay; it's"
    assert plain("with ``out``", {"out": "--out"}) == "with --out"
