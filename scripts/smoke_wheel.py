"""Try an installed evfr as a new user would: run this with the Python that it was installed for.

    python scripts/smoke_wheel.py FOLDER

Standard library only. FOLDER is made; what the commands write stays there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

MAY_NOT_BE_THERE = ("torch", "scipy", "pandas", "pytest", "scikit-image")


def run(folder: Path, *words: str, code: int = 0) -> str:
    """Run one evfr command in the folder and return its output; stop if it ends otherwise than expected."""
    command = Path(sysconfig.get_path("scripts")) / "evfr"
    done = subprocess.run([command, *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise SystemExit(f"evfr {' '.join(words)}: exit {done.returncode}, not {code}\n{done.stderr[-2000:]}")
    return done.stdout


def main() -> None:
    """Install nothing, read nothing but the installed package, and check what the commands leave."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    installed = {str(item.metadata["Name"]).lower() for item in metadata.distributions()}
    surplus = installed.intersection(MAY_NOT_BE_THERE)
    if surplus:
        raise SystemExit(f"the core install brought {', '.join(sorted(surplus))}")
    version = metadata.version("evfr")
    if run(folder, "--version").split()[:2] != ["evfr", version]:
        raise SystemExit("evfr --version does not say the installed version")
    run(folder, "doctor")
    run(folder, "demo")
    manifest = json.loads((folder / "evfr-out" / "selection.json").read_text())
    frames = sorted((folder / "evfr-out" / "frames").iterdir())
    if (
        len(frames) != manifest["summary"]["selected"]
        or not (folder / "evfr-out" / "report.html").stat().st_size
    ):
        raise SystemExit("evfr demo did not leave the frames that its manifest names, and a report")
    chosen = run(
        folder, "select", "evfr-out/demo.mp4", "--n", "5", "--method", "farthest", "--out", "five", "--json"
    )
    if json.loads(chosen)["summary"]["selected"] != 5:
        raise SystemExit("evfr select did not select five frames")
    run(folder, "extract", "five", "--out", "again", "--image-format", "png")
    run(folder, "select", "nothing.mp4", "--n", "5", code=1)
    run(folder, "select", "--n", "many", code=2)
    with zipfile.ZipFile(folder / "broken.zip", "w") as archive:
        archive.writestr("a.txt", "no picture")
    (folder / "two").mkdir()
    (folder / "evfr-out" / "demo.mp4").rename(folder / "two" / "demo.mp4")
    (folder / "two" / "broken.mp4").write_bytes(b"not a video")
    run(folder, "select", "two", "--n", "5", "--out", "kept", code=3)
    print(f"evfr {version} on Python {sys.version.split()[0]}: sound")


if __name__ == "__main__":
    main()
