"""What is shipped: complete metadata, and a wheel that does the main job without the test extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import evfr

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {"numpy", "av", "pyarrow", "pillow", "opencv-contrib-python-headless", "numba", "typer", "rich"}


def name_of(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower()


def test_core_dependencies_are_the_agreed_ones() -> None:
    assert {name_of(line) for line in PROJECT["dependencies"]} == CORE
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_dependency_is_pinned_for_ci_without_addresses() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z0-9.-]+==[\w.]+( ; python_version == "3\.\d+")?', line) for line in lines)
    pinned = {name_of(line) for line in lines}
    extras = PROJECT["optional-dependencies"].values()
    wanted = {name_of(line) for extra in [PROJECT["dependencies"], *extras] for line in extra} - {"evfr"}
    assert wanted <= pinned


def test_pyav_18_for_python_3_11_and_19_for_newer() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert re.search(r'^av==18\.\S+ ; python_version == "3.11"$', text, re.MULTILINE)
    for python in ("3.12", "3.13"):
        assert re.search(rf'^av==19\.\S+ ; python_version == "{python}"$', text, re.MULTILINE)


def test_changelog_citation_and_package_name_one_version_and_day() -> None:
    """What is cited is what was released: the newest numbered section of the changelog."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version, day = re.search(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE).groups()
    citation = (ROOT / "CITATION.cff").read_text()
    assert version == evfr.__version__
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == version
    assert re.search(r'^date-released: "(\S+)"$', citation, re.MULTILINE)[1] == day


def test_ci_runs_the_readme_command_as_printed() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "python3 scripts/readme_command.py test" in script
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "readme_command.py", "test"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() in (ROOT / "README.md").read_text()
    assert done.stdout.strip().endswith("-m pytest -q -n auto --dist loadfile")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, cwd=folder)
    (path,) = folder.glob("evfr-*.whl")
    return path


@pytest.mark.slow
def test_wheel_holds_what_it_needs_and_no_more(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "evfr/py.typed" in names
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "src"], check=True, capture_output=True, text=True
    )
    shipped = {name.removeprefix("src/") for name in tracked.stdout.splitlines()}
    info = f"evfr-{evfr.__version__}.dist-info/"
    assert {name for name in names if not name.startswith(info)} == shipped
    assert any(name.startswith(f"{info}licenses/LICENSE") for name in names)
    assert any(name.startswith("evfr/reports/vendor/") for name in names)
