"""Executors whose workers may die: deaths, hangs, memory, full disks; the others finish and the store is the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from evfr._core.atomic import TEMPORARY_GLOB
from evfr._core.store import Store
from evfr.distributed import Outcome, map_videos
from evfr.errors import ProblemCode
from evfr.verbs._measure import MeasureJob
from evfr.video import resolve_inputs
from helpers import jobs
from helpers.clips import moving_square, write_clip
from helpers.clusters import local_cluster

DEADLY = ("processes", "ray")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with local_cluster():
        yield


@pytest.fixture(params=DEADLY)
def executor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(executor: str, kinds: list[str], folder: Path, **options: object) -> list[Outcome]:
    items = [(kind, str(folder)) for kind in kinds]
    return map_videos(jobs.misbehave, items, executor=executor, jobs=2, **options)  # type: ignore[arg-type]


def test_a_worker_killed_once_is_replaced(executor: str, tmp_path: Path) -> None:
    outcomes = run(executor, ["a", "kill_once", "b", "c"], tmp_path)
    assert [outcome.value for outcome in outcomes] == ["a done", "kill_once survived", "b done", "c done"]
    assert [outcome.attempts for outcome in outcomes] == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "kill",
            r"killed by SIGKILL \(as the system does when memory is short: use fewer jobs\); given up after 3",
        ),
        (
            "segv",
            r"SIGSEGV \(Segmentation fault\); its last output was 'native library: something is very wrong'",
        ),
        ("exit", r"its process ended with exit status 7; given up after 3 tries"),
    ],
)
def test_a_video_that_always_kills_is_quarantined(
    executor: str, tmp_path: Path, kind: str, text: str
) -> None:
    outcomes = run(executor, [kind, "a", "b"], tmp_path)
    assert [outcome.value for outcome in outcomes] == [None, "a done", "b done"]
    problem = outcomes[0].problem
    assert problem is not None
    assert problem.code is ProblemCode.E_CRASH
    assert problem.source == "item 0"
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(problem.message)
    assert outcomes[0].attempts == 3


@pytest.mark.slow
def test_a_hang_is_killed_and_patience_with_the_living(executor: str, tmp_path: Path) -> None:
    outcomes = run(executor, ["hang", "slow_but_alive", "hang_once"], tmp_path, timeout_seconds=1.0, tries=2)
    assert [outcome.value for outcome in outcomes] == [None, "slow_but_alive done", "hang_once survived"]
    problem = outcomes[0].problem
    assert problem is not None
    assert (problem.code, outcomes[0].attempts) == (ProblemCode.E_TIMEOUT, 2)
    assert problem.message == "no progress for 1 seconds; given up after 2 tries"


def test_out_of_memory(executor: str, tmp_path: Path) -> None:
    outcomes = run(executor, ["grow", "a"], tmp_path, memory_limit_mb=400, tries=1)
    assert outcomes[1].value == "a done"
    problem = outcomes[0].problem
    assert problem is not None
    assert problem.code is ProblemCode.E_MEMORY
    assert problem.message == "it needs more than the memory limit of 400 MiB"


def test_a_fat_worker_is_replaced_before_the_next_video(executor: str, tmp_path: Path) -> None:
    thin = map_videos(jobs.hoard, [0, 1, 2], executor=executor, jobs=1)
    assert len({outcome.value for outcome in thin}) == 1
    fat = map_videos(jobs.hoard, [0, 1, 2], executor=executor, jobs=1, memory_limit_mb=220)
    assert all(outcome.is_ok and outcome.attempts == 1 for outcome in fat)
    assert len({outcome.value for outcome in fat}) == 3


def test_noise_of_children_stays_theirs(
    executor: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcomes = run(executor, ["noise", "segv", "noise"], tmp_path, tries=1)
    assert [outcome.value for outcome in outcomes] == ["noise done", None, "noise done"]
    assert outcomes[1].traceback == "native library: something is very wrong\n"
    assert capfd.readouterr() == ("", "")


def test_a_result_that_does_not_pickle(executor: str, tmp_path: Path) -> None:
    outcome = run(executor, ["unpicklable"], tmp_path)[0]
    assert outcome.problem is not None
    assert outcome.problem.code is ProblemCode.E_CRASH
    # Python 3.13 words it without "pickle".
    assert re.search("pickle|get local object", outcome.problem.message)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with six clips of twelve frames."""
    folder = tmp_path_factory.mktemp("footage")
    for number in range(6):
        write_clip(folder / f"{number}.mp4", moving_square(12, seed=number))
    return folder


def measure(
    executor: str, kinds: list[str], footage: Path, folder: Path, **options: object
) -> tuple[list[Outcome], list[int]]:
    """Measure the clips into ``folder/store``; return the outcomes and how often each clip was started."""
    (folder / "starts").mkdir(parents=True, exist_ok=True)
    sources = resolve_inputs([footage])
    items = [
        (
            kind,
            MeasureJob(source, folder / "store", ("difference",), "fast", None, "drop", 1),
            str(folder / "starts"),
        )
        for kind, source in zip(kinds, sources, strict=True)
    ]
    outcomes = map_videos(jobs.measure, items, executor=executor, jobs=2, **options)  # type: ignore[arg-type]
    marks = [folder / "starts" / Path(source.video_id).name for source in sources]
    return outcomes, [len(mark.read_text()) if mark.exists() else 0 for mark in marks]


def entries(folder: Path) -> dict[str, bytes]:
    """Return the finished files of a store, having checked that each reads well."""
    store = Store(folder / "store")
    assert {finding.status for finding in store.verify()} <= {"ok", "leftover"}
    return {path.relative_to(store.root).as_posix(): path.read_bytes() for path in store.files()}


@pytest.fixture(scope="module")
def clean(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the entries of a store that was made here without accidents."""
    folder = tmp_path_factory.mktemp("clean")
    measure("serial", ["ok"] * 6, footage, folder)
    return entries(folder)


def of_videos(clean: dict[str, bytes], outcomes: list[Outcome]) -> dict[str, bytes]:
    """Return those entries of the clean store that belong to videos that succeeded."""
    store = Store("anywhere")
    keys = [key for o in outcomes if o.is_ok for key in (o.value.frames, *o.value.signals.values())]
    names = {store.path(key).relative_to(store.root).as_posix() for key in keys}
    return {name: data for name, data in clean.items() if name in names}


@pytest.mark.slow
def test_a_clean_run_makes_the_same_store(
    executor: str, footage: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    outcomes, starts = measure(executor, ["ok"] * 6, footage, tmp_path)
    assert all(outcome.is_ok for outcome in outcomes)
    assert starts == [1] * 6
    assert entries(tmp_path) == clean
    assert len(clean) == 12


@pytest.mark.slow
def test_videos_that_always_kill_or_hang_cost_the_others_nothing(
    executor: str, footage: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    """They die halfway through writing; the others are started once, and their entries are those of a clean run."""
    kinds = ["ok", "kill", "ok", "hang", "ok", "ok"]
    outcomes, starts = measure(executor, kinds, footage, tmp_path, timeout_seconds=4.0, tries=2)
    assert [outcome.is_ok for outcome in outcomes] == [kind == "ok" for kind in kinds]
    codes = [outcome.problem.code for outcome in outcomes if outcome.problem is not None]
    assert codes == [ProblemCode.E_CRASH, ProblemCode.E_TIMEOUT]
    assert starts == [1, 2, 1, 2, 1, 1]
    assert entries(tmp_path) == of_videos(clean, outcomes)
    assert len(entries(tmp_path)) == 2 * kinds.count("ok")

    outcomes, starts = measure(executor, ["ok"] * 6, footage, tmp_path)
    assert [outcome.value.is_cached for outcome in outcomes] == [kind == "ok" for kind in kinds]
    assert entries(tmp_path) == clean


@pytest.mark.parametrize("executor", ["serial", *DEADLY])
@pytest.mark.slow
def test_a_full_disk_is_one_clear_problem(
    executor: str, footage: Path, clean: dict[str, bytes], tmp_path: Path
) -> None:
    kinds = ["ok", "disk_full", "ok", "ok", "ok", "ok"]
    outcomes, starts = measure(executor, kinds, footage, tmp_path)
    assert [outcome.is_ok for outcome in outcomes] == [kind == "ok" for kind in kinds]
    problem = outcomes[1].problem
    assert problem is not None
    assert problem.code is ProblemCode.E_FAILED
    assert problem.message.startswith(f"cannot write '{tmp_path}")
    assert problem.message.endswith("No space left on device; free some space and run again")
    assert starts == [1] * 6, "an answer is no death"
    assert not list(tmp_path.rglob(TEMPORARY_GLOB)), "nothing half-written is left"
    assert entries(tmp_path) == of_videos(clean, outcomes)
    assert len(entries(tmp_path)) == 2 * kinds.count("ok")

    measure(executor, ["ok"] * 6, footage, tmp_path)
    assert entries(tmp_path) == clean
