"""Selecting by embeddings: floors for quiet scenes, one budget over all videos, the same bytes again."""

from __future__ import annotations

import re
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


def radius_over(chosen: Selection) -> float:
    """Measure the covering radius over every frame of every video, by the definition."""
    rows, picks = [], []
    for name, path in chosen.sources.items():
        vectors = make_embedder("thumbnail")([frame.image for frame in frames(path)]).astype(np.float16)
        rows.append(vectors.astype(np.float64))
        picks.append(rows[-1][chosen.for_video(name).indices])
    whole, taken = np.concatenate(rows), np.concatenate(picks)
    return float(np.linalg.norm(whole[:, None] - taken[None], axis=2).min(axis=1).max())


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_pools_choose_nearly_as_well_and_bound_the_radius(
    select: Select, clips: Path, scenes: Path, tmp_path: Path, share: float
) -> None:
    paths = [clips / "one.mp4", clips / "two.mkv", scenes]
    options = {"n": 20, "method": "farthest", "floor_share": 0.0}
    central = select(paths, **options)
    out = tmp_path / "a"
    pooled = select(paths, **options, pool=share, out=out, no_frames=True)
    assert len(pooled) == 20
    note = pooled.manifest["summary"]["notes"][0]
    found = re.match(
        r"farthest: chosen from pools of (\d+) of 216 embedded frames; no embedded frame is", note
    )
    # A frame that equals one of the pool never enters it.
    assert found and (100 < int(found[1]) < 216 if share == 1.0 else int(found[1]) == 44)
    bound = float(note.partition("is farther than ")[2].split()[0])
    assert radius_over(pooled) <= bound * 1.001
    assert radius_over(pooled) <= 1.3 * radius_over(central)
    again = select(from_=out / "selection.json", out=tmp_path / "b", no_frames=True)
    assert again.table.equals(pooled.table)


def test_pools_keep_to_the_constraints(select: Select, clips: Path) -> None:
    chosen = select(
        [clips / "one.mp4", clips / "two.mkv"],
        n=9,
        method="facility",
        pool=0.5,
        min_gap=2,
        per_video_min=3,
        include=["one.mp4:31"],
        exclude=["one.mp4:0", "two.mkv:5"],
        labeled=["two.mkv:10", "two.mkv:11"],
    )
    one, two = chosen.for_video("one.mp4").indices, chosen.for_video("two.mkv").indices
    assert (31 in one, 0 in one, 5 in two) == (True, False, False)
    assert min(len(one), len(two)) >= 3
    assert np.diff(one).min() >= 2
    assert not {9, 10, 11, 12} & set(two.tolist())
    with pytest.raises(
        ConstraintError, match=r"pool=0\.1 allow at most 10 frames in all, but the budget is 30"
    ):
        select([clips / "one.mp4", clips / "two.mkv"], n=30, method="farthest", pool=0.1)


def test_pools_are_not_computed_twice(select: Select, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"n": 5, "method": "farthest", "pool": 0.3, "embedding": "dct"}
    first = select(clips / "one.mp4", **options)
    monkeypatch.setattr("evfr.sampling.pool_rows", lambda *_args, **_keywords: pytest.fail("computed again"))
    assert select(clips / "one.mp4", **options).table.equals(first.table)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "kmeans", "pool": 0.1}, "pool is for one selection by farthest or facility"),
        ({"method": "farthest", "pool": 0.0}, r"pool is a share and must be in \(0, 1\], got 0\.0"),
        (
            {"method": "farthest", "pool": 0.1, "method_options": {"start": "mean"}},
            "with pool, method farthest has the option metric alone",
        ),
    ],
)
def test_wrong_pools_are_refused(select: Select, clips: Path, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        select(clips / "one.mp4", n=3, **options)
