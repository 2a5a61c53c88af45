"""Exact extraction: no wrong frame in any form that can be encoded, by any plan, and none under a lying index."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evfr.errors import ExtractionError, VideoError
from evfr.video import ExtractionPlan, Frame, extract_frames, open_video, plan_extraction
from evfr.video import _runs as runs_module
from evfr.video import _sieve as sieve_module
from evfr.video import extraction as extraction_module
from evfr.video._plan import Segment, key_frames, plan_segments, unique_pts
from helpers.barcode import FORMS, ClipForm, encode, form, index_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from evfr._core.types import FrameTable

COUNT = 40
PLANS = ("seek", "sequential", "auto")


class Clip:
    """One encoded form with its table and all its frames from one sequential pass."""

    def __init__(self, folder: Path, clip_form: ClipForm) -> None:
        self.form = clip_form
        self.path = encode(folder / f"{clip_form.name}.{clip_form.suffix}", clip_form, COUNT)
        self.images: list[NDArray[np.uint8]] = []
        with open_video(self.path) as reader:
            for frame in reader:
                assert frame.frame_index == len(self.images)
                self.images.append(frame.rgb().copy())
            self.table: FrameTable = reader.table()

    def read(self, image: NDArray[np.uint8]) -> int:
        return index_of(image, rotation=self.form.rotation, is_chroma_only=self.form.is_chroma_only)


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    folder = tmp_path_factory.mktemp("clips")
    clips: dict[str, Clip] = {}

    def get(name: str) -> Clip:
        if name not in clips:
            clips[name] = Clip(folder, form(name))
        return clips[name]

    yield get


def assert_exact(clip: Clip, wanted: list[int], frames: list[Frame]) -> None:
    assert [frame.frame_index for frame in frames] == wanted
    for frame in frames:
        np.testing.assert_array_equal(frame.image, clip.images[frame.frame_index])
        assert clip.read(frame.image) == frame.frame_index + clip.form.lost
        assert frame.pts == clip.table.pts[frame.frame_index]
        assert frame.time_base == clip.table.time_base
        assert frame.time_seconds == clip.table.time_seconds[frame.frame_index]


def subsets(count: int, *, seed: int, how_many: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    fixed = [[count - 1], list(range(count)), [0, count - 1]]
    return fixed + [
        sorted(rng.choice(count, int(rng.integers(1, 8)), replace=False).tolist()) for _ in range(how_many)
    ]


@pytest.mark.parametrize("clip_form", FORMS, ids=lambda item: item.name)
def test_no_wrong_frame_in_any_form(tmp_path: Path, clip_form: ClipForm) -> None:
    clip = Clip(tmp_path, clip_form)
    assert [clip.read(image) for image in clip.images] == list(range(clip_form.lost, COUNT))
    for turn, wanted in enumerate(subsets(len(clip.images), seed=1, how_many=4)):
        for plan in {PLANS[turn % 3], "seek"}:
            assert_exact(clip, wanted, list(extract_frames(clip.path, wanted, clip.table, plan=plan)))


@pytest.mark.slow
@pytest.mark.parametrize("clip_form", FORMS, ids=lambda item: item.name)
def test_no_wrong_frame_in_any_form_widest(tmp_path: Path, clip_form: ClipForm) -> None:
    clip = Clip(tmp_path, clip_form)
    count = len(clip.images)
    for wanted in [[index] for index in range(count)] + subsets(count, seed=2, how_many=8):
        for plan in PLANS:
            assert_exact(clip, wanted, list(extract_frames(clip.path, wanted, clip.table, plan=plan)))
        assert_exact(
            clip, wanted, list(extract_frames(clip.path, wanted, clip.table, plan="seek", threads=2))
        )


def test_seeking_needs_no_fallback(clip_of, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Iterator[Frame]:
        raise AssertionError("fell back to the reader's pass")

    monkeypatch.setattr(extraction_module.FrameExtractor, "_from_pass", refuse)
    for name in (
        "h264-mp4",
        "h264-open-gop-ts",
        "h264-264",
        "h264-edit-list",
        "mpeg4-asp-avi",
        "vp9-altref-mkv",
    ):
        clip = clip_of(name)
        for wanted in subsets(len(clip.images), seed=3, how_many=5):
            assert_exact(clip, wanted, list(extract_frames(clip.path, wanted, clip.table, plan="seek")))


PROPERTY_CLIPS = (
    "h264-mp4",
    "h264-open-gop-mp4",
    "h264-open-gop-264",
    "h264-vfr-mkv",
    "h264-offset-ts",
    "h264-edit-list",
    "hevc-open-gop-mkv",
    "mpeg4-asp-avi",
    "vp8-altref-webm",
    "chroma-only-open-gop-264",
    "chroma-only-ts",
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_subset_by_any_plan_equals_the_sequential_pass(clip_of, data: st.DataObject) -> None:
    clip = clip_of(data.draw(st.sampled_from(PROPERTY_CLIPS)))
    wanted = sorted(data.draw(st.sets(st.integers(0, len(clip.images) - 1), max_size=len(clip.images))))
    plan = data.draw(st.sampled_from(PLANS))
    assert_exact(clip, wanted, list(extract_frames(clip.path, wanted, clip.table, plan=plan)))


def one_group_late(decoder: runs_module.RunDecoder) -> dict[int | None, int]:
    """Make the index lie: each frame's time is said to be that of the frame one group of pictures before."""
    group = int(np.flatnonzero(decoder._table.is_iframe)[1])
    pts = decoder._table.pts.tolist()
    return {stamp: index - group if index >= group else len(pts) + index for index, stamp in enumerate(pts)}


@pytest.mark.parametrize("is_verified", [False, True])
def test_a_lying_index_hands_out_no_wrong_frame(clip_of, monkeypatch, is_verified: bool) -> None:
    clip = clip_of("h264-mp4")
    wanted = [14, 17, 26]
    monkeypatch.setattr(runs_module.RunDecoder, "_times", one_group_late)
    if not is_verified:
        monkeypatch.setattr(sieve_module, "is_same_picture", lambda *_: True)
    frames = list(extract_frames(clip.path, wanted, clip.table, plan="seek"))
    assert [frame.frame_index for frame in frames] == wanted
    shown = [clip.read(frame.image) for frame in frames]
    if is_verified:
        assert_exact(clip, wanted, frames)
    else:
        assert shown != wanted, "the planted lie is no lie: this test proves nothing"


def test_a_mark_on_a_wrong_packet_backs_off(clip_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that marks a P-picture as an entry point: decoding from there gives wrong pictures."""
    clip = clip_of("h264-mp4")
    assert clip.table.picture_type[15] != b"I"
    marked = clip.table.is_iframe.copy()
    marked[[12, 16]] = [False, True]
    kinds = clip.table.picture_type.copy()
    kinds[[12, 16]] = [b"P", b"I"]
    table = dataclasses.replace(clip.table, is_iframe=marked, picture_type=kinds)
    assert key_frames(table).tolist() == [0, 16, 24, 36]
    assert_exact(clip, [17, 19, 30], list(extract_frames(clip.path, [17, 19, 30], table, plan="seek")))


def test_equal_luma_everywhere_and_no_pts(clip_of) -> None:
    clip = clip_of("chroma-only-264")
    assert len(set(clip.table.luma_hash.tolist())) == 1
    assert not unique_pts(clip.table)
    for index in range(COUNT):
        assert_exact(clip, [index], list(extract_frames(clip.path, [index], clip.table, plan="seek")))


def test_repeated_pts_are_counted_not_looked_up(clip_of, tmp_path: Path) -> None:
    """The table of a file whose time stamps all repeat must not be matched by time."""
    clip = clip_of("chroma-only-mp4")
    pts = clip.table.pts.copy()
    pts[1] = pts[0]
    table = dataclasses.replace(clip.table, pts=pts)
    assert not unique_pts(table)
    with pytest.raises(ExtractionError, match="frame 1 has another time stamp"):
        list(extract_frames(clip.path, [1], table, plan="seek"))


@pytest.mark.parametrize("plan", PLANS)
def test_a_changed_file_is_refused(clip_of, plan: str) -> None:
    clip = clip_of("h264-mp4")
    hashes = clip.table.luma_hash.copy()
    hashes[30] ^= np.uint64(1)
    table = dataclasses.replace(clip.table, luma_hash=hashes)
    got = []
    with pytest.raises(
        ExtractionError, match=r"frame 30 has another time stamp or other pixels .* has changed"
    ):
        got.extend(extract_frames(clip.path, [3, 30, 33], table, plan=plan))
    assert_exact(clip, [3], got)


def test_a_shortened_file_is_refused(clip_of, tmp_path: Path) -> None:
    clip = clip_of("h264-mp4")
    short = encode(tmp_path / "short.mp4", form("h264-mp4"), 20)
    with pytest.raises(ExtractionError, match="frame 30 is not there; the file has changed"):
        list(extract_frames(short, [30], clip.table))


def test_damaged_frames_are_handed_out_or_refused_as_asked(clip_of) -> None:
    clip = clip_of("h264-mp4")
    suspect = np.zeros(COUNT, np.bool_)
    suspect[20:24] = True
    table = dataclasses.replace(clip.table, is_suspect=suspect)
    assert_exact(clip, [5, 21, 30], list(extract_frames(clip.path, [5, 21, 30], table)))
    with pytest.raises(ExtractionError, match="damage may have reached frame 21"):
        extract_frames(clip.path, [5, 21], table, damaged="drop")
    lost = ~suspect
    table = dataclasses.replace(clip.table, is_suspect=suspect, is_decoded=lost)
    with pytest.raises(ExtractionError, match="frame 20 does not decode"):
        extract_frames(clip.path, [20], table)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([3, 3], "strictly increasing, got 3 then 3"),
        ([5, 2], "strictly increasing, got 5 then 2"),
        ([-1, 2], r"in \[0, 40\), got -1"),
        ([2, 40], r"in \[0, 40\), got 40"),
    ],
)
def test_wrong_indices(clip_of, wanted: list[int], message: str) -> None:
    clip = clip_of("h264-mp4")
    with pytest.raises(ValueError, match=message):
        extract_frames(clip.path, wanted, clip.table)
    with pytest.raises(ValueError, match=message):
        plan_extraction(clip.path, wanted, clip.table)


def test_wrong_options(clip_of) -> None:
    clip = clip_of("h264-mp4")
    with pytest.raises(ValueError, match='plan must be "auto", "seek" or "sequential", got \'fast\''):
        extract_frames(clip.path, [1], clip.table, plan="fast")
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        extract_frames(clip.path, [1], clip.table, threads=0)
    with pytest.raises(ValueError, match='damaged must be "drop", "keep" or "fail", got \'maybe\''):
        extract_frames(clip.path, [1], clip.table, damaged="maybe")
    with pytest.raises(VideoError, match="E_NOT_FOUND"):
        list(extract_frames(clip.path.with_name("none.mp4"), [1], clip.table))


def test_nothing_wanted(clip_of) -> None:
    clip = clip_of("h264-mp4")
    assert list(extract_frames(clip.path, [], clip.table)) == []
    assert plan_extraction(clip.path, [], clip.table).frames_to_decode == 0


def test_the_plan_says_what_is_decoded(clip_of) -> None:
    clip = clip_of("h264-no-b")
    plan = plan_extraction(clip.path, [3, 27, 28], clip.table)
    assert plan.strategy == "seek"
    assert plan.segments == (Segment(-1, (3,)), Segment(24, (27, 28)))
    assert (plan.wanted_count, plan.seeks, plan.frames_to_decode) == (3, 1, 9)
    assert 0 < plan.relative_cost < 0.9
    assert "9 of 29 frames suffice" in repr(plan)


def test_every_frame_is_one_sequential_pass(clip_of) -> None:
    clip = clip_of("h264-mp4")
    plan = plan_extraction(clip.path, range(COUNT), clip.table)
    assert (plan.strategy, plan.frames_to_decode, plan.relative_cost) == ("sequential", COUNT, 1.0)
    assert plan.reason == "every frame is wanted"


@pytest.mark.parametrize("plan", ["seek", "sequential", "auto"])
def test_segments_cover_what_is_wanted(clip_of, plan: str) -> None:
    table = clip_of("h264-open-gop-mp4").table
    keys = set(key_frames(table).tolist())
    for wanted in subsets(COUNT, seed=5, how_many=30):
        made: ExtractionPlan = plan_segments(tuple(wanted), table, can_skip=True, plan=plan)
        assert [index for segment in made.segments for index in segment.wanted] == wanted
        for segment in made.segments:
            assert segment.start == -1 or segment.start in keys
            assert segment.start <= segment.wanted[0]
        for before, after in pairwise(made.segments):
            assert before.wanted[-1] < after.start
        assert made.frames_to_decode <= wanted[-1] + 1


def test_temporal_layers_are_not_skipped(clip_of) -> None:
    from evfr.video._container import open_container, video_streams

    for name, expected in (("hevc-mp4", True), ("hevc-temporal-layers", False), ("vp9-webm", False)):
        with open_container(clip_of(name).path) as container:
            assert runs_module.can_skip(video_streams(container)[0]) is expected


def slow(name: str) -> Any:
    """Leave a long clip to the slow tests: a shorter one of its codec and container stands for it."""
    return pytest.param(name, marks=pytest.mark.slow)


REAL = (
    slow("video/people_one_by_one.mp4"),
    slow("video/bottles.mp4"),
    "video/basketball.mp4",
    "video/bikes_cuts.mp4",
    "video/interleaved_scenes.264",
    "codec/bear_av1.mp4",
    "codec/bear_vp9.webm",
    slow("codec/roof_hevc10.mp4"),
    "codec/girlshy_hevc.h265",
    "codec/ucf_mpeg4asp.avi",
    "codec/rotated90.mov",
    slow("research/pets_vtest_h264.avi"),
    "research/traffic_mjpeg.avi",
    "mv/bbb_h264_b.264",
)


@pytest.mark.parametrize("name", REAL)
def test_real_clips(data_dir: Path, name: str) -> None:
    path = data_dir / name
    rng = np.random.default_rng(4)
    held: list[tuple[int, NDArray[np.uint8]]] = []  # a reservoir: 12 frames by chance from one pass
    with open_video(path) as reader:
        for frame in reader:
            place = int(rng.integers(frame.frame_index + 1))
            if len(held) < 12:
                held.append((frame.frame_index, frame.rgb().copy()))
            elif place < 12:
                held[place] = (frame.frame_index, frame.rgb().copy())
        table = reader.table()
    expected = dict(held)
    wanted = sorted(expected)
    for plan in ("seek", "auto"):
        frames = list(extract_frames(path, wanted, table, plan=plan))
        assert [frame.frame_index for frame in frames] == wanted
        for frame in frames:
            np.testing.assert_array_equal(frame.image, expected[frame.frame_index])
