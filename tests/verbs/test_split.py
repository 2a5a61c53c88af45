"""Splits that do not leak, and the audit that finds those that do."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr.annotations import read, write
from evfr.errors import AnnotationError, InputError, StoreError
from evfr.verbs._split_audit import audit_in_time, frame_times
from evfr.verbs._split_value import parse_buffer, runs_of
from evfr.verbs.split import Split, read_split, split
from helpers.clips import moving_square, write_clip
from helpers.embedded import write_embedding
from helpers.labelled_scene import LAYOUTS

BOX = (0.0, 0.0, 1.0, 1.0)


def labels_of(
    videos: dict[str, list[int]], classes: dict[tuple[str, int], list[int]] | None = None, **fields: object
) -> VideoAnnotations:
    """Return labels of frames by video, with objects of classes 0, 1, ... on some of them."""
    categories = [Category(number + 1, name) for number, name in enumerate(("car", "person", "bus"))]
    rows = [
        ObjectRow(video, frame, number + 1, box_xyxy=BOX)
        for (video, frame), numbers in (classes or {}).items()
        for number in numbers
    ]
    parts = [AnnotatedVideo(name, 4, 3, np.array(index), **fields) for name, index in videos.items()]  # type: ignore[arg-type]
    return VideoAnnotations.build(parts, categories, rows)


def frames_on(made: Split, labels: VideoAnnotations, side: str) -> set[tuple[str, int]]:
    return {(name, int(f)) for name, index in made.frames(labels, side).items() for f in index}  # type: ignore[arg-type]


ALL = {f"v{number}": list(range(0, 10 * (number + 1), 10)) for number in range(10)}


class TestByVideo:
    """Whole videos, sharing out frames and classes."""

    @settings(max_examples=40, deadline=None)
    @given(
        counts=st.lists(st.integers(1, 20), min_size=2, max_size=9),
        val=st.floats(0.05, 0.95),
        seed=st.integers(0, 5),
        data=st.data(),
    )
    def test_each_video_is_on_one_side(self, counts, val, seed, data):
        videos = {f"v{k}": list(range(count)) for k, count in enumerate(counts)}
        objects = {
            (name, frame): data.draw(st.lists(st.integers(0, 2), max_size=2))
            for name, index in videos.items()
            for frame in index[:2]
        }
        labels = labels_of(videos, objects)
        result = split(labels, val=val, seed=seed)
        made = result.split
        assert not made.shared
        assert made.train
        assert made.val
        made.check_leak_free()
        sides = [frames_on(made, labels, side) for side in ("train", "val")]
        assert sides[0] | sides[1] == {(name, frame) for name, index in videos.items() for frame in index}
        assert split(labels, val=val, seed=seed).split == made
        assert result.train.frames + result.val.frames == sum(counts)

    def test_the_share_of_frames_is_near(self):
        result = split(labels_of(ALL), val=0.2)
        assert result.val.frames == 11  # of 55
        assert result.train.frames == 44

    def test_small_sets_are_searched_for_the_best(self):
        """Against all subsets: by the stated price no other choice is better."""
        rng = np.random.default_rng(3)
        videos = {f"v{k}": list(range(int(rng.integers(3, 12)))) for k in range(7)}
        objects = {
            (name, frame): rng.choice(3, rng.integers(0, 4)).tolist()
            for name, index in videos.items()
            for frame in index
        }
        labels = labels_of(videos, objects)
        names = list(videos)
        table = np.zeros((7, 4))
        for row, name in enumerate(names):
            table[row, 0] = len(videos[name])
            for frame in videos[name]:
                for number in objects[name, frame]:
                    table[row, 1 + number] += 1
        shares = table / table.sum(axis=0)

        def price(chosen: list[int]) -> float:
            apart = np.abs(shares[chosen].sum(axis=0) - 0.3)
            return float(apart[0] + apart[1:].mean())

        best = min(price([k for k in range(7) if bits >> k & 1]) for bits in range(1, 2**7 - 1))
        made = split(labels, val=0.3).split
        assert price([names.index(name) for name in made.val]) == pytest.approx(best)

    def test_a_rare_class_is_on_both_sides(self):
        videos = {f"v{k}": list(range(10)) for k in range(20)}
        objects = {(f"v{k}", f): [0] + [2] * (k in (3, 8)) for k in range(20) for f in range(10)}
        for seed in range(5):
            result = split(labels_of(videos, objects), val=0.2, seed=seed)
            assert result.missing_classes == ()
            assert 0.15 <= result.val.frames / 200 <= 0.3
        assert len({tuple(split(labels_of(videos, objects), seed=s).split.val) for s in range(6)}) > 1

    def test_one_video_cannot_be_split(self):
        with pytest.raises(
            InputError, match=r"a split by video needs two labelled videos or more, got 1; split by time"
        ):
            split(labels_of({"v": [1, 2]}))
        with pytest.raises(InputError, match=r"no frame is labelled, so there is nothing to split"):
            split(labels_of({"v": []}))


class TestByTime:
    """Blocks of time, a buffer on their sides."""

    @settings(max_examples=60, deadline=None)
    @given(
        index=st.lists(st.integers(0, 400), min_size=4, max_size=60, unique=True),
        val=st.floats(0.1, 0.6),
        buffer=st.integers(1, 40),
        blocks=st.integers(1, 3),
        seed=st.integers(0, 5),
    )
    def test_no_frame_is_nearer_than_the_buffer(self, index, val, buffer, blocks, seed):
        labels = labels_of({"v": sorted(index)})
        options = {"by": "time", "buffer": f"{buffer}f", "val": val, "seed": seed, "blocks": blocks}
        try:
            result = split(labels, audit=True, **options)  # type: ignore[arg-type]
        except InputError as error:
            assert "no video is long enough" in str(error)
            return
        made = result.split
        train, val_side, dropped = (
            [frame for _, frame in sorted(frames_on(made, labels, side))]
            for side in ("train", "val", "dropped")
        )
        assert sorted(train + val_side + dropped) == sorted(index)
        assert min(abs(a - b) for a in train for b in val_side) > buffer
        # Dropped is only what has to be.
        assert all(min(abs(frame - other) for other in val_side) <= buffer for frame in dropped)
        made.check_leak_free()
        assert result.audit is not None
        assert result.audit.near == 0

    def test_by_hand(self):
        result = split(labels_of({"v": list(range(100))}), by="time", buffer="10f", seed=1)
        made = result.split
        assert (result.val.frames, result.dropped.frames, result.train.frames) == (20, 10, 70)
        assert made.val["v"] in (((0, 19),), ((80, 99),))
        assert made.buffer_frames == {"v": 10}
        assert {
            split(labels_of({"v": list(range(100))}), by="time", buffer="10f", seed=s).split.val["v"]
            for s in range(9)
        } == {
            ((0, 19),),
            ((80, 99),),
        }
        middle = split(labels_of({"v": list(range(100))}), by="time", buffer="5f", blocks=2)
        assert (middle.val.frames, len(middle.split.val["v"])) == (20, 2)

    def test_a_block_has_its_share_of_each_class(self):
        """Persons are in frames 40 to 59 alone, so the block must be there, whatever the buffer costs."""
        objects = {("v", frame): [0] + [1] * (40 <= frame < 60) for frame in range(100)}
        made = split(labels_of({"v": list(range(100))}, objects), by="time", buffer="2f")
        first, last = made.split.val["v"][0]
        assert first < 60
        assert last >= 40
        assert made.missing_classes == ()

    def test_seconds(self, tmp_path):
        index = list(range(0, 300, 10))
        timed = labels_of({"v": index}, pts=np.array(index) * 512, time_base=Fraction(1, 12800))
        result = split(timed, by="time", buffer="2s", audit=True)
        assert result.split.buffer_frames == {
            "v": 59
        }  # 25 a second, every tenth: the next after 50 is 60 away
        result.split.check_leak_free()
        loose = labels_of({"v": index})
        with pytest.raises(
            InputError, match=r"at what times the frames of 'v' lie, so a buffer of 2s cannot be kept"
        ):
            split(loose, by="time", buffer="2s")
        assert split(loose, by="time", buffer="2s", fps=25).split == result.split
        path = write_clip(tmp_path / "v.mp4", moving_square(291, size=(16, 16)), rate=25)
        assert split(loose, by="time", buffer="2s", videos=[path]).split == result.split
        short = write_clip(tmp_path / "short.mp4", moving_square(20, size=(16, 16)))
        with pytest.raises(AnnotationError, match=r"v: frame 290 is labelled, but .*short.mp4 has 20 frames"):
            split(loose, by="time", buffer="2s", videos=[short])

    def test_pictures_have_no_times(self, tmp_path):
        videos, labels = LAYOUTS["evfr"](tmp_path)
        with pytest.raises(InputError, match=r"nothing says at what times"):
            split(labels, by="time", videos=videos)

    def test_short_videos_stay_whole(self):
        labels = labels_of({"long": list(range(100)), "short": [0, 1, 2], "one": [5]})
        result = split(labels, by="time", buffer="10f")
        assert result.whole == ("short", "one")
        assert set(result.split.train) == {"long", "short", "one"}
        assert (
            "2 videos are too short for a block and a buffer, and are in train as a whole: short, one"
            in str(result)
        )
        with pytest.raises(
            InputError, match=r"no video is long enough for 1 blocks of 20% and a buffer of 99f"
        ):
            split(labels, by="time", buffer="99f")


class TestAudit:
    """The audit finds what leaks."""

    def test_by_hand(self):
        labels = labels_of({"v": [0, 10, 20, 30, 40], "w": [0, 1]})
        made = Split(
            {"v": ((0, 10),), "w": ((0, 0),)}, {"v": ((20, 20), (40, 40)), "w": ((1, 1),)}, by="frame"
        )
        for buffer, near in (("0f", 0), ("1f", 1), ("9f", 1), ("10f", 2), ("30f", 3)):
            times = frame_times(labels, made.shared, buffer=buffer, fps=None, videos=())
            audit = audit_in_time(made, labels, times, buffer)
            assert (audit.frames, audit.near) == (3, near)
        assert str(audit) == (
            "audit: 3 of 3 validation frames (100.0%) lie within 30f of a training frame of the same video"
        )

    def test_a_random_split_of_a_real_clip_leaks(self, data_dir):
        labels = read(data_dir / "research/pets_gt.txt", format="mot", width=768, height=576, length=795)
        result = split(labels, by="frame", buffer="1s", fps=10, audit=True)
        assert result.audit is not None
        assert result.audit.frames == 159
        assert result.audit.share > 0.99
        with pytest.raises(
            InputError, match=r"the video 'pets_gt' is on both sides of a split by frame; split by video"
        ):
            result.split.check_leak_free()
        honest = split(labels, by="time", buffer="1s", fps=10, audit=True)
        assert honest.audit is not None
        assert honest.audit.near == 0
        honest.split.check_leak_free()

    def test_pictures_that_look_alike(self, tmp_path):
        """Video b is a copy of a, c is another: only b's frames look like training frames."""
        rng = np.random.default_rng(0)
        scenes = {name: rng.integers(0, 256, (32, 32, 3)).astype(np.uint8) for name in "ac"}
        videos = {}
        for name in "abc":
            base = scenes["a" if name == "b" else name]
            pictures = [np.roll(base, 2 * k, axis=1) for k in range(4)]
            videos[name] = write_clip(
                tmp_path / f"{name}.mkv", pictures, codec="ffv1", pixel_format="bgr0", gop=1, b_frames=None
            )
        labels = labels_of({"a": [0, 1, 2, 3], "b": [0, 1, 2, 3], "c": [0, 1, 2]})
        chosen = tmp_path / "split.json"
        Split({"a": ((0, 3),)}, {"b": ((0, 3),), "c": ((0, 3),)}).write(chosen)
        result = split(labels, from_=chosen, audit=True, videos=list(videos.values()), distance=1e-6, pairs=3)
        assert result.audit is not None
        looks = result.audit.looks
        assert looks is not None
        assert (looks.compared, looks.alike, looks.share) == (7, 4, 4 / 7)
        assert [
            (pair.video_id, pair.frame_index, pair.train_video_id, pair.train_frame_index)
            for pair in looks.pairs
        ] == [("b", k, "a", k) for k in range(3)]
        assert "4 of 7 (57.1%) look like a training frame (thumbnail, cosine distance up to 1e-06)" in str(
            result
        )
        assert "b 0 looks like a 0 (distance 0)" in str(result)
        own = split(labels, from_=chosen, audit=True, videos=list(videos.values())).audit
        assert own is not None
        assert own.looks is not None
        assert own.looks.is_own_threshold
        assert own.looks.threshold > 1e-6
        json.dumps(result.to_dict())

    def test_stored_vectors(self, tmp_path):
        angles = np.linspace(0.0, 1.5, 30)
        rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        write_embedding(tmp_path / "store", "a.mp4", rows)
        twin = rows[::-1].astype(np.float16)
        twin[4] = np.nan
        write_embedding(tmp_path / "store", "b.mp4", twin)
        labels = labels_of({"a": [0, 10, 20], "b": [4, 5, 29], "c": [0]})
        Split({"a": ((0, 20),)}, {"b": ((4, 29),), "c": ((0, 0),)}).write(tmp_path / "s.json")
        result = split(
            labels, from_=tmp_path / "s.json", audit=True, vectors=tmp_path / "store", distance=0.001
        )
        assert result.audit is not None
        looks = result.audit.looks
        assert looks is not None
        # b 29 is a 0; b 5 is a 24, 4 steps from a 20: 1 - cos(4 * 1.5 / 29) = .021.
        assert (looks.compared, looks.alike, looks.without_vector) == (2, 1, 2)
        assert (looks.pairs[0].frame_index, looks.pairs[0].train_frame_index) == (29, 0)
        assert looks.pairs[1].distance == pytest.approx(1 - np.cos(4 * 1.5 / 29), abs=2e-3)
        assert "2 frames have no vector and were not compared" in str(result)
        strange = labels_of({"x": [0], "y": [0]})
        with pytest.raises(
            InputError, match=r"no vector for frames of both sides; give the videos, or a store"
        ):
            split(strange, audit=True, vectors=tmp_path / "store")
        with pytest.raises(StoreError):
            split(labels, audit=True, vectors=tmp_path / "none")

    def test_stills_need_a_distance(self, tmp_path):
        videos, labels = LAYOUTS["coco stills"](tmp_path)
        with pytest.raises(InputError, match=r"nothing says what looks alike; give a distance"):
            split(labels, audit=True, videos=videos)
        result = split(labels, audit=True, videos=videos, distance=0.0)
        assert result.audit is not None
        assert result.audit.looks is not None
        assert result.audit.looks.compared == result.val.frames


class TestFile:
    """What is written comes back, and what is wrong is refused."""

    def test_it_comes_back(self, tmp_path):
        labels = labels_of({"v": list(range(100)), "w": list(range(0, 300, 3))})
        result = split(labels, by="time", buffer="7f", seed=3, out=tmp_path / "split.json")
        assert read_split(tmp_path / "split.json") == result.split
        data = json.loads((tmp_path / "split.json").read_text())
        assert list(data) == ["version", "by", "buffer", "buffer_frames", "seed", "train", "val", "dropped"]
        again = split(labels, from_=tmp_path / "split.json")
        assert (again.train, again.val, again.dropped) == (result.train, result.val, result.dropped)
        assert f"wrote {tmp_path / 'split.json'}" in str(result)

    def test_the_least_that_a_file_says(self, tmp_path):
        path = tmp_path / "s.json"
        path.write_text('{"version": 1, "train": {"a": [[0, 9]]}, "val": {"b": [[0, 9], [12, 12]]}}')
        made = read_split(path)
        assert (made.by, made.dropped, made.shared) == ("video", {}, ())
        made.check_leak_free()
        assert repr(made) == "Split(by video: 1 videos train, 1 val)"

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("[]", r'must be an object with "version": 1; make it with evfr split'),
            ('{"version": 2}', r'must be an object with "version": 1'),
            ("{", r"s.json cannot be read"),
            ('{"version": 1, "test": {}}', r"has the unknown key 'test'; known are"),
            ('{"version": 1, "by": "x"}', r'"by" must be video, time or frame, got \'x\''),
            (
                '{"version": 1, "seed": -1}',
                r'"buffer_frames" must be whole numbers by video, and "seed" one of 0',
            ),
            ('{"version": 1, "buffer_frames": {"a": 1.5}}', r'"buffer_frames" must be whole numbers'),
            (
                '{"version": 1, "buffer": "5"}',
                r"a buffer is a number of seconds as '5s' or of frames as '150f', got '5'",
            ),
            ('{"version": 1, "train": []}', r"train must be an object of videos, got \[\]"),
            ('{"version": 1, "val": {"a": []}}', r"val: 'a' must be a list of \[first, last\], got \[\]"),
            ('{"version": 1, "val": {"a": [[0, 1, 2]]}}', r"val: 'a' must be a list of \[first, last\]"),
            (
                '{"version": 1, "val": {"a": [[5, 3]]}}',
                r"val of 'a' has the run 5..3; a run is its first and last",
            ),
            (
                '{"version": 1, "train": {"a": [[0, 5]]}, "val": {"a": [[5, 9]]}}',
                r"frame 5 of 'a' is in train and in val; a frame is on one side",
            ),
        ],
    )
    def test_what_is_refused(self, tmp_path, text, match):
        path = tmp_path / "s.json"
        path.write_text(text)
        with pytest.raises(InputError, match=match):
            read_split(path)

    def test_labels_of_another_set(self):
        made = Split({"a": ((0, 9),)}, {"b": ((0, 9),)})
        with pytest.raises(InputError, match=r"the labels have no video 'a'; they have \['c'\]"):
            made.frames(labels_of({"c": [0]}), "train")
        with pytest.raises(InputError, match=r"no frame of 'a' in train is labelled"):
            made.frames(labels_of({"a": [10]}), "train")
        with pytest.raises(ValueError, match=r"side must be one of train, val, dropped, got 'test'"):
            made.frames(labels_of({"a": [1]}), "test")  # type: ignore[arg-type]


class TestLeaks:
    """Which splits may be used in experiments."""

    @pytest.mark.parametrize(
        ("made", "match"),
        [
            (Split({}, {"a": ((0, 1),)}), r"train has no frame; give it some"),
            (Split({"a": ((0, 1),)}, {}), r"val has no frame"),
            (
                Split({"a": ((0, 1),)}, {"a": ((900, 901),)}),
                r"the video 'a' is on both sides of a split by video; split by video, or by time with a buffer",
            ),
            (
                Split({"a": ((0, 9),)}, {"a": ((20, 29),)}, by="time", buffer="11f"),
                r"10 frames lie between the sides in 'a', the buffer asks for 11",
            ),
            (
                Split({"a": ((0, 9),)}, {"a": ((20, 29),)}, by="time"),
                r"10 frames lie between the sides in 'a', the buffer asks for 1; split by video",
            ),
            (
                Split({"a": ((0, 9),)}, {"a": ((20, 29),)}, by="time", buffer="5s"),
                r"10 frames lie between the sides in 'a', the buffer asks for 1",
            ),
            (
                Split(
                    {"a": ((0, 9), (40, 50))},
                    {"a": ((20, 29),)},
                    by="time",
                    buffer="5s",
                    buffer_frames={"a": 11},
                ),
                r"10 frames lie between",
            ),
        ],
    )
    def test_what_leaks(self, made, match):
        with pytest.raises(InputError, match=match):
            made.check_leak_free()

    def test_what_does_not(self):
        Split({"a": ((0, 9),)}, {"b": ((0, 9),)}).check_leak_free()
        Split({"a": ((0, 9),)}, {"a": ((20, 29),)}, by="time", buffer="10f").check_leak_free()
        # The published halves of CDnet's highway.
        Split({"h": ((470, 1229),)}, {"h": ((1270, 1698),)}, by="time", buffer="40f").check_leak_free()
        Split(
            {"a": ((0, 9),)}, {"a": ((20, 29),)}, by="time", buffer="5s", buffer_frames={"a": 10}
        ).check_leak_free()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"val": 0.0}, r"val must be a share between 0 and 1, got 0.0"),
        ({"val": 1.0}, r"val must be a share"),
        ({"by": "day"}, r"by must be video, time or frame, got 'day'"),
        ({"buffer": "five"}, r"a buffer is a number of seconds as '5s' or of frames as '150f', got 'five'"),
        ({"blocks": 0}, r"blocks must be 1 or more, got 0"),
        ({"fps": 0.0}, r"fps must be positive and finite, got 0.0"),
        ({"distance": 3.0}, r"distance must be a cosine distance, 0 to 2, got 3.0"),
        ({"pairs": -1}, r"pairs must be 0 or more, got -1"),
        ({"vectors": Path("store")}, r"vectors are compared in an audit; ask for the audit"),
    ],
)
def test_options_out_of_range(options, match):
    with pytest.raises(ValueError, match=match):
        split(labels_of(ALL), **options)


def test_results_are_written_locally():
    with pytest.raises(StoreError, match=r"results are written to local folders only"):
        split(labels_of(ALL), out=Path("s3://bucket/split.json"))


def test_counts_and_text(tmp_path):
    objects = {("a", 0): [0, 0, 1], ("b", 1): [0], ("b", 2): [2]}
    path = write(labels_of({"a": [0, 1], "b": [1, 2]}, objects), tmp_path / "labels.parquet", format="evfr")
    result = split(path, val=0.5)
    assert {result.train.objects, result.val.objects} == {(2, 1, 0), (1, 0, 1)}
    assert result.classes == ("car", "person", "bus")
    assert result.missing_classes == ("person", "bus")
    assert "on one side only, so not learnt or not judged: person, bus" in str(result)
    assert result.to_dict()["train"]["frames"] == 2
    crowd = VideoAnnotations.build(
        [AnnotatedVideo(name, 4, 3, np.array([0])) for name in "ab"],
        [Category(1, "car")],
        [ObjectRow("a", 0, 1, box_xyxy=BOX, is_crowd=True)],
    )
    assert split(crowd).classes == ()
    assert "labelled frames" in str(split(crowd))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 30))
def test_runs(seed, count):
    rng = np.random.default_rng(seed)
    index = np.cumsum(rng.integers(1, 4, count))
    member = rng.random(count) < 0.5
    runs = runs_of(index, member)
    covered = np.zeros(count, bool)
    for first, last in runs:
        covered |= (index >= first) & (index <= last)
    np.testing.assert_array_equal(covered, member)
    assert parse_buffer("1.5s") == (1.5, "s")
    assert parse_buffer("150f") == (150.0, "f")
