"""Damaged files in the reader's other modes: a second time, under each policy, and by exact extraction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evfr._core.types import FrameTable
from evfr.distributed import map_videos
from evfr.errors import ProblemCode, VideoError
from evfr.video import extract_frames, scan
from torture.make_torture import CASES, make

NAMES = tuple(case.name for case in CASES if case.original is not None and case.name != "halves_swapped.mp4")[
    ::2
]
DAMAGE = {ProblemCode.W_CORRUPT, ProblemCode.W_TRUNCATED}


def columns(table: FrameTable) -> tuple[list, ...]:
    return tuple(
        column.tolist() for column in (table.pts, table.luma_hash, table.is_decoded, table.is_suspect)
    )


def compare_modes(path: Path, heartbeat: object = None) -> list[str]:
    """Say where the modes disagree; nothing is right."""
    found = []
    try:
        table, info, problems = scan(path)
    except VideoError as error:
        # Nothing sound is left: the policy that takes damage gives frames, the strict one an error.
        if error.problem.code is not ProblemCode.E_NO_FRAMES:
            return [f"refused: {error}"]
        table, info, problems = scan(path, damaged="keep")
        return [] if bool(table.is_decoded.any()) else ["nothing decodes under keep"]
    again, info_again, problems_again = scan(path)
    if columns(again) != columns(table) or problems_again != problems or info_again.status != info.status:
        found.append("a second pass gives another result")
    kept, _, _ = scan(path, damaged="keep")
    if not np.array_equal(kept.luma_hash, table.luma_hash) or bool((kept.is_suspect & kept.is_decoded).any()):
        found.append("keep changes frames or still suspects them")
    is_damaged = bool({problem.code for problem in problems} & DAMAGE)
    try:
        scan(path, damaged="fail")
        if is_damaged:
            found.append("fail does not fail")
    except VideoError as error:
        if not is_damaged or error.problem.code is not ProblemCode.E_DAMAGED:
            found.append(f"fail says {error.problem.code}")
    sound = np.flatnonzero(table.is_selectable)
    wanted = [int(i) for i in sound[:: max(1, len(sound) // 6)]]
    if [frame.frame_index for frame in extract_frames(path, wanted, table)] != wanted:
        found.append("extraction gives other frames than asked")
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> dict[str, object]:
    paths = make(tmp_path_factory.mktemp("modes"), data_dir, set(NAMES))
    outcomes = map_videos(
        compare_modes,
        [paths[name] for name in NAMES],
        executor="processes",
        jobs=1,
        timeout_seconds=30.0,
        tries=1,
    )
    return {
        name: outcome.problem if outcome.problem is not None else outcome.value
        for name, outcome in zip(NAMES, outcomes, strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_modes_agree_on_damaged_h264(name: str, answers: dict[str, object]) -> None:
    assert answers[name] == []
