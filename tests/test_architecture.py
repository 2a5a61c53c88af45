"""The house's layers: imports point down only, families meet only above. One dict says it all."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import evfr

PACKAGE = Path(evfr.__file__).parent

LAYERS = {
    "": 0,  # evfr/__init__.py: lazy names only
    "errors": 0,
    "_core": 0,
    "video": 1,
    "signals": 1,
    "embeddings": 1,
    "sampling": 1,
    "annotations": 1,
    "augmentation": 1,
    "propagation": 1,
    "sequences": 1,
    "metrics": 1,
    "models": 1,
    "distributed": 1,
    "datasets": 2,
    "training": 2,
    "reports": 2,
    "verbs": 3,
    "experiments": 4,
    "_cli": 5,
    "cli": 5,
    "__main__": 5,
}
MAY_BE_SIDE_BY_SIDE = {
    ("", "errors"),
    ("errors", "_core"),
    ("_core", "errors"),
    ("cli", "_cli"),
    ("__main__", "cli"),
}
LIGHT = (
    *("numpy", "cv2", "av", "pyarrow", "numba", "PIL"),
    *("torch", "onnxruntime", "matplotlib", "faiss", "ray", "fsspec"),
)
MUST_STAY_LIGHT = (
    "__init__",
    "__main__",
    "cli",
    "errors",
    "_cli/",
    "verbs/",
    *(
        f"experiments/{name}"
        for name in ("__init__", "advise", "experiment", "_make_plan", "_report.", "_run")
    ),
    "_core/lazy",
    "_core/signature",
)


def room(module: str) -> str:
    """Return the room of a dotted module: ``evfr.video._luma`` is in ``video``."""
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield (module, line, whether it is only for type checkers) for each import of a file."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test).endswith("TYPE_CHECKING")
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in typing_only
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full, from evfr..."
            for alias in node.names:
                is_module = node.module == "evfr" and alias.name in LAYERS
                yield (
                    f"evfr.{alias.name}" if is_module else str(node.module),
                    node.lineno,
                    id(node) in typing_only,
                )


def violations(path: Path, name: str) -> list[str]:
    """Return what the imports of one file break; ``name`` is its path below the package."""
    own = name.removesuffix(".py").split("/")[0].replace("__init__", "")
    found = []
    for module, line, is_typing in imports(path):
        if module.split(".")[0] != "evfr" or (own == "" and is_typing):
            continue
        other = room(module)
        if other == own or (own, other) in MAY_BE_SIDE_BY_SIDE:
            continue
        if LAYERS[other] >= LAYERS[own]:
            found.append(f"{name}:{line}: {own} [{LAYERS[own]}] imports {other} [{LAYERS[other]}]")
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    assert violations(path, str(path.relative_to(PACKAGE))) == []


def test_every_room_has_a_layer_and_every_layer_a_room() -> None:
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py").replace("__init__", "") for path in FILES}
    assert rooms == set(LAYERS)


@pytest.mark.parametrize(
    ("name", "code", "breaks"),
    [
        ("video/x.py", "from evfr.signals import ssim", True),
        ("video/x.py", "import evfr.verbs.select", True),
        ("_core/x.py", "def f():\n    from evfr.video import open_video", True),
        ("verbs/x.py", "from evfr import cli", True),
        ("signals/x.py", "from evfr._core.types import Problem", False),
        ("verbs/x.py", "from evfr.video import open_video\nfrom evfr.reports import render_report", False),
        (
            "__init__.py",
            "import typing\nif typing.TYPE_CHECKING:\n    from evfr.video import open_video",
            False,
        ),
    ],
)
def test_the_rule_sees_a_planted_import(tmp_path: Path, name: str, code: str, breaks: bool) -> None:
    path = tmp_path / "planted.py"
    path.write_text(code)
    assert bool(violations(path, name)) is breaks


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if str(path.relative_to(PACKAGE)).startswith(MUST_STAY_LIGHT)],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_light_modules_import_nothing_heavy_at_their_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = [
        alias.name if isinstance(node, ast.Import) else str(node.module)
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert [name for name in names if name.split(".")[0] in LIGHT] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 400, f"{lines} lines: split it by idea"
