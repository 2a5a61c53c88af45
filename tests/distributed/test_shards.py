"""Static shards: disjoint, complete, even to one, whatever the order of the list."""

from __future__ import annotations

import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr.distributed._shards import Shard, local_device, shard


@settings(max_examples=40)
@given(st.lists(st.text(max_size=8), max_size=40), st.integers(1, 9), st.randoms(use_true_random=False))
def test_shards_are_disjoint_complete_and_even(keys: list[str], count: int, random: object) -> None:
    parts = [shard(keys, rank, count) for rank in range(count)]
    assert sorted(row for part in parts for row in part) == list(range(len(keys)))
    assert all(part == sorted(part) for part in parts)
    distinct = [{keys[row] for row in part} for part in parts]
    assert sum(map(len, distinct)) == len(set(keys)), "equal keys stay together"
    assert max(map(len, distinct)) - min(map(len, distinct)) <= 1
    shuffled = list(keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [{shuffled[row] for row in shard(shuffled, rank, count)} for rank in range(count)] == distinct


def test_neighbours_of_a_folder_are_mixed() -> None:
    rows = shard([f"clip{number:03}.mp4" for number in range(100)], 0, 2)
    assert len(rows) == 50 and rows not in (list(range(50)), list(range(0, 100, 2)))


def test_names_that_are_no_text_have_a_shard() -> None:
    assert sorted(shard(["a\udcff", "b"], 0, 2) + shard(["a\udcff", "b"], 1, 2)) == [0, 1]


def test_what_the_command_line_says() -> None:
    assert Shard.parse("1/3") == Shard(1, 3)
    environment = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert Shard.parse("env", environment) == Shard(5, 8, 1)
    assert Shard.parse("env", {"RANK": "0", "WORLD_SIZE": "1"}) == Shard(0, 1, None)


@pytest.mark.parametrize("text", ["", "1", "1/", "a/2", "-1/2", "1/2/3", "1.0/2"])
def test_bad_shards(text: str) -> None:
    with pytest.raises(ValueError, match="shard must be RANK/COUNT"):
        Shard.parse(text)


def test_ranks_out_of_range_and_no_environment() -> None:
    with pytest.raises(ValueError, match="rank from 0 to 1, got 2/2"):
        Shard.parse("2/2")
    with pytest.raises(ValueError, match="got 0/0"):
        Shard.parse("0/0")
    with pytest.raises(ValueError, match="whole numbers in RANK and WORLD_SIZE; start it with torchrun"):
        Shard.parse("env", {})
    with pytest.raises(ValueError, match="whole numbers in WORLD_SIZE"):
        Shard.parse("env", {"RANK": "0", "WORLD_SIZE": "two"})
    with pytest.raises(ValueError, match="rank from 0 to 1"):
        shard(["a"], 2, 2)


@pytest.mark.parametrize(
    ("local", "gpus", "device"), [(None, 2, "auto"), (0, 0, "auto"), (1, 2, "cuda:1"), (3, 2, "cuda:1")]
)
def test_local_rank_chooses_the_device(
    monkeypatch: pytest.MonkeyPatch, local: int | None, gpus: int, device: str
) -> None:
    cuda = types.SimpleNamespace(is_available=lambda: gpus > 0, device_count=lambda: gpus)
    torch = types.ModuleType("torch")
    torch.cuda = cuda  # type: ignore[attr-defined]
    torch.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert local_device(Shard(0, 4, local)) == device
