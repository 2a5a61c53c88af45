"""Make the torture set: some 200 inputs that a user may meet, each with what is right to say about it.

    python tests/torture/make_torture.py FOLDER [DATA]

`CASES` is the table: name, expected status, codes, number of frames that decode, and how the file is made.
What stands there follows from how the file is made, never from what the code says about it.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from torture import cases_damage, cases_forms, cases_images, cases_names
from torture.case import Case, Workshop

__all__ = ["CASES", "make"]

CASES: tuple[Case, ...] = (
    *cases_damage.CASES,
    *cases_forms.CASES,
    *cases_names.CASES,
    *cases_images.CASES,
)


def make(folder: Path, data_dir: Path, names: set[str] | None = None, trap_port: int = 9) -> dict[str, Path]:
    """Write the set (or the cases named) below ``folder``; return where each case's input lies.

    The playlists point at ``trap_port`` of this machine.
    """
    workshop = Workshop(folder / "bases", data_dir, trap_port)
    paths = {}
    for case in CASES:
        if names is None or case.name in names:
            paths[case.name] = case.write(workshop, folder / "cases" / case.name)
    return paths


if __name__ == "__main__":
    default = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    for name, path in make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else default).items():
        print(f"{name}: {str(path)!a}")
