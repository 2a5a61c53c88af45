"""The whole torture set through the reader: right status, codes and counts; no hang, no crash, no silent loss."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evfr.distributed import Outcome, map_videos
from torture.case import Case
from torture.make_torture import CASES, make
from torture.reading import Flagging, Reading, deviations, flagging, read_input

FLAGGED_LEAST = 0.95
SECONDS_MOST = 30.0


class Trap:
    """Listen where the playlists point, and count who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                visitor, _ = self._server.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torture")


@pytest.fixture(scope="module")
def paths(folder: Path, data_dir: Path, trap: Trap) -> dict[str, Path]:
    began = time.monotonic()
    made = make(folder, data_dir, trap_port=trap.port)
    print(f"\n{len(made)} inputs made in {time.monotonic() - began:.1f} s")
    return made


@pytest.fixture(scope="module")
def outcomes(paths: dict[str, Path]) -> tuple[dict[str, Outcome], float]:
    began = time.monotonic()
    results = map_videos(
        read_input, list(paths.values()), executor="processes", jobs=2, timeout_seconds=20.0, tries=1
    )
    return dict(zip(paths, results, strict=True)), time.monotonic() - began


def reading_of(outcomes: tuple[dict[str, Outcome], float], name: str) -> Reading:
    outcome = outcomes[0][name]
    assert outcome.problem is None, str(outcome.problem)
    assert isinstance(outcome.value, Reading)
    return outcome.value


def test_set_is_large_and_names_are_unique() -> None:
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_input_is_judged_right(case: Case, outcomes: tuple[dict[str, Outcome], float]) -> None:
    reading = reading_of(outcomes, case.name)
    assert not deviations(case, reading), "\n".join([*deviations(case, reading), *reading.messages])


def test_set_is_read_in_time(outcomes: tuple[dict[str, Outcome], float]) -> None:
    print(f"{len(outcomes[0])} inputs read in {outcomes[1]:.1f} s by 2 processes")
    assert outcomes[1] < SECONDS_MOST


def test_no_playlist_reached_the_network(outcomes: tuple[dict[str, Outcome], float], trap: Trap) -> None:
    assert len(outcomes[0]) == len(CASES)
    assert trap.visits == 0


def test_every_problem_is_one_printable_line(outcomes: tuple[dict[str, Outcome], float]) -> None:
    for name in outcomes[0]:
        for message in reading_of(outcomes, name).messages:
            assert message.isprintable(), ascii(message)


def test_wrong_frames_of_damaged_h264_are_flagged(
    outcomes: tuple[dict[str, Outcome], float], folder: Path
) -> None:
    rows: list[tuple[str, Flagging]] = []
    for case in CASES:
        reading = reading_of(outcomes, case.name)
        if case.original is not None and reading.status != "failed":
            rows.append((case.name, flagging(reading, folder / "bases" / case.original)))
    wrong, caught = sum(f.wrong for _, f in rows), sum(f.wrong_flagged for _, f in rows)
    right, accused = sum(f.right for _, f in rows), sum(f.right_flagged for _, f in rows)
    for name, f in rows:
        if f.wrong_flagged < f.wrong:
            print(f"{name}: {f.wrong_flagged} of {f.wrong} wrong frames flagged")
    print(
        f"{len(rows)} damaged H.264 clips: {caught} of {wrong} wrong frames flagged ({caught / wrong:.1%}), "
        f"{accused} of {right} right frames flagged ({accused / right:.1%})"
    )
    assert len(rows) >= 40
    assert wrong >= 500
    assert caught >= FLAGGED_LEAST * wrong
    assert accused <= 0.2 * right
