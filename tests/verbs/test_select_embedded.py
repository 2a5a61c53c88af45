"""Selecting by embeddings: floors for quiet scenes, one budget over all videos, the same bytes again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import evfr
from evfr import Selection
from evfr.embeddings import make_embedder
from evfr.errors import ConstraintError
from evfr.sampling import SAMPLERS
from evfr.video import frames
from helpers.clips import write_clip

Select = Callable[..., Selection]
SCENES, LENGTH = 6, 20


def scene_pictures() -> list[np.ndarray]:
    """Draw six scenes of 20 frames; the third pans fast over a large texture, the others hardly move."""
    rng = np.random.default_rng(5)
    pictures = []
    for scene in range(SCENES):
        coarse = rng.integers(0, 255, (3, 16, 3), dtype=np.uint8)
        wide = cv2.resize(coarse, (384, 72), interpolation=cv2.INTER_CUBIC)
        for k in range(LENGTH):
            left = 5 * k if scene == 2 else k // 10
            pictures.append(np.ascontiguousarray(wide[:64, left : left + 96]))
    return pictures


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("scenes") / "scenes.mp4", scene_pictures())


@pytest.fixture
def select(store: Path) -> Select:
    def run(*args: Any, **options: Any) -> Selection:
        return evfr.select(*args, **{"store": store, "executor": "serial", **options})

    return run


def per_scene(chosen: Selection) -> list[int]:
    return np.bincount(chosen.indices // LENGTH, minlength=SCENES).tolist()


def test_plain_farthest_starves_quiet_scenes_and_the_default_does_not(select: Select, scenes: Path) -> None:
    plain = select(scenes, n=12, method="farthest", floor_share=0.0)
    vectors = make_embedder("thumbnail")([frame.image for frame in frames(scenes)]).astype(np.float16)
    truth = SAMPLERS["farthest"](vectors, 12, seed=0)
    assert plain.indices.tolist() == truth.indices.tolist()
    assert per_scene(plain)[2] >= 7
    chosen = select(scenes, n=12, method="farthest")
    assert min(per_scene(chosen)) >= 1
    assert per_scene(chosen)[2] >= 4
    note = chosen.manifest["summary"]["notes"][0]
    assert note.startswith("farthest: 6 of 12 frames are spread over time and scenes")
    spread = select(scenes, n=12, method="farthest", floor_share=1.0)
    assert per_scene(spread) == [2] * SCENES
    found = chosen.manifest["summary"]["coverage"]
    assert (found["metric"], found["embedding"], found["rows"]) == ("euclidean", "thumbnail", 120)
    assert found["radius"] >= plain.manifest["summary"]["coverage"]["radius"]
    # Only the first frame has nothing to be far from.
    assert [
        rank
        for rank, gain in zip(*(chosen.table[c].to_pylist() for c in ("rank", "gain")), strict=True)
        if gain is None
    ] == [0]


def test_scene_floors_hold_for_methods_on_weights_too(select: Select, scenes: Path) -> None:
    chosen = select(scenes, n=12, method="adaptive", signal="difference", seed=3, per_scene_min=2)
    assert per_scene(chosen) == [2] * SCENES
    with pytest.raises(ConstraintError, match="12 cells need at least 12 frames, n is 11"):
        select(scenes, n=11, method="adaptive", signal="difference", per_scene_min=2)


def test_one_budget_over_all_videos(select: Select, clips: Path, scenes: Path) -> None:
    paths = [clips / "one.mp4", scenes]
    chosen = select(paths, n=20, method="farthest", floor_share=0.0, per_video_min=2, seed=4)
    counts = {name: len(chosen.for_video(name)) for name in chosen.sources}
    assert sum(counts.values()) == 20
    assert min(counts.values()) >= 2
    vectors = [
        make_embedder("thumbnail")([frame.image for frame in frames(path)]).astype(np.float16)
        for path in chosen.sources.values()
    ]
    truth = SAMPLERS["farthest"](np.concatenate(vectors), 20, seed=4)
    first = next(iter(chosen.sources))
    if (truth.indices < len(vectors[0])).sum() >= 2:
        assert chosen.for_video(first).indices.tolist() == [i for i in truth.indices if i < len(vectors[0])]


@pytest.mark.parametrize("method", ["farthest", "facility", "kmeans", "kmedoids", "segment-medoid"])
def test_every_method_under_constraints_and_again(
    select: Select, clips: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "a"
    chosen = select(
        [clips / "one.mp4", clips / "two.mkv"],
        n=10,
        method=method,
        embedding="hsv",
        min_gap=3,
        max_gap_seconds=1.0,
        include=["one.mp4:7"],
        labeled=["two.mkv:20"],
        out=out,
        no_frames=True,
    )
    assert len(chosen) == 10
    one, two = chosen.for_video("one.mp4").indices, chosen.for_video("two.mkv").indices
    assert 7 in one
    assert np.diff(np.sort([*one, *two + 1000, 1020])).min() >= 3
    again = select(from_=out / "selection.json", out=tmp_path / "b", no_frames=True)
    assert again.table.equals(chosen.table)
    assert (out / "selection.json").read_bytes() == (tmp_path / "b" / "selection.json").read_bytes()
    assert (out / "report.html").read_text().count(method) >= 2


def test_thinned_embedding_still_counts_the_budget_of_all_frames(select: Select, clips: Path) -> None:
    chosen = select(clips / "one.mp4", ratio=0.1, method="farthest", every=5, include=[3])
    assert len(chosen) == 6
    assert [i for i in chosen.indices if i % 5] == [3]
    assert chosen.table["weight"].to_pylist() == [None] * 6


def test_a_bad_video_is_listed_and_the_rest_done(select: Select, clips: Path) -> None:
    chosen = select([clips / "broken.mp4", clips / "two.mkv"], n=4, method="farthest")
    assert len(chosen) == 4
    assert chosen.failed_count == 1
    assert [p.source for p in chosen.problems if p.code.is_error] == ["broken.mp4"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "auto", "every": 2}, "every thins the frames that are embedded; method auto embeds none"),
        ({"method": "farthest", "every": 2, "fps": 1.0}, "give one of every and fps, got both"),
        (
            {"method": "farthest", "every": 2, "signal": "feature"},
            "signal feature compares consecutive frames",
        ),
        ({"method": "uniform", "floor_share": 0.5}, "floor_share is for farthest and facility"),
        ({"method": "farthest", "floor_share": 1.5}, r"floor_share is a share and must lie in 0\.\.1"),
        ({"method": "farthest", "embedding": "nothing"}, "embedding|model"),
        ({"method": "farthest", "fps": 0.0}, "fps must be above 0"),
    ],
)
def test_wrong_choices_are_refused(select: Select, clips: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        select(clips / "one.mp4", n=3, **options)


def test_a_method_s_own_option_is_checked(select: Select, clips: Path) -> None:
    with pytest.raises(ValueError, match="metric must be one of"):
        select(clips / "one.mp4", n=3, method="farthest", method_options={"metric": "hamming"})
    with pytest.raises(TypeError, match="method farthest has no option accept"):
        select(clips / "one.mp4", n=3, method="farthest", method_options={"accept": None})
