"""The signal ``feature`` of a learned embedding: from stored vectors, computed once, in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evfr
from evfr._core.store import Store
from evfr._core.vectors import column_to_vectors
from evfr.signals import feature_dissimilarities
from helpers.fake_model import FakeModel


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """Have ``owner/fake`` stand for a model of the test's own, as if it were on the hub."""
    fake = FakeModel()

    def make(name: str, **_: Any) -> FakeModel:
        assert name == "owner/fake"
        return fake

    monkeypatch.setattr("evfr.embeddings.make_embedder", make)
    return fake


def score(path: Path, store: Path, *signals: Any) -> Any:
    return evfr.score(path, signals=signals, embedding="owner/fake", out=store, executor="serial").videos[0]


def test_values_are_those_of_the_stored_vectors(clips: Path, tmp_path: Path, model: FakeModel) -> None:
    video = score(clips / "two.mkv", tmp_path, "feature", "difference")
    (entry,) = Store(tmp_path).entries("embedding")
    vectors = column_to_vectors(entry.table["embedding"])
    expected = feature_dissimilarities(vectors, np.arange(36))
    assert np.array_equal(video.dissimilarity["feature"], expected)
    assert video.parameters["feature"]["vectors"] == "float16"
    assert video.parameters["feature"]["embedder"] == model.parameters
    assert max(model.batches) == 16, "in batches, not frame by frame"
    assert video.fvi["feature"].sum() == pytest.approx(1.0) and video.nan_count["difference"] == 0


def test_nothing_is_embedded_twice(clips: Path, tmp_path: Path, model: FakeModel) -> None:
    evfr.embed(clips / "two.mkv", model="owner/fake", out=tmp_path, executor="serial")
    count = len(model.batches)
    first = score(clips / "two.mkv", tmp_path, "feature")
    again = score(clips / "two.mkv", tmp_path, "feature")
    assert len(model.batches) == count and first.is_cached and again.is_cached
    assert np.array_equal(first.dissimilarity["feature"], again.dissimilarity["feature"])
    chosen = evfr.select(
        clips / "two.mkv", n=4, signal="feature", embedding="owner/fake", store=tmp_path, executor="serial"
    )
    assert len(chosen) == 4 and len(model.batches) == count


def test_damage_and_bad_videos(clips: Path, data_dir: Path, tmp_path: Path, model: FakeModel) -> None:
    result = evfr.score(
        [clips / "broken.mp4", data_dir / "codec" / "corrupted.mp4"],
        signals=["feature", "difference"],
        embedding="owner/fake",
        out=tmp_path,
        executor="serial",
    )
    bad, damaged = result.videos
    assert bad.status == "failed" and damaged.status == "partial" and result.failed_count == 1
    assert [p.source for p in result.problems if p.code.is_error] == [bad.video_id]
    missing = [np.isnan(damaged.dissimilarity[name]) for name in ("feature", "difference")]
    assert np.array_equal(*missing) and missing[0].any()


def test_zero_vectors_are_not_measured(clips: Path, tmp_path: Path, model: FakeModel) -> None:
    model.scale = 0.0
    video = score(clips / "two.mkv", tmp_path, "feature")
    assert np.isnan(video.dissimilarity["feature"]).tolist() == [True] * 35 + [False]
