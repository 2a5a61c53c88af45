"""Build what would be published and try it: python scripts/check_release.py [PYTHON ...] [--debian SUITE]

Builds the source archive and, from it, the wheel; lets twine check both; then installs the wheel, with the pinned
versions, in a fresh environment of each Python named (default: the one that runs this) and runs scripts/smoke_wheel.py
there. `--debian trixie` does the same on that release's own Python, in a folder that debootstrap fills (root is needed,
and a package mirror; a folder given by --root is filled once and used again).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIP_SETTINGS = ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf")
OF_THE_HOST = ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt")


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> None:
    """Say what is run, and run it."""
    print("+", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, env=env, cwd=cwd)


def build(folder: Path) -> Path:
    """Build the source archive and the wheel from it, let twine check both, and return the wheel."""
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(folder.iterdir()))
    (wheel,) = folder.glob("evfr-*.whl")
    return wheel


def try_python(python: str, wheel: Path, folder: Path) -> None:
    """Install the wheel for one Python and try it."""
    environment = folder / "venv"
    run(python, "-m", "venv", environment)
    own = environment / "bin" / "python"
    run(own, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    variables = {**os.environ, "EVFR_STORE": str(folder / "store")}
    run(own, ROOT / "scripts" / "smoke_wheel.py", folder / "work", env=variables, cwd=folder)


def try_debian(suite: str, wheel: Path, root: Path) -> None:
    """Install the wheel on a Debian release's own Python, in a folder of its own, and try it."""
    if not (root / "usr" / "bin" / "python3").exists():
        run("debootstrap", "--variant=minbase", "--include=python3-venv,ca-certificates", suite, root)
    for name in (*OF_THE_HOST, *PIP_SETTINGS):  # the same package index and certificates as outside
        path = Path(name).expanduser()
        if path.exists():
            target = root / ("etc/pip.conf" if path.name == "pip.conf" else name.lstrip("/"))
            shutil.copyfile(path, target)
    work = root / "evfr-release"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for path in (wheel, ROOT / "constraints.txt", ROOT / "scripts" / "smoke_wheel.py"):
        shutil.copy(path, work)
    script = (
        "cd /evfr-release && python3 -m venv venv && venv/bin/python -m pip install -q -c constraints.txt "
        f"./{wheel.name} && EVFR_STORE=/evfr-release/store venv/bin/python smoke_wheel.py work"
    )
    run("mount", "-t", "proc", "proc", root / "proc")
    try:
        run("chroot", root, "/bin/sh", "-c", script)
    finally:
        run("umount", root / "proc")


def main() -> None:
    """Read the words and do all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--debian", metavar="SUITE", help="try the wheel on this Debian release's Python too")
    parser.add_argument("--root", type=Path, help="the folder for --debian; kept, and used again")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evfr-release-") as name:
        folder = Path(name)
        wheel = build(folder / "dist")
        for number, python in enumerate(words.pythons):
            (folder / f"python-{number}").mkdir()
            try_python(python, wheel, folder / f"python-{number}")
        if words.debian:
            try_debian(words.debian, wheel, words.root or folder / words.debian)
        for path in sorted((folder / "dist").iterdir()):
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
