"""Nothing heavy is loaded before it is needed, each public name resolves, an absent extra says what to do."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import evfr
from evfr._core.lazy import require
from evfr.errors import EvfrError, MissingExtraError

HEAVY = (
    "numpy",
    "cv2",
    "av",
    "torch",
    "torchvision",
    "transformers",
    "timm",
    "faiss",
    "ray",
    "fsspec",
    "s3fs",
    "numba",
    "pyarrow",
    "PIL",
    "onnxruntime",
    "matplotlib",
    "pandas",
    "scipy",
)
LISTING = "import sys; print(*[m for m in {heavy!r} if m in sys.modules])"


def loaded_after(code: str) -> list[str]:
    """Return which heavy modules a fresh interpreter holds after ``code``."""
    script = f"{code}\n{LISTING.format(heavy=HEAVY)}"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1].split() if done.stdout.strip() else []


def test_import_loads_nothing_heavy() -> None:
    assert loaded_after("import evfr, evfr.errors") == []


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"from evfr.cli import main\ntry:\n    main({words!r})\nexcept SystemExit as e:\n    assert e.code == 0"
    assert loaded_after(code) == []


def test_the_listing_would_see_a_heavy_module() -> None:
    assert loaded_after("import numpy") == ["numpy"]


@pytest.mark.parametrize("name", evfr.__all__)
def test_public_names_resolve(name: str) -> None:
    assert getattr(evfr, name) is not None
    assert name in dir(evfr)


@pytest.mark.parametrize("family", evfr._FAMILIES)
def test_families_resolve_and_list_what_they_have(family: str) -> None:
    module = importlib.import_module(f"evfr.{family}")
    assert getattr(evfr, family) is module
    for name in getattr(module, "__all__", ()):
        try:
            assert hasattr(module, name), f"evfr.{family}.__all__ names {name}, which is not there"
        except MissingExtraError as error:
            assert "python -m pip install 'evfr[" in str(error)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'evfr' has no attribute 'nope'"):
        evfr.nope  # noqa: B018


def test_missing_extra_prints_the_install_line() -> None:
    line = r"no_such_module is not installed; run: python -m pip install 'evfr\[onnx\]'"
    with pytest.raises(MissingExtraError, match=line) as caught:
        require("no_such_module", extra="onnx")
    assert isinstance(caught.value, EvfrError)
    assert isinstance(caught.value, ImportError)


def test_present_extra_that_is_broken_is_not_called_missing(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_extra.py").write_text("import no_such_dependency")  # type: ignore[operator]
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require("broken_extra", extra="onnx")
