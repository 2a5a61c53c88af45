"""Read one input of the torture set in a child process, and compare what comes out with the table of cases."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from evfr._core.types import PTS_NONE, FrameTable
from evfr.errors import VideoError
from evfr.video import content_hash, scan
from torture.case import Case

__all__ = ["Flagging", "Reading", "deviations", "flagging", "read_input"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader says about one input; ``pts`` to ``suspect`` hold a row for every place."""

    status: str
    codes: tuple[str, ...]
    messages: tuple[str, ...]
    size: tuple[int, int] = (0, 0)
    pts: tuple[int, ...] = ()
    hashes: tuple[int, ...] = ()
    decoded: tuple[bool, ...] = ()
    suspect: tuple[bool, ...] = ()


def read_input(path: Path, heartbeat: object = None) -> Reading:
    """Read to the end; problems of the input become a reading with status ``failed``."""
    try:
        table, info, problems = scan(path)
        assert len(content_hash(path)) == 32
    except VideoError as error:
        return Reading("failed", (str(error.problem.code),), (str(error),))
    return Reading(
        info.status,
        tuple(str(problem.code) for problem in problems),
        tuple(str(problem) for problem in problems),
        (table.width, table.height),
        *_columns(table),
    )


def _columns(table: FrameTable) -> tuple[tuple, tuple, tuple, tuple]:
    columns = (table.pts, table.luma_hash, table.is_decoded, table.is_suspect)
    return tuple(tuple(column.tolist()) for column in columns)


def deviations(case: Case, reading: Reading) -> list[str]:
    """Say, one line each, where a reading is not what the table says."""
    found = []
    if reading.status not in case.statuses:
        found.append(f"status {reading.status}, right is {' or '.join(case.statuses)}")
    codes = set(reading.codes)
    if "*" not in case.allowed:
        if reading.status == "failed":
            if "failed" in case.statuses and not codes & case.failures:
                found.append(f"codes {sorted(codes)}, right is one of {sorted(case.failures)}")
        else:
            if case.codes - codes:
                found.append(f"{sorted(case.codes - codes)} not reported")
            if codes - case.codes - case.allowed:
                found.append(f"{sorted(codes - case.codes - case.allowed)} reported without reason")
    if reading.status == "partial" and not codes:
        found.append("partial without a problem")
    if reading.status == "ok" and (any(reading.suspect) or not all(reading.decoded)):
        found.append("ok with suspect or lost frames")
    if reading.status == "failed":
        return found
    count = sum(reading.decoded)
    if case.frames is not None and not case.frames[0] <= count <= case.frames[1]:
        found.append(f"{count} frames decode, right is {case.frames[0]} .. {case.frames[1]}")
    if case.places is not None and len(reading.pts) != case.places:
        found.append(f"{len(reading.pts)} places, right is {case.places}")
    if case.size is not None and reading.size != case.size:
        found.append(f"size {reading.size}, right is {case.size}")
    return found


@dataclass(frozen=True, slots=True)
class Flagging:
    """How many frames of one damaged clip are wrong, and how many are flagged."""

    wrong: int
    wrong_flagged: int
    right: int
    right_flagged: int


@functools.cache
def _original(path: Path) -> dict[int, int]:
    table, _, _ = scan(path)
    assert bool((table.pts != PTS_NONE).all())
    return dict(zip(table.pts.tolist(), table.luma_hash.tolist(), strict=True))


def flagging(reading: Reading, original: Path) -> Flagging:
    """Compare each decoded frame with the frame of the same time stamp in the sound clip."""
    truth = _original(original)
    tally = {(wrong, flagged): 0 for wrong in (True, False) for flagged in (True, False)}
    for pts, luma, is_decoded, is_suspect in zip(
        reading.pts, reading.hashes, reading.decoded, reading.suspect, strict=True
    ):
        if is_decoded:
            tally[truth.get(pts) != luma, is_suspect] += 1
    return Flagging(
        tally[True, True] + tally[True, False],
        tally[True, True],
        tally[False, True] + tally[False, False],
        tally[False, True],
    )
