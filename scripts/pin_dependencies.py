"""Write constraints.txt: one exact version per dependency and Python, resolved by pip without installing.

Run it when a dependency should move:  python scripts/pin_dependencies.py
Needs python3.11, python3.12 and python3.13 on the PATH, each with pip >= 23.1, and the network; takes minutes. Each
Python resolves for itself, since pip reads markers for the Python that runs it. What torch brings for CUDA is not
pinned: it differs by machine, and torch itself says which it needs.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
OF_CUDA = re.compile(r"(nvidia|cuda)-|triton$")
HEADER = """\
# Versions that continuous integration runs with. Written by scripts/pin_dependencies.py; do not edit.
# Use: python -m pip install -c constraints.txt -e ".[test]"
"""


def requirements() -> list[str]:
    """Return what the project and its extras ask for, without itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], "hatchling>=1.25"]
    for extra in project["optional-dependencies"].values():
        wanted += [line for line in extra if not re.match(r"evfr\b", line)]
    return sorted(set(wanted))


def resolve(python: str, wanted: list[str]) -> dict[str, str]:
    """Return name to version as pip would install them on this system for one Python."""
    command = [f"python{python}", "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"]
    command += ["--report", "-", "--only-binary=:all:", *wanted]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    found = ((item["metadata"]["name"], item["metadata"]["version"]) for item in report["install"])
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}
    return {name: version for name, version in pins.items() if not OF_CUDA.match(name)}


def write(pins: dict[str, dict[str, str]]) -> str:
    """Return the text of constraints.txt, with a marker where Pythons differ."""
    lines = []
    for name in sorted({name for versions in pins.values() for name in versions}):
        versions = {python: pins[python][name] for python in PYTHONS if name in pins[python]}
        if len(set(versions.values())) == 1:
            lines.append(f"{name}=={next(iter(versions.values()))}")
            continue
        lines += [f'{name}=={version} ; python_version == "{python}"' for python, version in versions.items()]
    return HEADER + "\n".join(sorted(lines)) + "\n"


def main() -> None:
    """Resolve for every Python and write the file."""
    wanted = requirements()
    pins = {python: resolve(python, wanted) for python in PYTHONS}
    (ROOT / "constraints.txt").write_text(write(pins))
    print(f"constraints.txt: {sum(map(len, pins.values()))} versions for Python {', '.join(PYTHONS)}")


if __name__ == "__main__":
    main()
