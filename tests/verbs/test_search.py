"""`evfr search`: the right frames for frames, images and words; nothing guessed, nothing in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import evfr
from evfr import cli
from evfr._core.embedding_set import EmbeddingSet
from evfr._core.store import Store
from evfr.errors import InputError, StoreError
from evfr.verbs._search_query import embedder_of
from evfr.verbs.search import search
from evfr.video import extract_frames, frames, read_image, scan, write_frame
from helpers.checkpoints import save_checkpoint
from helpers.embedded import drawn_vectors, write_embedding

pytest.importorskip("faiss", reason="the extra 'search' is not installed")


@pytest.fixture(scope="module")
def searched(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with thumbnails of two drawn clips, every third frame."""
    root = tmp_path_factory.mktemp("searched")
    found = evfr.embed(
        [clips / "one.mp4", clips / "two.mkv"], model="thumbnail", every=3, out=root, executor="serial"
    )
    assert found.failed_count == 0
    return root


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Return a store of vectors without videos, 10 frames a second."""
    root = tmp_path / "drawn"
    walk = np.cumsum(np.full((40, 4), [0.01, 0.02, 0.0, -0.01]), axis=0) + 1.0
    write_embedding(root, "a.mp4", walk)
    write_embedding(root, "b.mp4", walk[::-1])
    return root


class TestQueries:
    def test_a_frame_of_the_store(self, searched: Path) -> None:
        vectors = EmbeddingSet.open(searched)
        result = search(searched, "one.mp4:30", k=5)
        row = vectors.find("one.mp4", 30).row
        everything = vectors.to_array(np.float64)
        unit = everything / np.linalg.norm(everything, axis=1, keepdims=True)
        expected = np.argsort(1 - unit @ unit[row], kind="stable")
        expected = expected[expected != row][:5]
        assert [vectors.find(h.video_id, h.frame_index).row for h in result.hits] == expected.tolist()
        np.testing.assert_allclose(
            [h.distance for h in result.hits], (1 - unit @ unit[row])[expected], atol=1e-12
        )
        assert [h.rank for h in result.hits] == [0, 1, 2, 3, 4]
        assert (result.queries, result.row_count, result.index) == (("one.mp4:30",), len(vectors), "exact")
        frame = vectors.find(result.hits[0].video_id, result.hits[0].frame_index)
        assert (result.hits[0].pts, result.hits[0].time_seconds) == (frame.pts, frame.time_seconds)

    def test_a_time_of_a_video_takes_the_nearest_frame(self, searched: Path) -> None:
        assert search(searched, "two.mkv@0.49", k=1).queries == ("two.mkv:12",)
        assert search(searched, "two.mkv@1000", k=1).queries == ("two.mkv:33",)

    def test_an_image_file_finds_its_frame(self, searched: Path, clips: Path, tmp_path: Path) -> None:
        picture = next(f for f in frames(clips / "one.mp4") if f.frame_index == 21)
        path = tmp_path / "one frame.png"
        write_frame(picture, path)
        np.testing.assert_array_equal(read_image(path), picture.image)
        for query in (str(path), path):
            (hit,) = search(searched, query, k=1).hits
            assert (hit.video_id, hit.frame_index) == ("one.mp4", 21)
            assert hit.distance < 1e-6

    def test_vectors_and_several_queries(self, searched: Path) -> None:
        vectors = EmbeddingSet.open(searched)
        rows = vectors.rows([4, 9])
        result = search(searched, rows, k=1)
        assert [vectors.find(h.video_id, h.frame_index).row for h in result.hits] == [4, 9]
        assert result.queries == ("vector 0", "vector 1")
        two = search(searched, ["one.mp4:0", "two.mkv:0"], k=2)
        assert [h.query for h in two.hits] == [0, 0, 1, 1]
        assert two.for_query(1) == two.hits[2:]

    @pytest.mark.parametrize(
        ("query", "as_", "text"),
        [
            ("one.mp4:31", "auto", "frame 31 of one.mp4 has no embedding; the nearest that has one is 30"),
            ("three.mp4:3", "auto", "no video 'three.mp4' among the embeddings; there are one.mp4, two.mkv"),
            ("a horse at 10:30", "frame", "no video 'a horse at 10'"),
            ("one.mp4:3.5", "frame", "'one.mp4:3.5' names no frame; write VIDEO:INDEX or VIDEO@SECONDS"),
            ("horse.jpg", "auto", "there is no image 'horse.jpg'; for text, say so with as_='text'"),
            ("horse", "image", "there is no image 'horse'"),
            (
                "a horse at 10:30",
                "auto",
                "the model 'thumbnail' knows pictures only, so 'a horse at 10:30' cannot",
            ),
            ("x" * 5000, "auto", "knows pictures only, .*CLIP and SigLIP"),
        ],
    )
    def test_what_is_not_there(self, searched: Path, query: str, as_: str, text: str) -> None:
        with pytest.raises(InputError, match=text):
            search(searched, query, as_=as_)  # type: ignore[arg-type]

    def test_bad_images(self, searched: Path, tmp_path: Path) -> None:
        path = tmp_path / "not.png"
        path.write_text("no image")
        with pytest.raises(InputError, match=r"not\.png is no image that can be read"):
            search(searched, str(path))
        with pytest.raises(InputError, match=r"cannot read the image .*: No such file"):
            read_image(tmp_path / "absent.png")

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"k": -1}, "k must be 0 or more, got -1"),
            ({"apart_seconds": float("nan")}, "apart_seconds must be 0 or more, got nan"),
            ({"quality": 0}, r"quality must lie in 1..100, got 0"),
            ({"out": Path("x")}, "out and videos go together"),
            ({"videos": ["x"]}, "out and videos go together"),
            ({"as_": "sound"}, "as_ must be one of auto, frame, image, text, got 'sound'"),
            ({"metric": "manhattan"}, "metric must be one of cosine, euclidean, inner_product"),
            ({"threads": 0}, "threads must be 1 or more, got 0"),
        ],
    )
    def test_bad_options(self, drawn: Path, options: dict, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            search(drawn, "a.mp4:3", **options)
        with pytest.raises(ValueError, match="give at least one query"):
            search(drawn, [])
        with pytest.raises(
            ValueError, match=r"vector 0: a query of these embeddings has the shape \(4,\), got \(5,\)"
        ):
            search(drawn, np.ones(5))
        with pytest.raises(ValueError, match="query 0 holds NaN or infinity"):
            search(drawn, np.full(4, np.nan))


class TestHits:
    def test_k_of_nothing_and_of_more_than_there_is(self, drawn: Path) -> None:
        assert search(drawn, "a.mp4:3", k=0).hits == ()
        hits = search(drawn, "a.mp4:3", k=1000).hits
        assert len(hits) == 79, "all but the frame itself"
        assert ("a.mp4", 3) not in {(h.video_id, h.frame_index) for h in hits}
        # b runs backwards: its twin frame is at distance 0 and not the query itself.
        assert (hits[0].video_id, hits[0].frame_index, hits[0].distance) == ("b.mp4", 36, 0.0)

    @pytest.mark.parametrize("index", ["exact", "ivf", "hnsw"])
    def test_hits_apart_in_time(self, drawn: Path, index: str) -> None:
        result = search(drawn, "a.mp4:20", k=4, apart_seconds=1.0, index=index)  # type: ignore[arg-type]
        assert len(result.hits) == 4
        for video in ("a.mp4", "b.mp4"):
            own = [2.0] * (video == "a.mp4")
            times = sorted([*own, *(h.time_seconds for h in result.hits if h.video_id == video)])
            assert (np.diff(times) >= 1.0 - 1e-9).all()
        assert (result.hits[0].video_id, result.hits[0].frame_index) == ("b.mp4", 19)
        everything = search(drawn, "a.mp4:20", k=100, apart_seconds=1.0, index=index)  # type: ignore[arg-type]
        assert 6 <= len(everything.hits) <= 8

    @pytest.mark.parametrize("index", ["ivf", "hnsw"])
    def test_an_index_is_built_once_and_again_when_the_store_grows(self, tmp_path: Path, index: str) -> None:
        write_embedding(tmp_path, "a.mp4", drawn_vectors(300))
        first = search(tmp_path, "a.mp4:7", index=index)  # type: ignore[arg-type]
        again = search(tmp_path, "a.mp4:7", index=index)  # type: ignore[arg-type]
        assert (first.is_index_cached, again.is_index_cached) == (False, True)
        assert first.hits == again.hits
        write_embedding(tmp_path, "b.mp4", drawn_vectors(300))
        grown = search(tmp_path, "a.mp4:7", index=index)  # type: ignore[arg-type]
        assert not grown.is_index_cached
        assert (grown.hits[0].video_id, grown.hits[0].frame_index, grown.hits[0].distance) == (
            "b.mp4",
            7,
            0.0,
        )
        cache = Store(tmp_path).cache_folder
        assert len(list(cache.glob("*.faiss"))) == len(list(cache.glob("*.faiss.json"))) == 1
        assert Store(tmp_path).verify()[0].status == "ok"
        next(cache.glob("*.faiss")).write_bytes(b"not an index")
        assert not search(tmp_path, "a.mp4:7", index=index).is_index_cached  # type: ignore[arg-type]

    def test_nan_rows_are_counted_and_damaged_entries_named(self, drawn: Path) -> None:
        bad = drawn_vectors(5, 4)
        bad[2] = np.nan
        key = write_embedding(drawn, "c.mp4", bad)
        assert search(drawn, "a.mp4:0", k=1).unusable_count == 1
        path = Store(drawn).path(key)
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(StoreError, match=r"cannot use .*delete the file"):
            search(drawn, "a.mp4:0")
        result = search(drawn, "a.mp4:0", skip_damaged=True)
        assert (result.row_count, len(result.problems)) == (80, 1)
        assert key.digest in str(result.problems[0])

    def test_several_models(self, drawn: Path) -> None:
        write_embedding(drawn, "a.mp4", drawn_vectors(40, 6), model="other", embedder={"name": "other"})
        with pytest.raises(StoreError, match=r"embeddings of 2 kinds.*--model"):
            search(drawn, "a.mp4:0")
        assert search(drawn, "a.mp4:0", model="other").model.dimension == 6
        with pytest.raises(StoreError, match="has no embeddings by 'dinov2'; it has: "):
            search(drawn, "a.mp4:0", model="dinov2")
        with pytest.raises(StoreError, match="has no embeddings; make them with evfr embed"):
            (drawn / "empty").mkdir()
            search(drawn / "empty", "a.mp4:0")


class TestWriting:
    def test_exactly_the_frames_found(self, searched: Path, clips: Path, tmp_path: Path) -> None:
        # The videos lie elsewhere under other names by now: they are known by their bytes.
        moved = tmp_path / "moved"
        moved.mkdir()
        for old, new in (("one.mp4", "x.mp4"), ("two.mkv", "y.mkv"), ("broken.mp4", "z.mp4")):
            shutil.copy(clips / old, moved / new)
        out = tmp_path / "hits"
        result = search(
            searched,
            ["one.mp4:30", "two.mkv:3"],
            k=4,
            out=out,
            videos=[moved],
            image_format="png",
            executor="serial",
        )
        assert (result.problems, result.folder) == ((), out)
        table = pq.read_table(out / "hits.parquet").to_pylist()
        assert [row["file"] for row in table] == [hit.file for hit in result.hits]
        assert table[5]["query"] == "two.mkv:3" and table[5]["rank"] == 1
        for hit in result.hits:
            path = clips / hit.video_id
            (truth,) = extract_frames(path, [hit.frame_index], scan(path)[0])
            np.testing.assert_array_equal(read_image(out / "frames" / str(hit.file)), truth.image)
        assert {path.name for path in (out / "frames").iterdir()} == {hit.file for hit in result.hits}

    def test_no_hits(self, searched: Path, clips: Path, tmp_path: Path) -> None:
        result = search(searched, "one.mp4:30", k=0, out=tmp_path / "hits", videos=[clips], executor="serial")
        assert (result.hits, result.problems) == ((), ())
        assert pq.read_table(tmp_path / "hits" / "hits.parquet").num_rows == 0

    def test_a_video_that_is_not_there(self, searched: Path, clips: Path, tmp_path: Path) -> None:
        result = search(
            searched,
            "one.mp4:30",
            k=40,
            out=tmp_path / "hits",
            videos=[clips / "one.mp4"],
            executor="serial",
        )
        assert [(p.source, str(p.code)) for p in result.problems] == [("two.mkv", "E_NOT_FOUND")]
        assert {hit.file is None for hit in result.hits if hit.video_id == "two.mkv"} == {True}
        assert {hit.file is None for hit in result.hits if hit.video_id == "one.mp4"} == {False}

    def test_on_the_command_line(self, searched: Path, clips: Path, tmp_path: Path, capsys) -> None:
        words = ["search", str(searched), "one.mp4:30", "-k", "2"]
        with pytest.raises(SystemExit) as exit_:
            cli.main([*words, "--json"])
        assert exit_.value.code == 0
        shown = json.loads(capsys.readouterr().out)
        assert [hit["rank"] for hit in shown["hits"]] == [0, 1]
        with pytest.raises(SystemExit) as exit_:
            cli.main([*words, "--out", str(tmp_path / "o"), "--videos", str(clips), "--executor", "serial"])
        assert exit_.value.code == 0
        text = capsys.readouterr().out
        assert "rank" in text and "cosine of thumbnail over 32 frames, exact" in text
        assert str(tmp_path / "o") in text
        with pytest.raises(SystemExit) as exit_:
            cli.main(["search", str(searched), "a horse"])
        assert exit_.value.code == 1
        assert "knows pictures only" in capsys.readouterr().err


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny checkpoint that knows words."""
    pytest.importorskip("transformers")
    return save_checkpoint("clip", tmp_path_factory.mktemp("clip"))


class TestModels:
    def test_words_and_weights_that_moved_or_changed(self, clip: Path, clips: Path, tmp_path: Path) -> None:
        root = tmp_path / "store"
        evfr.embed(clips / "two.mkv", model=str(clip), every=6, out=root, executor="serial", device="cpu")
        result = search(root, "a red bus", k=3, device="cpu")
        vectors = EmbeddingSet.open(root)
        embedder = embedder_of(vectors.model, weights=None, device="cpu")
        words = embedder.embed_text(["a red bus"])[0].astype(np.float64)
        rows = vectors.to_array(np.float64)
        cosine = rows @ words / np.linalg.norm(rows, axis=1) / np.linalg.norm(words)
        assert [vectors.find(h.video_id, h.frame_index).row for h in result.hits] == np.argsort(-cosine)[
            :3
        ].tolist()
        products = search(root, "a red bus", k=1, metric="inner_product", device="cpu")
        assert products.hits[0].distance == pytest.approx(-float((rows @ words).max()), rel=1e-6)

        moved = tmp_path / "moved"
        shutil.copytree(clip, moved)
        again = search(root, "a red bus", k=3, weights=moved, device="cpu")
        assert again.hits == result.hits
        other = save_checkpoint("clip", tmp_path / "other", seed=1)
        with pytest.raises(InputError, match="is not the model that made these embeddings: weights differ"):
            search(root, "a red bus", weights=other, device="cpu")
        with pytest.raises(InputError, match=r"cannot load the model .*absent"):
            search(root, "a red bus", weights=tmp_path / "absent", device="cpu")

    def test_a_model_that_is_gone_and_one_that_was_never_a_name(self, drawn: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="made by a callable that evfr cannot make again"):
            search(drawn, "words")
        write_embedding(
            tmp_path / "s",
            "a.mp4",
            drawn_vectors(3),
            model="gone.onnx",
            embedder={"name": "onnx", "schema": 1, "model": "00"},
        )
        with pytest.raises(
            InputError, match=r"cannot load the model 'gone.onnx' .*give its file or folder by weights"
        ):
            search(tmp_path / "s", "words")

    def test_options_of_the_embedder_are_those_recorded(self, clips: Path, tmp_path: Path) -> None:
        evfr.embed(
            clips / "two.mkv",
            model="hsv",
            model_options={"bins": (4, 2, 2)},
            every=9,
            out=tmp_path,
            executor="serial",
        )
        model = EmbeddingSet.open(tmp_path).model
        assert embedder_of(model, weights=None).parameters == dict(model.embedder)
