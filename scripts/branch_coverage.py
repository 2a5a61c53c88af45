"""Measure the branch coverage of `_core`, `video` and `sampling` by their tests, and fail below 95 % in any of them.

``python scripts/branch_coverage.py`` runs the default tests that mirror these folders; ``--missing`` prints lines and
branches that no test reaches. Child processes are measured too. Functions that Numba compiles are left out, by their
decorator: a tracer sees nothing in machine code, and their tests hold them to plain implementations instead. A test
that fails because measuring is slow does not count here: `make test` runs the same tests unmeasured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("_core", "video", "sampling")
LEAST = 95.0
TESTS = (
    *("tests/_core", "tests/video", "tests/sampling", "tests/torture", "tests/fuzz"),
    *(
        "tests/contracts/test_samplers.py",
        "tests/contracts/test_embedding_samplers.py",
        "tests/test_evfr_interface.py",
    ),
)
SETTINGS = """
[run]
branch = true
source = evfr
patch = subprocess
sigterm = true
data_file = {folder}/data

[report]
include = {include}
exclude_also =
    if TYPE_CHECKING:
    class \\w+\\(Protocol
    def \\w+_on_gpu
    @(\\w+\\.)?(njit|jit|vectorize|guvectorize|intrinsic)\\b
"""


def main() -> int:
    """Run the tests and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", "-n", default="2", help="processes that test")
    parser.add_argument("--missing", action="store_true", help="print every line and branch that is missed")
    parser.add_argument("tests", nargs="*", default=TESTS, help="what to run instead")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evfr-coverage-") as name:
        return measure(Path(name), given)


def measure(folder: Path, given: argparse.Namespace) -> int:
    """Run, combine, report."""
    settings = folder / "settings"
    include = ",".join(f"{ROOT}/src/evfr/{part}/*" for part in PARTS)
    settings.write_text(SETTINGS.format(folder=folder, include=include))
    coverage = [sys.executable, "-m", "coverage"]
    rc = f"--rcfile={settings}"
    tests = [
        "-m",
        "pytest",
        "-q",
        "-n",
        given.jobs,
        "--dist",
        "loadfile",
        "-p",
        "no:cacheprovider",
        *given.tests,
    ]
    if subprocess.run([*coverage, "run", rc, *tests], cwd=ROOT).returncode not in (0, 1):
        raise SystemExit("the tests did not run")
    subprocess.run([*coverage, "combine", rc, "--quiet", str(folder)], cwd=ROOT, check=True)
    subprocess.run([*coverage, "json", rc, "--quiet", "-o", str(folder / "json")], cwd=ROOT, check=True)
    if given.missing:
        subprocess.run([*coverage, "report", rc, "--show-missing", "--skip-covered"], cwd=ROOT, check=True)
    files = json.loads((folder / "json").read_text())["files"]
    status = 0
    for part in PARTS:
        found = [v["summary"] for k, v in files.items() if f"evfr/{part}/" in k]
        have = sum(s["covered_lines"] + s["covered_branches"] for s in found)
        total = sum(s["num_statements"] + s["num_branches"] for s in found)
        branches = sum(s["covered_branches"] for s in found), sum(s["num_branches"] for s in found)
        share, of_branches = 100 * have / total, 100 * branches[0] / branches[1]
        print(f"{part}: {share:.1f} % of lines and branches, {of_branches:.1f} % of {branches[1]} branches")
        if min(share, of_branches) < LEAST:
            print(f"FAILED: {part} is below {LEAST:g} %; see what is missed with --missing")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
