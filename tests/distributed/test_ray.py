"""What only the Ray executor has: clusters, slots on other machines, lost actors, Ray's own habits."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import evfr
from evfr._core.store import Store
from evfr.distributed import ExecutionOptions, map_videos
from evfr.distributed._ray import _Starts
from evfr.distributed._slot import Setup, Slot, Task
from evfr.errors import MissingExtraError, ProblemCode, WorkerError
from helpers import jobs
from helpers.clips import moving_square, write_clip
from helpers.clusters import local_cluster
from helpers.runs import is_alive, script, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="class")
def cluster() -> Iterator[None]:
    with local_cluster():
        yield


@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    def test_lambdas_may_be_sent(self) -> None:
        outcomes = map_videos(lambda item, heartbeat: 3 * item, [1, 2], executor="ray", jobs=1)
        assert [outcome.value for outcome in outcomes] == [3, 6]

    def test_what_cannot_be_sent(self) -> None:
        lock = threading.Lock()
        with pytest.raises(
            TypeError, match=r"the function cannot be sent to a Ray worker .*; it must hold no"
        ):
            map_videos(lambda item, heartbeat: lock, [1], executor="ray")
        with pytest.raises(TypeError, match=r"item 1 cannot be sent to a Ray worker"):
            map_videos(jobs.double, [1, lock], executor="ray")

    def test_a_lost_actor_is_replaced_and_its_item_started_again(self, tmp_path: Path) -> None:
        items = [(kind, str(tmp_path)) for kind in ("kill_the_parent_once", "a", "kill_the_parent", "b")]
        outcomes = map_videos(jobs.misbehave, items, executor="ray", jobs=2, tries=2)
        values = [outcome.value for outcome in outcomes]
        assert values == ["kill_the_parent_once survived", "a done", None, "b done"]
        assert [outcome.attempts for outcome in outcomes] == [2, 1, 2, 1]
        problem = outcomes[2].problem
        assert problem is not None
        assert problem.code is ProblemCode.E_CRASH
        assert problem.message.startswith("its Ray worker or the machine died: The actor died")
        assert problem.message.endswith("; given up after 2 tries")

    def test_a_lost_actor_at_the_end(self, tmp_path: Path) -> None:
        outcome = map_videos(
            jobs.misbehave, [("kill_the_parent", str(tmp_path))], executor="ray", jobs=1, tries=1
        )[0]
        assert outcome.problem is not None
        assert outcome.problem.code is ProblemCode.E_CRASH

    def test_actors_that_do_not_come_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken:
            def __init__(self, setup: Setup) -> None:
                raise ImportError("no evfr here")

            def turn(self) -> None: ...

        monkeypatch.setattr("evfr.distributed._ray.Slot", Broken)
        with pytest.raises(
            WorkerError, match=r"Ray's workers do not start: .*evfr must be installed on every"
        ):
            map_videos(jobs.double, [1, 2], executor="ray", jobs=2)

    def test_more_jobs_than_the_cluster_has_room_for(self) -> None:
        outcomes = map_videos(jobs.double, list(range(7)), executor="ray", jobs=7)
        assert [outcome.value for outcome in outcomes] == [2 * item for item in range(7)]

    @pytest.mark.parametrize("is_cut_short", [False, True])
    def test_no_child_is_left(self, tmp_path: Path, is_cut_short: bool) -> None:
        (tmp_path / "pids").mkdir()

        def on_outcome(outcome: object) -> None:
            if is_cut_short:
                raise RuntimeError("enough")

        try:
            items = [("leave_a_mark", str(tmp_path))] * 3
            map_videos(jobs.misbehave, items, executor="ray", jobs=2, on_outcome=on_outcome)
        except RuntimeError:
            assert is_cut_short
        pids = [int(path.name) for path in tmp_path.glob("pids/*")]
        assert pids
        wait_until(lambda: not any(is_alive(pid) for pid in pids), 10)

    @pytest.mark.parametrize(("share", "seen"), [(1, {"0", "1"}), (2, {"0,1"})])
    def test_workers_see_the_gpus_they_reserved(self, share: float, seen: set[str]) -> None:
        """The GPUs are pretended, what Ray tells workers is not."""
        outcomes = map_videos(jobs.visible_gpus, [1, 2, 3, 4], executor="ray", gpus_per_worker=share)
        assert {outcome.value for outcome in outcomes} == seen

    def test_gpus_that_no_machine_has(self) -> None:
        with pytest.raises(
            WorkerError,
            match=r"no machine of the Ray cluster has a CPU and 99 GPUs for a worker \(the most is",
        ):
            map_videos(jobs.double, [1], executor="ray", gpus_per_worker=99)

    def test_a_module_that_workers_cannot_import(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "gone.py").write_text("def fn(item, heartbeat):\n    return item\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        import gone  # type: ignore[import-not-found]

        (tmp_path / "gone.py").unlink()
        for cached in tmp_path.rglob("*.pyc"):
            cached.unlink()
        with pytest.raises(
            WorkerError, match=r"do not start on .*: .*No module named 'gone'.* can be imported there"
        ):
            map_videos(gone.fn, [1], executor="ray")

    def test_commands_make_the_same_store_as_without_ray(self, tmp_path: Path) -> None:
        (tmp_path / "footage").mkdir()
        for number in range(3):
            write_clip(tmp_path / "footage" / f"{number}.mp4", moving_square(12, seed=number))
        stores = []
        for executor in ("serial", "ray"):
            root = tmp_path / executor
            evfr.score(
                tmp_path / "footage", signals=["difference", "ssim"], out=root, executor=executor, jobs=2
            )
            result = evfr.embed(tmp_path / "footage", model="thumbnail", out=root, executor=executor, jobs=2)
            assert not result.problems
            stores.append({path.relative_to(root): path.read_bytes() for path in Store(root).files()})
        assert stores[0] == stores[1]
        assert len(stores[0]) == 12


@pytest.mark.slow  # two machines are played on this one
def test_a_lost_machine_costs_what_was_in_flight(tmp_path: Path) -> None:
    """In a process of its own: one that has had a cluster with a token talks to none without (Ray 2.60)."""
    text = """
        import os
        from ray.cluster_utils import Cluster
        from evfr.distributed import map_videos
        from helpers import jobs
        lost = []
        def on_outcome(outcome):
            if not lost:
                lost.append(outcome)
                cluster.remove_node(second, allow_graceful=False)
        if __name__ == "__main__":
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
            second = cluster.add_node(num_cpus=1)
            os.environ["RAY_ADDRESS"] = cluster.address
            items = [("slow_but_alive", "")] * 6
            outcomes = map_videos(jobs.misbehave, items, executor="ray", on_outcome=on_outcome)
            print(all(outcome.is_ok for outcome in outcomes), sum(outcome.attempts for outcome in outcomes))
            cluster.shutdown()
    """
    with script(tmp_path, text) as process:
        out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    found = [line for line in out.splitlines() if line.startswith(("True", "False"))]
    assert found in (["True 7"], ["True 8"])


def test_lost_machines_are_waited_for_as_long_as_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = _Starts()
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    pauses = []
    for _ in range(7):
        starts.have_failed(RuntimeError("gone"), has_others=True)
        pauses.append(starts.next_time - 100)
    assert pauses == [2, 4, 8, 16, 30, 30, 30]
    with pytest.raises(WorkerError, match=r"Ray's workers do not start: gone; evfr must be installed"):
        starts.have_failed(RuntimeError("gone"), has_others=False)


class TestSlot:
    """The far side without Ray."""

    @pytest.fixture(autouse=True)
    def stay_here(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def setup_of(self, **changes: object) -> Setup:
        settings = {
            "version": evfr.__version__,
            "folder": str(Path.cwd()),
            "path": tuple(sys.path),
            "environ": {},
            "fn": pickle.dumps(jobs.double),
            "pickler": "pickle",
            "options": ExecutionOptions(),
        }
        return Setup(**{**settings, **changes})  # type: ignore[arg-type]

    def test_a_turn_for_each_task(self) -> None:
        slot = Slot(self.setup_of())
        assert slot.turn().outcome is None
        for index in (3, 4):
            report = slot.turn(Task(index, 2, "a.mp4", pickle.dumps(index)))
            while report.outcome is None:
                report = slot.turn()
            assert (report.outcome.item_index, report.outcome.attempts) == (index, 2)
            assert pickle.loads(report.outcome.value) == 2 * index
            assert (2, 2) in report.beats
        slot.stop()
        slot.stop()
        assert "OMP_NUM_THREADS" not in os.environ, "threads are those of the driver, not of Ray"

    def test_another_version_is_refused(self) -> None:
        report = Slot(self.setup_of(version="0.0.1")).turn()
        assert report.refusal is not None
        with pytest.raises(
            AssertionError, match=r"has evfr .*, the driver 0.0.1; install the same everywhere"
        ):
            raise AssertionError(report.refusal)

    def test_a_folder_that_is_not_there_is_refused(self) -> None:
        report = Slot(self.setup_of(folder="/nowhere/at/all")).turn()
        assert report.refusal is not None
        with pytest.raises(
            AssertionError, match=r"the folder /nowhere/at/all of the driver is not on .*share"
        ):
            raise AssertionError(report.refusal)

    def test_no_python_to_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        refusal = Slot(self.setup_of()).turn().refusal
        assert refusal is not None
        assert refusal.startswith("cannot start a worker process")


def test_ray_is_not_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from evfr.distributed import map_videos as m; m(print, []); print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_without_ray_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r"ray is not installed; run: python -m pip install 'evfr\[ray\]'"
    ):
        map_videos(jobs.double, [1], executor="ray")


def test_a_script_with_a_cluster_of_its_own(tmp_path: Path) -> None:
    """Its functions and classes travel; nothing is printed, nothing is left, nothing is changed."""
    text = """
        import os, signal, sys, warnings
        warnings.simplefilter("error")
        from pathlib import Path
        from evfr.distributed import map_videos
        class Found:
            def __init__(self, pid, parent):
                self.pids = (pid, parent)
        def find(item, heartbeat):
            os.write(2, b"noise")
            return Found(os.getpid(), os.getppid())
        if __name__ == "__main__":
            for name in [name for name in os.environ if name.startswith("RAY_") or name == "PYTHONBREAKPOINT"]:
                del os.environ[name]
            os.environ["RAY_CLIENT_MODE"] = "0"  # set by importing Ray
            before = (signal.getsignal(signal.SIGTERM), sys.excepthook, dict(os.environ))
            outcomes = map_videos(find, [1, 2], executor="ray", jobs=1)
            assert (signal.getsignal(signal.SIGTERM), sys.excepthook, dict(os.environ)) == before
            assert all(type(outcome.value) is Found for outcome in outcomes)
            print(*outcomes[0].value.pids)
    """
    with script(tmp_path, text) as process:
        out, err = process.communicate(timeout=120)
    assert (err, process.returncode) == ("", 0)
    wait_until(lambda: not any(is_alive(int(pid)) for pid in out.split()), 10)
    assert len(out.split()) == 2


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(WorkerError, match=r"cannot reach the Ray cluster at RAY_ADDRESS=127.0.0.1:1: .+"):
        map_videos(jobs.double, [1], executor="ray")


DRIVER = """
    import sys
    from pathlib import Path
    from helpers import driver
    if __name__ == "__main__":
        driver.drive(Path(sys.argv[1]), float(sys.argv[2]), "ray")
        print("done", flush=True)
"""


@pytest.mark.slow  # two clusters are started, one after the other
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_ends_takes_its_cluster_along_and_is_resumed(
    tmp_path: Path, how: signal.Signals
) -> None:
    """Interrupt, terminate or kill the driver; nothing survives, and a new run does only what is left."""
    work = tmp_path / "work"
    with script(tmp_path, DRIVER, str(work), "0.3") as process:
        wait_until(lambda: len(list(work.glob("done/*"))) >= 2, 60)
        ours = [int(path.name) for path in work.glob("pids/*")]
        process.send_signal(how)
        _, err = process.communicate(timeout=60)
    assert process.returncode == -how
    assert ("KeyboardInterrupt" in err) == (how == signal.SIGINT)
    wait_until(lambda: not any(is_alive(pid) for pid in ours), 20)
    assert 2 <= len(list(work.glob("done/*"))) < 12

    with script(tmp_path, DRIVER, str(work), "0") as process:
        out, err = process.communicate(timeout=120)
    assert (out, err) == ("done\n", "")
    starts = {path.name: len(path.read_text()) for path in work.glob("starts/*")}
    assert len(starts) == len(list(work.glob("done/*"))) == 12
    assert sum(starts.values()) <= 12 + 2, "only the videos in flight are done again"
