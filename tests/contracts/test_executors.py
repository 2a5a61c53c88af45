"""Every executor keeps the contract of `map_videos`; an outsider's callable is held to it as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evfr.distributed import EXECUTORS, ExecutionOptions, Executor, Heartbeat, Outcome, map_videos, run_item
from evfr.errors import ProblemCode, WorkerError
from helpers import jobs
from helpers.clusters import local_cluster


def backwards(
    fn: Callable[[Any, Heartbeat], Any], items: Sequence[Any], options: ExecutionOptions, /
) -> Iterator[Outcome]:
    """Somebody else's executor: yields in another order."""

    def beat(index: int) -> Heartbeat:
        return lambda done, total: options.on_progress and options.on_progress(index, done, total)

    for index in reversed(range(len(items))):
        yield run_item(fn, index, items[index], beat(index))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with local_cluster():
        yield


ALL: dict[str, Executor] = {**EXECUTORS, "a third party's": backwards}


@pytest.fixture(params=list(ALL))
def executor(request: pytest.FixtureRequest) -> str | Executor:
    return request.param if request.param in EXECUTORS else ALL[request.param]


def test_clean_run_in_input_order(executor: str | Executor) -> None:
    outcomes = map_videos(jobs.double, list(range(9)), executor=executor, jobs=2)
    assert [outcome.value for outcome in outcomes] == [2 * item for item in range(9)]
    assert [outcome.item_index for outcome in outcomes] == list(range(9))
    assert all(outcome.is_ok and outcome.attempts == 1 for outcome in outcomes)


def test_nothing_to_do(executor: str | Executor) -> None:
    assert map_videos(jobs.double, [], executor=executor) == []


def test_failures_stop_nobody(executor: str | Executor, tmp_path: Path) -> None:
    kinds = ["a", "video_error", "store_error", "bug", "memory_error", "b"]
    outcomes = map_videos(
        jobs.misbehave, [(kind, str(tmp_path)) for kind in kinds], executor=executor, jobs=2
    )
    assert [outcome.value for outcome in outcomes] == ["a done", None, None, None, None, "b done"]
    assert [outcome.problem and outcome.problem.code for outcome in outcomes] == [
        None,
        ProblemCode.E_NO_VIDEO,
        ProblemCode.E_FAILED,
        ProblemCode.E_CRASH,
        ProblemCode.E_MEMORY,
        None,
    ]
    assert all(outcome.attempts == 1 for outcome in outcomes), "an exception is final: nothing is tried again"
    assert "No space left on device" in outcomes[2].problem.message
    assert "a bug: TypeError: unsupported operand" in outcomes[3].problem.message
    assert "in misbehave" in outcomes[3].traceback
    assert outcomes[0].traceback is None
    assert outcomes[1].problem.source == "b.mp4"
    assert outcomes[3].problem.source == "item 3"


def test_progress_and_outcomes_are_told(executor: str | Executor) -> None:
    beats: list[tuple[int, int, int | None]] = []
    told: list[int] = []
    map_videos(
        jobs.double,
        [5, 6, 7],
        executor=executor,
        jobs=2,
        on_progress=lambda *beat: beats.append(beat),
        on_outcome=lambda outcome: told.append(outcome.item_index),
    )
    assert sorted(told) == [0, 1, 2]
    assert {(0, 2, 2), (1, 2, 2), (2, 2, 2)} <= set(beats)


@pytest.mark.slow
def test_large_results_are_the_same_for_any_number_of_workers(executor: str | Executor) -> None:
    expected = [jobs.table(item, lambda done, total: None) for item in range(4)]
    for count in (1, 2, 4):
        outcomes = map_videos(jobs.table, list(range(4)), executor=executor, jobs=count)
        for outcome, table in zip(outcomes, expected, strict=True):
            assert outcome.value.equals(table)


def test_an_error_of_the_caller_stops_everything(executor: str | Executor) -> None:
    def on_outcome(outcome: Outcome) -> None:
        raise RuntimeError("the caller has had enough")

    with pytest.raises(RuntimeError, match="the caller has had enough"):
        map_videos(jobs.double, [1, 2, 3], executor=executor, on_outcome=on_outcome)


class TestOptions:
    def test_unknown_executor(self) -> None:
        with pytest.raises(
            ValueError, match=r"executor must be one of \['processes', 'ray', 'serial'\] or a callable"
        ):
            map_videos(jobs.double, [1], executor="threads")

    @pytest.mark.parametrize("options", [{"jobs": 0}, {"tries": 0}])
    def test_counts(self, options: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=r"must be 1 or more, got 0"):
            map_videos(jobs.double, [1], **options)

    @pytest.mark.parametrize("options", [{"memory_limit_mb": 0}, {"timeout_seconds": -1.0}])
    def test_limits(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"must be positive or None"):
            map_videos(jobs.double, [1], **options)

    def test_gpus(self) -> None:
        with pytest.raises(ValueError, match=r"gpus_per_worker must be 0 or more, got -1"):
            map_videos(jobs.double, [1], executor="ray", gpus_per_worker=-1)
        with pytest.raises(ValueError, match=r"gpus_per_worker is for executor='ray', .* 0 with 'processes'"):
            map_videos(jobs.double, [1], executor="processes", gpus_per_worker=1)

    def test_executors_that_lose_or_repeat_items(self) -> None:
        def loses(fn: Any, items: Any, options: Any, /) -> Iterator[Outcome]:
            yield Outcome(1, "x", None)

        def repeats(fn: Any, items: Any, options: Any, /) -> Iterator[Outcome]:
            yield Outcome(0, "x", None)
            yield Outcome(0, "x", None)

        with pytest.raises(WorkerError, match=r"the executor lost the items \[0\]"):
            map_videos(jobs.double, [1, 2], executor=loses)
        with pytest.raises(WorkerError, match="gave item 0 twice"):
            map_videos(jobs.double, [1, 2], executor=repeats)

    def test_outcomes_are_checked(self) -> None:
        with pytest.raises(ValueError, match="item_index must be 0 or more and attempts 1 or more"):
            Outcome(0, None, None, 0)
        problem = map_videos(jobs.misbehave, [("bug", "")])[0].problem
        with pytest.raises(ValueError, match="an outcome with a problem has no value"):
            Outcome(0, 1, problem)
