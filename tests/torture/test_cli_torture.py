"""Bad inputs through the command line: one line for each, the others go on, exit code 3, all of it on record."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from torture.make_torture import make

FAILED = {
    "empty.mp4": "E_EMPTY",
    "page.mp4": "E_CONTAINER",
    "no_moov.mp4": "E_CONTAINER",
    "list.m3u8": "E_CONTAINER",
    "sound.m4a": "E_NO_VIDEO",
    "fifo.mp4": "E_NOT_REGULAR",
    "loop.mp4": "E_UNREADABLE",
    "zip_escape.zip": "E_ARCHIVE",
    "absent.mp4": "E_NOT_FOUND",
}
PARTIAL = {"hole_2k.mp4": "W_CORRUPT", "cut_60.mkv": "W_TRUNCATED", "images_half": "W_IMAGE"}
SOUND = ("name_newline", "name_byte_ff", "name_html", "name_markup", "images_sizes", "size_change.264")


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    lines: list[str]
    manifest: dict
    frames: dict[str, list[int]]
    report: str
    files: list[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Run:
    folder = tmp_path_factory.mktemp("cli")
    names = [*FAILED, *PARTIAL, *SOUND]
    paths = make(folder, data_dir, set(names))
    inputs = [os.path.relpath(paths[name], folder / "cases") for name in names]
    # A name that starts with a dash, in the folder where the command runs.
    (folder / "cases" / "-rf.mp4").write_bytes((folder / "bases" / "small.mp4").read_bytes())
    command = [sys.executable, "-m", "evfr", "select", "--out", str(folder / "out"), "--ratio", "0.2"]
    command += [
        "--signal",
        "difference",
        "--store",
        str(folder / "store"),
        "--jobs",
        "1",
        "--timeout-seconds",
        "60",
    ]
    done = subprocess.run(
        [os.fsencode(part) for part in [*command, "--", *inputs, "-rf.mp4"]],
        cwd=folder / "cases",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=240,
        check=False,
    )
    table = pq.read_table(folder / "out" / "selection.parquet").to_pydict()
    frames: dict[str, list[int]] = {}
    for video, index in zip(table["video_id"], table["frame_index"], strict=True):
        frames.setdefault(video, []).append(index)
    return Run(
        done.returncode,
        done.stdout.decode(),
        done.stderr.decode().splitlines(),
        json.loads((folder / "out" / "selection.json").read_text()),
        frames,
        (folder / "out" / "report.html").read_text(encoding="utf-8"),
        sorted(path.name for path in (folder / "out" / "frames").rglob("*.jpg")),
    )


def video_of(run: Run, name: str) -> str:
    found = [
        entry["video_id"] for entry in run.manifest["inputs"] if entry["video_id"].startswith(f"{name}/")
    ]
    assert len(found) == 1, name
    return found[0]


def test_exit_code_says_that_some_inputs_were_bad(run: Run) -> None:
    assert run.code == 3, run.lines


@pytest.mark.parametrize(("name", "code"), [*FAILED.items(), *PARTIAL.items()])
def test_one_line_on_stderr_for_each_problem(run: Run, name: str, code: str) -> None:
    video = video_of(run, name)
    lines = [line for line in run.lines if f"{video}: {code}: " in line]
    assert len(lines) == 1, run.lines
    assert lines[0].startswith("evfr: bad input: " if name in FAILED else "evfr: warning: ")


def test_nothing_else_is_on_stderr(run: Run) -> None:
    assert sum(line.startswith("evfr: bad input: ") for line in run.lines) == len(FAILED), run.lines
    known = re.compile(r"evfr: (bad input|warning|measuring|extracting|note|writing)\b")
    assert [line for line in run.lines if not known.match(line)] == []
    assert all(line.isprintable() for line in run.lines)
    assert "Traceback" not in "\n".join([run.out, *run.lines])


@pytest.mark.parametrize("name", [*PARTIAL, *SOUND])
def test_the_others_go_on(run: Run, name: str) -> None:
    assert run.frames[video_of(run, name)]


def test_a_name_with_a_dash_is_a_name(run: Run) -> None:
    assert run.frames["-rf.mp4"]


def test_no_suspect_or_lost_frame_is_selected(run: Run) -> None:
    assert 4 not in run.frames[video_of(run, "images_half")]
    damaged = run.frames[video_of(run, "hole_2k.mp4")]
    # The hole lies in the fourth of six groups of 10 frames.
    assert not set(damaged) & set(range(30, 40))


def test_budget_counts_usable_frames_only(run: Run) -> None:
    usable = sum(entry.get("selectable", 0) for entry in run.manifest["inputs"])
    assert sum(map(len, run.frames.values())) == round(0.2 * usable) == len(run.files)


@pytest.mark.parametrize(("name", "code"), [*FAILED.items(), *PARTIAL.items()])
def test_manifest_and_report_name_the_problem(run: Run, name: str, code: str) -> None:
    video = video_of(run, name)
    entry = next(entry for entry in run.manifest["inputs"] if entry["video_id"] == video)
    assert entry["status"] == ("failed" if name in FAILED else "partial")
    assert any(p["source"] == video and p["code"] == code for p in run.manifest["problems"])
    assert code in run.report


def test_report_holds_no_markup_from_names(run: Run) -> None:
    assert "<img src=x" not in run.report
    assert "onerror=alert" in run.report
