"""Nearest neighbours: exact search against a float64 loop over all rows, approximate search by its recall."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from evfr._core.embedding_set import EmbeddingSet
from evfr.embeddings import _vector_source
from evfr.embeddings._neighbour_file import load_index, save_index
from evfr.embeddings._neighbours import KINDS, SEARCH_METRICS, NeighbourIndex, build_index, search
from evfr.errors import MissingExtraError
from helpers.embedded import write_embedding

faiss = pytest.importorskip("faiss", reason="the extra 'search' is not installed")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block hold few rows, so that every search meets many blocks."""
    monkeypatch.setattr(_vector_source, "BLOCK_BYTES", 4 * 16 * 97)


def walk(rows: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    """Return rows that follow each other closely, as frames of a video do."""
    steps = np.random.default_rng(seed).standard_normal((rows, dimension)) * 0.1
    return (np.cumsum(steps, axis=0) + 1.0).astype(np.float16)


def brute_force(vectors: np.ndarray, query: np.ndarray, k: int, metric: str) -> tuple[list[int], list[float]]:
    """Compare one query with every row, one by one, in float64 as it stands in the definitions."""
    found = []
    q = np.asarray(query, np.float32).astype(np.float64)
    for row, vector in enumerate(np.asarray(vectors, np.float32).astype(np.float64)):
        if not np.isfinite(vector).all() or (metric == "cosine" and not vector.any()):
            continue
        if metric == "cosine":
            # 1 - cos, as half of the squared distance of unit vectors: this form keeps the digits of near ties.
            distance = ((q / np.linalg.norm(q) - vector / np.linalg.norm(vector)) ** 2).sum() / 2
        elif metric == "euclidean":
            distance = float(np.linalg.norm(q - vector))
        else:
            distance = -float(q @ vector)
        found.append((round(distance, 15), row, distance))
    found.sort()
    return [row for _, row, _ in found[:k]], [distance for _, _, distance in found[:k]]


class TestExact:
    @pytest.mark.parametrize("metric", SEARCH_METRICS)
    @pytest.mark.parametrize("k", [1, 7, 60])
    def test_is_what_a_loop_finds(self, metric: str, k: int) -> None:
        vectors = walk(400)
        queries = np.concatenate([vectors[[3, 250]].astype(np.float32), walk(3, seed=5).astype(np.float32)])
        rows, far = search(build_index(vectors, metric=metric), queries, k)
        for q, query in enumerate(queries):
            expected_rows, expected = brute_force(vectors, query, k, metric)
            assert rows[q].tolist() == expected_rows
            np.testing.assert_allclose(far[q], expected, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("metric", SEARCH_METRICS)
    def test_ties_go_to_the_lower_row(self, metric: str) -> None:
        base = walk(5, seed=2)
        vectors = np.tile(base, (120, 1))  # 600 rows in 7 blocks, each row 120 times
        rows, far = search(build_index(vectors, metric=metric), base[2], 130)
        first = np.flatnonzero(np.arange(600) % 5 == rows[0, 0] % 5)
        assert rows[0, :120].tolist() == first.tolist()
        assert len(set(far[0, :120].tolist())) == 1
        assert rows[0, :130].tolist() == brute_force(vectors, base[2], 130, metric)[0]

    def test_near_ties_below_the_digits_of_float32(self) -> None:
        rng = np.random.default_rng(1)
        for metric, base, step in (("euclidean", 1000.0, 2.0**-13), ("cosine", 1.0, 2.0**-10)):
            signs = rng.integers(0, 2, (500, 16)) if metric == "euclidean" else rng.random((500, 16))
            vectors = (base + signs * step).astype(np.float32)
            query = vectors[77] + np.float32(step / 2)
            rows, _ = search(build_index(vectors, metric=metric), query, 20)
            assert rows[0].tolist() == brute_force(vectors, query, 20, metric)[0]

    @pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e22, 1e30])
    @pytest.mark.parametrize("metric", ["euclidean", "cosine"])
    def test_values_whose_squares_leave_float32(self, metric: str, scale: float) -> None:
        vectors = (walk(300).astype(np.float64) * scale).astype(np.float32)
        rows, far = search(build_index(vectors, metric=metric), vectors[40], 12)
        direct = vectors.astype(np.float64) / scale
        query = direct[40]
        if metric == "cosine":
            direct = direct / np.linalg.norm(direct, axis=1, keepdims=True)
            query = direct[40]
        expected = np.argsort(np.linalg.norm(direct - query, axis=1), kind="stable")[:12]
        assert rows[0].tolist() == expected.tolist()
        assert np.isfinite(far).all() and (np.diff(far) >= 0).all()

    def test_threads_and_batches_change_nothing(self) -> None:
        vectors = walk(900)
        queries = walk(40, seed=3).astype(np.float32)
        for kind in KINDS:
            index = build_index(vectors, kind=kind)
            rows, far = search(index, queries, 9)
            for threads in (2, 5):
                again = search(index, queries, 9, threads=threads)
                np.testing.assert_array_equal(again[0], rows)
                np.testing.assert_array_equal(again[1], far)
            single = [search(index, query, 9)[0][0] for query in queries]
            np.testing.assert_array_equal(np.stack(single), rows)

    def test_a_set_larger_than_memory(self, tmp_path: Path) -> None:
        vectors = walk(700)
        for part in range(7):
            write_embedding(tmp_path, f"{part}.mp4", vectors[part * 100 : part * 100 + 100])
        found = EmbeddingSet.open(tmp_path, memory_mb=0)
        for kind in KINDS:
            ours = search(build_index(found, kind=kind), vectors[[5, 600]], 6)
            plain = search(build_index(vectors, kind=kind), vectors[[5, 600]], 6)
            np.testing.assert_array_equal(ours[0], plain[0])
            np.testing.assert_array_equal(ours[1], plain[1])


class TestEveryKind:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("metric", SEARCH_METRICS)
    def test_rows_without_a_distance_are_counted_and_never_found(self, kind: str, metric: str) -> None:
        vectors = walk(300).astype(np.float32)
        vectors[[0, 100, 299]] = np.nan
        vectors[50, 3] = np.inf
        vectors[[7, 8]] = 0.0
        index = build_index(vectors, kind=kind, metric=metric, probes=1000)
        assert index.unusable_count == (6 if metric == "cosine" else 4)
        assert (index.row_count, index.usable_count) == (300, 300 - index.unusable_count)
        rows, far = search(index, vectors[[20, 200]], 1000)
        assert rows.shape == (2, index.usable_count)
        bad = {0, 100, 299, 50} | ({7, 8} if metric == "cosine" else set())
        assert not bad & set(rows.ravel().tolist())
        assert (np.isfinite(far) == (rows >= 0)).all()

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("metric", SEARCH_METRICS)
    def test_what_is_found_has_its_true_distance(self, kind: str, metric: str) -> None:
        vectors = walk(800)
        queries = walk(20, seed=8).astype(np.float32)
        index = build_index(vectors, kind=kind, metric=metric)
        rows, far = search(index, queries, 10)
        exact_rows, _ = search(build_index(vectors, metric=metric), queries, 10)
        shared = [len(set(a.tolist()) & set(b.tolist())) / 10 for a, b in zip(rows, exact_rows, strict=True)]
        assert np.mean(shared) >= 0.8, f"recall {np.mean(shared):.3f}"
        for q, query in enumerate(queries):
            all_rows, all_far = brute_force(vectors, query, 800, metric)
            truth = dict(zip(all_rows, all_far, strict=True))
            kept = rows[q] >= 0
            expected = [truth[row] for row in rows[q][kept].tolist()]
            np.testing.assert_allclose(far[q][kept], expected, rtol=1e-11, atol=1e-11)
        assert (np.diff(far, axis=1) >= 0).all()

    @pytest.mark.parametrize("kind", KINDS)
    def test_few_rows(self, kind: str) -> None:
        for count in (0, 1, 2):
            vectors = walk(3)[:count]
            rows, far = search(build_index(vectors, kind=kind), walk(1), 5)
            assert rows.tolist() == [list(range(count))] or sorted(rows[0].tolist()) == list(range(count))
            assert far.shape == rows.shape == (1, count)
            empty = search(build_index(vectors, kind=kind), walk(4), 0)
            assert empty[0].shape == empty[1].shape == (4, 0)
        nothing = build_index(np.full((5, 4), np.nan), kind=kind)
        assert (nothing.usable_count, search(nothing, np.ones(4), 3)[0].shape) == (0, (1, 0))
        none = search(build_index(walk(9), kind=kind), np.zeros((0, 16)), 3)
        assert none[0].shape == (0, 3)

    def test_the_same_seed_builds_the_same_lists(self) -> None:
        vectors = walk(2000)
        parts = [build_index(vectors, kind="ivf", seed=seed) for seed in (0, 0, 1)]
        centres = [part.faiss_index.quantizer.reconstruct_n(0, part.list_count) for part in parts]
        np.testing.assert_array_equal(centres[0], centres[1])
        assert not np.array_equal(centres[0], centres[2])
        assert parts[0].train_count == 64 * parts[0].list_count
        assert (parts[0].list_count, parts[0].probe_count) == (31, 8)

    def test_lists_where_almost_nothing_is_usable(self) -> None:
        vectors = np.full((4000, 16), np.nan, np.float32)
        vectors[::1000] = walk(4)
        index = build_index(vectors, kind="ivf", lists=4, metric="euclidean")
        assert sorted(search(index, walk(1), 4)[0][0].tolist()) == [0, 1000, 2000, 3000]

    @pytest.mark.parametrize("kind", KINDS)
    def test_memory_is_stated(self, kind: str) -> None:
        index = build_index(walk(1000), kind=kind)
        assert 0 < index.memory_bytes < 100 << 20
        assert "faiss_index" not in repr(index)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (
                {"metric": "manhattan"},
                "metric must be one of cosine, euclidean, inner_product, got 'manhattan'",
            ),
            ({"kind": "tree"}, "kind must be one of exact, ivf, hnsw, got 'tree'"),
            ({"device": "tpu"}, "device must be one of cpu, gpu, got 'tpu'"),
            ({"lists": 0}, "lists must be 1 or more, got 0"),
            ({"probes": 0}, "probes must be 1 or more, got 0"),
            ({"links": 1}, "links must be 2 or more, got 1"),
        ],
    )
    def test_options(self, options: dict, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            build_index(walk(5), **options)

    @pytest.mark.parametrize("vectors", [np.zeros(3), np.zeros((3, 0)), np.array([["a"]])])
    def test_vectors(self, vectors: np.ndarray) -> None:
        with pytest.raises(ValueError, match=r"vectors must be \(N, D\) numbers with D of 1 or more, got"):
            build_index(vectors)

    def test_queries(self) -> None:
        index = build_index(walk(5))
        with pytest.raises(ValueError, match=r"queries must be \(Q, 16\) or one of them, got \(1, 15\)"):
            search(index, np.ones(15), 1)
        with pytest.raises(
            ValueError, match="query 1 holds NaN or infinity or is zero, which has no direction"
        ):
            search(index, np.stack([np.ones(16), np.zeros(16)]), 1)
        with pytest.raises(ValueError, match=r"query 0 holds NaN or infinity$"):
            search(build_index(walk(5), metric="euclidean"), np.full(16, np.nan), 1)
        with pytest.raises(ValueError, match="k must be 0 or more, got -1"):
            search(index, np.ones(16), -1)
        with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
            search(index, np.ones(16), 1, threads=0)

    def test_no_gpu_and_no_faiss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0, raising=False)
        with pytest.raises(MissingExtraError, match="device 'gpu' needs a faiss that was built for GPUs"):
            build_index(walk(5), device="gpu")
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
        monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
        with pytest.raises(ValueError, match="faiss has no hnsw index on a GPU"):
            build_index(walk(5), kind="hnsw", device="gpu")
        monkeypatch.setitem(sys.modules, "faiss", None)
        with pytest.raises(MissingExtraError, match=r"faiss is not installed; run: .* 'evfr\[search\]'"):
            build_index(walk(5))


class TestFiles:
    @pytest.fixture(params=["ivf", "hnsw"])
    def index(self, request: pytest.FixtureRequest) -> Iterator[NeighbourIndex]:
        return build_index(walk(500), kind=request.param)

    def test_what_is_read_finds_the_same(self, index: NeighbourIndex, tmp_path: Path) -> None:
        path = tmp_path / "cache" / "an.index"
        save_index(index, path)
        again = load_index(walk(500), path)
        assert again is not None
        assert (again.kind, again.list_count, again.usable_count) == (index.kind, index.list_count, 500)
        for mine, theirs in zip(search(index, walk(9), 5), search(again, walk(9), 5), strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_anything_changed_is_not_read(self, index: NeighbourIndex, tmp_path: Path) -> None:
        path = tmp_path / "an.index"
        facts = tmp_path / "an.index.json"
        assert load_index(walk(500), path) is None
        save_index(index, path)
        whole, said = path.read_bytes(), facts.read_text()
        assert load_index(walk(501), path) is None, "another number of rows"
        path.write_bytes(whole[:-1] + b"x")
        assert load_index(walk(500), path) is None
        path.write_bytes(whole)
        for broken in ("", "[]", "{}", json.dumps({**json.loads(said), "more": 1})):
            facts.write_text(broken)
            assert load_index(walk(500), path) is None
        facts.write_text(said)
        assert load_index(walk(500), path) is not None
        path.unlink()
        assert load_index(walk(500), path) is None

    def test_nothing_to_write(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="an exact or empty index has nothing to write"):
            save_index(build_index(walk(5)), tmp_path / "x")
