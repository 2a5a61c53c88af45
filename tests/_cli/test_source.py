"""What is read from the text of modules is what the imported functions say."""

from __future__ import annotations

from pathlib import Path

import pytest

from evfr import cli
from evfr._cli import source
from evfr._cli.methods import method_options
from evfr._cli.source import method_stubs, read_summary
from evfr._core.signature import plain, read_docstring, read_signature


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_summary_is_the_docstrings(command: str) -> None:
    address = cli.COMMANDS[command]
    assert read_summary(address) == plain(read_docstring(cli.load(address))[0])


@pytest.mark.parametrize("command", cli.METHODS)
def test_stubs_are_the_methods(command: str) -> None:
    family = cli.METHODS[command]
    real, stubs = cli.load(family.methods), method_stubs(family.methods)
    assert stubs is not None, "a default that is no plain word makes help and completion import the family"
    assert list(stubs) == list(real)
    for method, function in real.items():
        read = [read_signature(f, skip=family.supplied) for f in (function, stubs[method])]
        assert read[0] == read[1]
        assert method_options(family)[method] == cli.read_method_options(family, method)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that stands for the package."""
    monkeypatch.setattr(source, "ROOT", tmp_path)
    source._text.cache_clear()
    source._tree.cache_clear()
    yield tmp_path
    source._text.cache_clear()
    source._tree.cache_clear()


ONE = '''def one(
    a, *, b: int = 1
):
    """Say ``one``
    thing.

    More.
    """
    return a
def two(): """Two."""
'''


def test_summary_of_any_layout(package: Path) -> None:
    (package / "m.py").write_text(ONE)
    assert read_summary("evfr.m:one") == "Say one thing."
    assert read_summary("evfr.m:two") == "Two."
    assert read_summary("evfr.m:three") == read_summary("evfr.nope:one") == read_summary("other.m:one") == ""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (ONE + "M: dict = {'x': one, 'y': two}", ["x", "y"]),
        ("from evfr.m import M as base\nfrom evfr import m\nM = {**base, **m.M}", None),
        ("from evfr.p import one\nM = {'z': one}", ["z"]),
        ("def f(*, a=1 + len('x')): ...\nM = {'f': f}", None),
        ("M = {'f': lambda: 0}", None),
        ("M = 1", None),
        ("M = {", None),
        ("N = {}", None),
    ],
)
def test_stubs_of_any_dict_or_none(package: Path, text: str, names: list[str] | None) -> None:
    (package / "p.py").write_text("from evfr.q import one")
    (package / "q").mkdir()
    (package / "q" / "__init__.py").write_text(ONE)
    (package / "n.py").write_text(text)
    stubs = method_stubs("evfr.n:M")
    assert (None if stubs is None else list(stubs)) == names
    if names:
        assert read_signature(stubs[names[0]], skip=["a"]).parameters[0].default == 1  # type: ignore[index]


def test_nothing_of_the_text_runs(package: Path) -> None:
    (package / "n.py").write_text("raise SystemExit\ndef f():\n    'F.'\n    raise SystemExit\nM = {'f': f}")
    stubs = method_stubs("evfr.n:M")
    assert stubs is not None
    assert stubs["f"]() is None
