"""`evfr dedup`: what is dropped has a kept twin within the threshold, and select can leave it out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import evfr
from evfr import cli
from evfr._core.embedding_set import EmbeddingSet
from evfr._core.store import Store
from evfr.embeddings import DctEmbedder
from evfr.errors import StoreError
from evfr.verbs.dedup import dedup, hashes_of
from helpers.embedded import drawn_vectors, write_embedding


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return two videos of 30 frames at 10 a second: a turns slowly, b repeats its frames backwards, one NaN."""
    angles = np.linspace(0.0, 1.5, 30)
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    write_embedding(tmp_path, "a.mp4", rows)
    twin = rows[::-1].astype(np.float16)
    twin[4] = np.nan
    write_embedding(tmp_path, "b.mp4", twin)
    return tmp_path


def plain(rows: np.ndarray, threshold: float, may: np.ndarray) -> tuple[list[int], dict[int, int]]:
    """Visit rows in order; drop what is within the threshold of a row kept before it, where they may compare."""
    kept: list[int] = []
    dropped = {}
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for row in range(len(rows)):
        if not np.isfinite(rows[row]).all():
            continue
        near = [k for k in kept if may[row, k] and 1 - unit[row] @ unit[k] <= threshold]
        if near:
            dropped[row] = near[-1]
        else:
            kept.append(row)
    return kept, dropped


@pytest.mark.parametrize(
    ("options", "may"),
    [
        ({}, lambda video, time: np.ones((60, 60), bool)),
        ({"within_videos": True}, lambda video, time: video[:, None] == video),
        (
            {"window_seconds": 0.35},
            lambda video, time: (video[:, None] == video) & (np.abs(time[:, None] - time) <= 0.35),
        ),
    ],
)
def test_is_what_a_loop_finds(store: Path, options: dict, may) -> None:
    vectors = EmbeddingSet.open(store)
    rows = vectors.to_array(np.float64)
    kept, dropped = plain(rows, 0.01, may(vectors.video_of(np.arange(60)), np.round(vectors.time_seconds, 6)))
    result = dedup(store, threshold=0.01, **options)

    def row(video: str, frame: int) -> int:
        return vectors.find(video, frame).row

    found = result.dropped.to_pylist()
    assert [row(r["video_id"], r["frame_index"]) for r in result.kept.to_pylist()] == kept
    assert {row(r["video_id"], r["frame_index"]) for r in found} == set(dropped)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for r in found:
        mine = row(r["video_id"], r["frame_index"])
        of = row(r["duplicate_of_video_id"], r["duplicate_of_frame_index"])
        assert of in kept
        assert r["distance"] == pytest.approx(1 - unit[mine] @ unit[of], abs=1e-12)
    assert sum(r["duplicate_count"] for r in result.kept.to_pylist()) == len(found)
    assert result.unusable_count == 1
    assert len(kept) + len(found) + 1 == 60
    assert [v.to_dict() for v in result.videos][1]["unusable_count"] == 1


def test_larger_than_memory(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dedup(store)
    whole = EmbeddingSet.open.__func__
    monkeypatch.setattr(
        EmbeddingSet, "open", classmethod(lambda cls, *a, **k: whole(cls, *a, **{**k, "memory_mb": 0}))
    )
    after = dedup(store)
    assert after.kept.equals(before.kept) and after.dropped.equals(before.dropped)
    assert list(Store(store).cache_folder.glob("*.npy"))


class TestHashes:
    def test_bits(self) -> None:
        rows = np.zeros((5, 63), np.float32)
        rows[0, [0, 62]] = 1.0
        rows[1] = np.arange(63)
        rows[2, 5] = np.nan
        rows[4] = -rows[1]
        hashes, usable = hashes_of(rows)
        assert usable.tolist() == [True, True, False, False, True]
        assert int(hashes[0]) == 1 | 1 << 62
        assert int(hashes[1]) == sum(1 << bit for bit in range(32, 63))
        assert int(hashes[4]) == sum(1 << bit for bit in range(31))

    def test_by_hand_and_refused_elsewhere(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        base = rng.standard_normal((3, 63))
        rows = np.concatenate([base, base + 1e-3, np.zeros((1, 63))]).astype(np.float16)
        write_embedding(tmp_path, "a.mp4", rows, model="dct", embedder=DctEmbedder().parameters)
        result = dedup(tmp_path, hash_=True)
        assert (result.metric, result.threshold, result.unusable_count) == ("hamming", 6.0, 1)
        assert result.kept["frame_index"].to_pylist() == [0, 1, 2]
        assert result.dropped["duplicate_of_frame_index"].to_pylist() == [0, 1, 2]
        windowed = dedup(tmp_path, hash_=True, window_seconds=0.2)
        assert windowed.dropped.num_rows == 0
        write_embedding(tmp_path, "a.mp4", drawn_vectors(3), video_hash="other")
        with pytest.raises(
            ValueError, match=r"hashes are made from embeddings by 'dct' \(D 63\), these are by 'drawn'"
        ):
            dedup(tmp_path, hash_=True, model="drawn")
        with pytest.raises(
            ValueError, match="hashes are compared by their bits; leave metric 'euclidean' out"
        ):
            dedup(tmp_path, hash_=True, metric="euclidean", model="dct")


def test_thresholds(store: Path) -> None:
    assert dedup(store).threshold == 0.05
    assert dedup(store, metric="euclidean", threshold=0).threshold == 0.0
    with pytest.raises(
        ValueError, match="give a threshold for metric euclidean: its scale depends on the model"
    ):
        dedup(store, metric="euclidean")
    with pytest.raises(ValueError, match=r"threshold must be 0 or more and finite, got -0\.1"):
        dedup(store, threshold=-0.1)
    with pytest.raises(ValueError, match="metric must be one of"):
        dedup(store, metric="hue", threshold=1)  # type: ignore[arg-type]


def test_damaged_and_empty(store: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = Store(store).path(EmbeddingSet.open(store).keys[0])
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StoreError, match=r"cannot use .*delete the file"):
        dedup(store)
    result = dedup(store, skip_damaged=True)
    assert [v.video_id for v in result.videos] == ["b.mp4"]
    assert len(result.problems) == 1
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(StoreError, match="has no embeddings; make them with evfr embed"):
        dedup(empty)
    write_embedding(empty, "a.mp4", np.zeros((0, 4)))
    nothing = dedup(empty)
    assert (nothing.kept.num_rows, nothing.dropped.num_rows) == (0, 0)


def test_select_leaves_the_duplicates_out(clips: Path, tmp_path: Path) -> None:
    paths = [clips / "one.mp4", clips / "two.mkv"]
    root, out = tmp_path / "store", tmp_path / "dedup"
    evfr.embed(paths, model="thumbnail", out=root, executor="serial")
    result = evfr.dedup(root, threshold=0.002, out=out)
    dropped = {(r["video_id"], r["frame_index"]) for r in result.dropped.to_pylist()}
    assert 5 < len(dropped) < result.kept.num_rows + len(dropped) == 96
    assert pq.read_table(out / "kept.parquet").equals(result.kept)
    chosen = evfr.select(
        paths,
        n=result.kept.num_rows,
        method="uniform",
        signal="none",
        exclude=out / "dropped.parquet",
        store=root,
        executor="serial",
    )
    taken = {(r["video_id"], r["frame_index"]) for r in chosen.table.to_pylist()}
    assert not taken & dropped
    assert taken == {(r["video_id"], r["frame_index"]) for r in result.kept.to_pylist()}


def test_on_the_command_line(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dedup", str(store), "--threshold", "0.01", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "dropped as duplicates (cosine <= 0.01 of drawn)" in text
    assert str(tmp_path / "out" / "dropped.parquet") in text
    with pytest.raises(SystemExit) as exit_:
        cli.main([*words, "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["kept_count"] + shown["dropped_count"] + shown["unusable_count"] == 60
    assert repr(dedup(store)).startswith("DedupResult(cosine <= 0.05: ")
