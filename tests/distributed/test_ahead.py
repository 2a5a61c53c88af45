"""Pictures from children to the process with the model: in order, bounded, and no child is taken for hung."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from evfr.distributed._ahead import Arrays, Intake, Outlet
from evfr.errors import WorkerError


def pictures(count: int, value: int, size: int = 16) -> np.ndarray:
    return np.full((count, size, size, 3), value, np.uint8)


def send(address: str, row: int, blocks: list[np.ndarray], waits: list[float] | None = None) -> None:
    note = waits if waits is not None else []
    with Outlet(address, row, lambda: note.append(time.monotonic())) as outlet:
        for block in blocks:
            outlet.send(block)


def everything(intake: Intake) -> list[Arrays]:
    found = []
    while (arrays := intake.take(0.2)) is not None or not intake.is_over:
        if arrays is not None:
            found.append(arrays)
    return found


def test_arrays_come_whole_and_each_item_in_order() -> None:
    rng = np.random.default_rng(0)
    sent = {row: [rng.integers(0, 256, (n, 9, 7, 3), np.uint8) for n in (1, 5, 2)] for row in range(4)}
    with Intake(1 << 30) as intake:
        threads = [threading.Thread(target=send, args=(intake.address, *item)) for item in sent.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        intake.finish()
        found = everything(intake)
    for row, blocks in sent.items():
        mine = [arrays for arrays in found if arrays.item_index == row]
        assert len({arrays.stream for arrays in mine}) == 1
        assert all(np.array_equal(a.pictures, b) for a, b in zip(mine, blocks, strict=True))


def test_no_more_than_the_limit_waits_and_a_waiting_child_says_that_it_lives() -> None:
    waits: list[float] = []
    blocks = [pictures(4, k, 256) for k in range(30)]  # 0.8 MB each
    with Intake(2 << 20) as intake:
        sender = threading.Thread(target=send, args=(intake.address, 0, blocks, waits))
        sender.start()
        time.sleep(1.3)
        assert sender.is_alive(), "it must wait"
        assert intake._bytes < (2 << 20) + blocks[0].nbytes
        assert len(waits) >= 1
        found = [intake.take(5) for _ in blocks]
        sender.join()
        intake.finish()
        assert intake.take(0) is None and intake.is_over
    assert [int(a.pictures[0, 0, 0, 0]) for a in found if a] == list(range(30))


def test_a_second_start_of_an_item_has_a_higher_stream() -> None:
    with Intake(1 << 30) as intake:
        send(intake.address, 3, [pictures(1, 1)])
        first = intake.take(5)
        send(intake.address, 3, [pictures(1, 2)])
        second = intake.take(5)
    assert first is not None and second is not None and second.stream > first.stream


def test_a_child_that_dies_in_mid_message_leaves_nothing() -> None:
    with Intake(1 << 30) as intake:
        outlet = Outlet(intake.address, 0, lambda: None)
        outlet.send(pictures(2, 7))
        outlet._write(b"\x01\0\0\0\0\0\0\0")  # a part of a header
        outlet._socket.close()
        intake.finish()
        assert [len(arrays.pictures) for arrays in everything(intake)] == [2]


def test_hanging_up_fails_senders_at_once_and_leaves_no_files() -> None:
    errors: list[BaseException] = []

    def sender(address: str) -> None:
        try:
            send(address, 0, [pictures(8, k, 256) for k in range(200)])
        except WorkerError as error:
            errors.append(error)

    with Intake(1 << 20) as intake:
        thread = threading.Thread(target=sender, args=(intake.address,))
        thread.start()
        assert intake.take(5) is not None
        intake.abort()
        thread.join(5)
        assert not thread.is_alive()
        folder = Path(intake.address).parent
        assert intake.take(0) is None and intake.is_over
    assert "takes no more pictures" in str(errors[0])
    assert not folder.exists()
    with pytest.raises(WorkerError, match="takes no more pictures"):
        Outlet(intake.address, 0, lambda: None)


def test_a_temporary_folder_with_a_long_name_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with Intake(1 << 20) as intake:
        send(intake.address, 0, [pictures(1, 1)])
        assert intake.take(5) is not None
