"""`evfr synth`: what was drawn is decoded, labels and split are read by evfr's own readers, nothing is mixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evfr._core.rng import spawn_seed
from evfr.annotations import NO_TRACK, read
from evfr.datasets import moving_objects
from evfr.errors import InputError, StoreError
from evfr.verbs.split import read_split
from evfr.verbs.synth import SynthResult, synth
from evfr.video import open_video, resolve_inputs, scan


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SynthResult:
    return synth(
        tmp_path_factory.mktemp("synth"), clips=2, test_clips=1, frames=12, width=66, height=50, seed=5
    )


def pictures(path: Path) -> np.ndarray:
    with open_video(path) as video:
        return np.stack([frame.rgb() for frame in video])


def expected(name: str, **changes):
    given = {"frames": 12, "width": 66, "height": 50} | changes
    return moving_objects(spawn_seed(5, name), **given)


def test_what_is_decoded_is_what_was_drawn(made: SynthResult) -> None:
    assert made.train == ("train/train_000.mkv", "train/train_001.mkv")
    assert made.test == ("test/test_000.mkv",)
    for name in (*made.train, *made.test):
        np.testing.assert_array_equal(pictures(made.folder / name), expected(name).images)


def test_labels_say_exactly_what_the_maps_say(made: SynthResult) -> None:
    labels = read(made.labels)
    assert [video.video_id for video in labels.videos] == [*made.train, *made.test]
    assert [category.name for category in labels.categories] == list(made.classes)
    for video in labels.videos:
        clip = expected(video.video_id)
        assert video.frame_index.tolist() == list(range(12))
        assert video.frame_count == 12
        for place in range(12):
            truth = clip.objects(place)
            rows = labels.rows_at(video.video_id, place)
            assert [labels.masks[row] for row in rows] == list(truth.masks)
            np.testing.assert_array_equal(labels.boxes_xyxy[rows], truth.boxes_xyxy)
            np.testing.assert_array_equal(labels.category_id[rows] - 1, truth.category)
    assert (labels.track_id != NO_TRACK).all()
    counts = np.bincount(labels.category_id[labels.video_row < 2] - 1, minlength=5)
    assert made.train_objects == tuple(counts.tolist())
    assert sum(made.test_objects) == (labels.video_row == 2).sum()


def test_names_are_those_of_the_inputs(made: SynthResult) -> None:
    """Videos given as folders get the ids that labels and split use."""
    sources = resolve_inputs([made.folder / "train", made.folder / "test"])
    assert sorted(source.video_id for source in sources) == sorted((*made.train, *made.test))


def test_labels_are_bound_to_the_files(made: SynthResult) -> None:
    for video in read(made.labels).videos:
        info, table = facts_of(made.folder / video.video_id)
        assert video.content_hash
        np.testing.assert_array_equal(video.pts, table.pts)
        assert video.time_base == table.time_base
        assert info.fps == 25


def facts_of(path: Path):
    table, info, problems = scan(path)
    assert problems == ()
    return info, table


def test_the_split_is_free_of_leaks(made: SynthResult) -> None:
    split = read_split(made.split)
    split.check_leak_free()
    assert tuple(split.train) == made.train
    assert tuple(split.val) == made.test
    kept = split.frames(read(made.labels), "train")
    assert [index.tolist() for index in kept.values()] == [list(range(12))] * 2


def test_the_same_seed_gives_the_same_bytes_but_for_what_is_asked(made: SynthResult, tmp_path: Path) -> None:
    again = synth(tmp_path / "again", clips=2, test_clips=1, frames=12, width=66, height=50, seed=5)
    for name in (*made.train, *made.test, "labels.parquet", "split.json", "README.txt"):
        assert (made.folder / name).read_bytes() == (again.folder / name).read_bytes(), name
    # More clips leave the first ones as they are.
    more = synth(tmp_path / "more", clips=3, test_clips=1, frames=12, width=66, height=50, seed=5)
    assert (more.folder / made.train[1]).read_bytes() == (made.folder / made.train[1]).read_bytes()
    assert (made.folder / made.train[0]).read_bytes() != (made.folder / made.train[1]).read_bytes()
    assert (
        "evfr.synth(OUT, clips=2, test_clips=1, frames=12, width=66,"
        in (made.folder / "README.txt").read_text()
    )


def test_options_reach_the_clips(tmp_path: Path) -> None:
    result = synth(
        tmp_path / "a",
        clips=1,
        test_clips=1,
        frames=6,
        width=64,
        height=48,
        fps=5,
        classes=["star", "disc"],
        class_weights=[1, 0],
        repeat=3,
        rare_moments=1,
        seed=5,
    )
    clip = pictures(result.folder / result.train[0])
    np.testing.assert_array_equal(clip[0], clip[2])
    assert (clip[2] != clip[3]).any()
    assert result.classes == ("star", "disc")
    assert result.train_objects[1] > 0
    assert facts_of(result.folder / result.train[0])[0].fps == 5
    unique = synth(tmp_path / "b", clips=1, test_clips=1, frames=3, width=64, height=48, unique=True, seed=5)
    shown = pictures(unique.folder / unique.train[0]).astype(float)
    assert np.abs(shown[1] - shown[2]).mean() > 10


def test_shuffled_labels_are_of_other_pictures_and_only_in_training(
    made: SynthResult, tmp_path: Path
) -> None:
    wrong = synth(
        tmp_path / "s", clips=2, test_clips=1, frames=12, width=66, height=50, seed=5, shuffle_labels=True
    )
    for name in (*made.train, *made.test):
        assert (made.folder / name).read_bytes() == (wrong.folder / name).read_bytes()
    true, found = read(made.labels), read(wrong.labels)
    assert found.of_video(made.test[0]).equals(true.of_video(made.test[0]))
    assert (found.of_video(made.train[0]).track_id == NO_TRACK).all()
    # Each clip has the labels of the other one, frame by frame in another order.
    for name, other in (made.train, made.train[::-1]):
        masks = sorted(mask.to_coco()["counts"] for mask in true.of_video(other).masks)
        assert sorted(mask.to_coco()["counts"] for mask in found.of_video(name).masks) == masks
    assert "shuffled" in str(wrong)
    assert wrong.is_shuffled


def test_the_result_is_told_in_words_and_as_json(made: SynthResult) -> None:
    data = json.loads(json.dumps(made.to_dict()))
    assert data["train"] == list(made.train)
    assert data["folder"] == str(made.folder)
    assert data["byte_count"] == sum(
        (made.folder / name).stat().st_size for name in (*made.train, *made.test)
    )
    text = str(made)
    assert [line.split() for line in text.splitlines()[:3]] == [
        ["train", "test"],
        ["clips", "2", "1"],
        ["frames", "24", "12"],
    ]
    assert text.splitlines()[-1].endswith(f"labels.parquet and split.json to {made.folder}")


@pytest.mark.parametrize("name", ["clips", "test_clips", "fps"])
def test_counts_below_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 1 or more, got 0"):
        synth(tmp_path / "x", **{name: 0})
    assert not (tmp_path / "x").exists()


def test_wrong_values_are_found_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="classes must be some of disc"):
        synth(tmp_path / "x", classes=["cube"])
    with pytest.raises(ValueError, match="objects must be 0 or more"):
        synth(tmp_path / "x", objects=-1)
    with pytest.raises(
        ValueError, match="shuffle_labels needs 2 clips or more to take labels from another one, got 1"
    ):
        synth(tmp_path / "x", clips=1, shuffle_labels=True)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty; give a new folder"):
        synth(tmp_path, clips=1)
    with pytest.raises(InputError, match="is not empty; give a new folder"):
        synth(tmp_path / "mine.txt", clips=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_remote_folder_is_refused() -> None:
    with pytest.raises(StoreError, match="results are written to local folders only"):
        synth(Path("s3://bucket/synth"), clips=1, test_clips=1, frames=1)
