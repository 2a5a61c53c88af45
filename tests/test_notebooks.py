"""The notebooks run from top to bottom with evfr and matplotlib alone, and are committed without their outputs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
HELPER = Path(__file__).with_name("helpers") / "run_notebook.py"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
USED = {"evfr", "matplotlib", "numpy"}


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["carry-trust-evaluate", "choose-and-look"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_without_outputs(path: Path) -> None:
    for cell in cells(path, "code"):
        assert cell["outputs"] == [], f"{path.name}: clear the outputs before you commit"
        assert cell["execution_count"] is None, f"{path.name}: clear the counts before you commit"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_nothing_but_evfr_numpy_and_matplotlib(path: Path) -> None:
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells(path, "code")))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) <= USED


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("nbclient", "ipykernel"):
        if find_spec(needed) is None:
            pytest.skip("needs the extra docs")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    run = subprocess.run(
        [sys.executable, str(HELPER), str(path), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split() == ["display_data", "execute_result"], (
        "values and pictures come out, and no warning"
    )
