"""Change the code a little, many times, and see that its own tests notice.

``python scripts/mutate.py --group store --sample 25 --seed 7`` draws mutants of each module of a group (``selection``,
``identity``, ``store``), runs the module's own tests against each in a copy of the tree, and prints those that survive.
A mutant is one change: another comparison or operator, a constant one off, a condition turned, a statement left out.
Texts of errors, annotations and docstrings are left alone. Survivors are for people to judge: a mutant may be
equivalent, and then no test can tell it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SAMPLING = ("tests/sampling/test_samplers_edges.py", "tests/sampling/test_selection_edges.py")
CORE = ("tests/_core/test_files_edges.py", "tests/_core/test_store_edges.py")
VIDEO = ("tests/video/test_identity_edges.py",)
GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "selection": {
        "sampling/_sample.py": ("tests/sampling/test_sample.py", *SAMPLING),
        "sampling/_constraints.py": (
            "tests/sampling/test_constraints.py",
            *SAMPLING,
            "tests/sampling/test_select.py",
        ),
        "sampling/_feasible.py": (
            *("tests/sampling/test_constraints.py", *SAMPLING),
            *("tests/sampling/test_select.py", "tests/sampling/test_embedded.py"),
        ),
        "sampling/_systematic.py": ("tests/sampling/test_systematic.py", *SAMPLING),
        "sampling/_adaptive.py": ("tests/sampling/test_adaptive.py", *SAMPLING),
        "sampling/_allocate.py": ("tests/sampling/test_allocate.py", *SAMPLING),
        "sampling/_select.py": ("tests/sampling/test_select.py", *SAMPLING, "tests/sampling/test_auto.py"),
    },
    "identity": {
        "video/_hash.py": (
            "tests/video/test_hash.py",
            "tests/video/test_remote_edges.py",
            "tests/video/test_damage_edges.py",
            *VIDEO,
        ),
        "video/_table.py": ("tests/video/test_damage.py", "tests/video/test_known_frames_edges.py", *VIDEO),
        "video/_plan.py": ("tests/video/test_extraction.py", *VIDEO),
        "annotations/_bind.py": ("tests/annotations/test_bind.py", *VIDEO),
    },
    "store": {
        "_core/store.py": ("tests/_core/test_store.py", *CORE, "tests/_core/test_remote_store.py"),
        "_core/store_format.py": ("tests/_core/test_store.py", *CORE),
        "_core/atomic.py": ("tests/_core/test_atomic.py", *CORE),
        "_core/compaction.py": ("tests/_core/test_store.py", *CORE),
        "_core/selection.py": ("tests/_core/test_selection.py", *CORE),
    },
}
"""Modules by what they decide, and the tests that must notice."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: the n-th that `changes` finds in a module."""

    number: int
    line: int
    what: str


QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""Hypothesis is loaded before the fork."""

COMPARE = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
BINARY = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.Pow: ast.Mult,
}


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, str, object, object]]:
    """Yield (node, field, new value, what) of every mutant; ``field`` ``""`` replaces a statement by ``pass``."""
    for node in _code(tree):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARE:
            new = COMPARE[type(node.ops[0])]
            yield node, "ops", [new()], f"{type(node.ops[0]).__name__} -> {new.__name__}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in BINARY:
            new = BINARY[type(node.op)]
            yield node, "op", new(), f"{type(node.op).__name__} -> {new.__name__}"
        elif isinstance(node, ast.BoolOp):
            new = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield node, "op", new(), f"{type(node.op).__name__} -> {new.__name__}"
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
            yield node, "op", ast.UAdd(), f"{type(node.op).__name__} left out"
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, "value", not node.value, f"{node.value} -> {not node.value}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield node, "value", node.value + 1, f"{node.value} -> {node.value + 1}"
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            turned = ast.UnaryOp(ast.Not(), node.test)
            yield node, "test", turned, f"condition turned: {ast.unparse(node.test)[:50]}"
        elif isinstance(node, ast.Break | ast.Continue):
            yield node, "", None, f"{type(node).__name__.lower()} left out"
        elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
            yield node, "value", ast.Constant(None), "returns None"
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.Raise) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        ):
            yield node, "", None, f"left out: {ast.unparse(node)[:60]}"


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through what runs and decides: no annotations, docstrings, texts of errors, exports, types."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) == "__all__":
                continue
            if isinstance(child, ast.FunctionDef) and child.name == "__repr__":
                continue
            if isinstance(child, ast.Raise):
                yield child
                continue
            yield child
            yield from _code(child)


def mutants_of(source: str) -> list[Mutant]:
    """Return all mutants of a module."""
    found = changes(ast.parse(source))
    return [Mutant(n, getattr(node, "lineno", 0), str(what)) for n, (node, _, _, what) in enumerate(found)]


def mutated(source: str, number: int) -> str:
    """Return the module with one change."""
    tree = ast.parse(source)
    for n, (node, name, value, _) in enumerate(changes(tree)):
        if n != number:
            continue
        if name:
            setattr(node, name, copy.deepcopy(value))
            break
        for parent in ast.walk(tree):
            for field, children in ast.iter_fields(parent):
                if isinstance(children, list) and node in children:
                    getattr(parent, field)[children.index(node)] = ast.Pass()
        break
    return ast.unparse(ast.fix_missing_locations(tree))


def _run_tests(tree: Path, tests: tuple[str, ...]) -> None:
    os.setsid()
    with (tree / "log").open("w") as sink:
        for stream in (1, 2):
            os.dup2(sink.fileno(), stream)
    os.chdir(tree)
    sys.path[:0] = [str(tree / "src"), str(tree / "tests"), str(tree)]
    os.environ["PYTHONPATH"] = str(tree / "src")
    base = tree / "base"
    import pytest

    there = [name for name in tests if (tree / name).exists()]
    code = pytest.main(
        ["-x", "-q", "-p", "no:cacheprovider", "--no-header", f"--basetemp={base}", *QUIET, *there]
    )
    sys.stdout.flush()
    os._exit(int(code))


def tests_pass(tree: Path, tests: tuple[str, ...], seconds: float) -> bool | None:
    """Run tests in a child that was forked with the libraries loaded; None where it took too long."""
    child = os.fork()
    if child == 0:
        try:
            _run_tests(tree, tests)
        except BaseException:  # noqa: BLE001  (the child must not go on as the parent does)
            traceback.print_exc()
        finally:
            os._exit(70)
    end = time.monotonic() + seconds
    try:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) == 0
            if time.monotonic() > end:
                return None
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def judge(tree: Path, module: str, tests: tuple[str, ...], sample: int, seed: int) -> dict[str, object]:
    """Run a sample of the mutants of one module; print what survives."""
    path = tree / "src" / "evfr" / module
    source = path.read_text("utf-8")
    found = mutants_of(source)
    drawn = sorted(
        random.Random(f"{seed} {module}").sample(found, min(sample, len(found))), key=lambda m: m.number
    )
    path.write_text(ast.unparse(ast.parse(source)))
    begun = time.monotonic()
    if tests_pass(tree, tests, 600.0) is not True:
        log = (tree / "log").read_text(errors="replace")[-3000:]
        raise SystemExit(f"{log}\n{module}: its tests fail without any change")
    took = time.monotonic() - begun
    killed, late, survived = 0, 0, []
    for mutant in drawn:
        path.write_text(mutated(source, mutant.number))
        verdict = tests_pass(tree, tests, 20.0 + 4 * took)
        late += verdict is None
        killed += verdict is not True
        if verdict is True:
            survived.append(mutant)
    path.write_text(source)
    print(
        f"{module}: {killed} of {len(drawn)} killed ({late} by time), of {len(found)} there are", flush=True
    )
    for mutant in survived:
        print(f"  survived: {module}:{mutant.line}: {mutant.what}", flush=True)
    return {"module": module, "drawn": len(drawn), "killed": killed, "survived": [m.what for m in survived]}


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--group", choices=tuple(GROUPS), action="append", help="may be repeated; default all"
    )
    parser.add_argument("--module", action="append", help="only this module, as in sampling/_select.py")
    parser.add_argument("--sample", type=int, default=25, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print the mutants and run none")
    given = parser.parse_args()
    chosen = {
        m: t
        for g in given.group or GROUPS
        for m, t in GROUPS[g].items()
        if given.module is None or m in given.module
    }
    if not chosen:
        raise SystemExit(f"no such module; there are {', '.join(m for g in GROUPS.values() for m in g)}")
    if given.list:
        for module in chosen:
            for mutant in mutants_of((ROOT / "src" / "evfr" / module).read_text("utf-8")):
                print(f"{module}:{mutant.line}: {mutant.what}")
        return 0
    os.environ.setdefault("EVFR_DATA", str(ROOT.parent / "shared" / "data"))
    os.environ.update(OMP_NUM_THREADS="1", OPENCV_FOR_THREADS_NUM="1", HYPOTHESIS_PROFILE="default")
    import av  # noqa: F401  (loaded once, before the forks)
    import cv2
    import hypothesis  # noqa: F401
    import numba  # noqa: F401
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pytest  # noqa: F401
    import scipy.spatial  # noqa: F401

    cv2.setNumThreads(1)
    results = []
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # tests of the store wait for the disk
    with tempfile.TemporaryDirectory(prefix="evfr-mutate-", dir=memory) as name:
        tree = Path(name) / "main"
        for part in ("src", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        for module, tests in chosen.items():
            results.append(judge(tree, module, tests, given.sample, given.seed))
    drawn, killed = (sum(int(str(r[key])) for r in results) for key in ("drawn", "killed"))
    print(f"all: {killed} of {drawn} mutants killed ({100 * killed / drawn:.0f} %)")
    print(json.dumps(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
