"""Frames fetched from files and tables that do not fit each other, and archives and streams that fail half way."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from evfr._core.types import PTS_NONE, FrameTable
from evfr.errors import ExtractionError, InputError, ProblemCode, VideoError
from evfr.video import _archive as archive_module
from evfr.video import extract_frames, open_video, resolve_inputs, scan
from evfr.video._container import open_container, video_streams
from evfr.video._damage import Damage
from evfr.video._frames import Frame
from evfr.video._pass import Pass
from evfr.video._pictures import BadImageError
from evfr.video._plan import Segment
from evfr.video._runs import RunDecoder, can_skip
from evfr.video._sieve import Mismatch, Sieve
from evfr.video.synthetic import clip_object_maps, draw_clip
from fuzz import seeds
from helpers.clips import moving_square, write_clip


def cut(table: FrameTable, count: int) -> FrameTable:
    names = ("pts", "time_seconds", "picture_type", "is_iframe", "luma_hash", "is_suspect", "is_decoded")
    return replace(table, **{name: getattr(table, name)[:count] for name in names})


@pytest.fixture
def raw(tmp_path: Path) -> tuple[Path, FrameTable]:
    """Return an elementary stream, whose packets have no time stamps."""
    path = tmp_path / "a.h264"
    path.write_bytes(seeds.clip(tmp_path, "h264"))
    return path, scan(path)[0]


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Path, FrameTable]:
    path = write_clip(tmp_path / "a.mp4", moving_square(12), gop=4, b_frames=0)
    return path, scan(path)[0]


def run(path: Path, table: FrameTable, segment: Segment, *, is_careful: bool = False) -> list[int]:
    with RunDecoder(path, table) as decoder:
        return [index for index, _ in decoder.frames(segment, is_careful=is_careful)]


def test_frames_without_time_stamps_are_counted(raw):
    path, table = raw
    assert run(path, table, Segment(-1, (0, 2, 5))) == [0, 2, 5]
    assert run(path, table, Segment(4, (5, 6))) == [5, 6]
    with RunDecoder(path, table) as decoder:
        for segment in (Segment(4, (6,)), Segment(0, (1,)), Segment(-1, (3,))):
            for is_careful in (False, True):
                found = [index for index, _ in decoder.frames(segment, is_careful=is_careful)]
                assert found == list(segment.wanted)


def test_frames_that_cannot_be_counted(raw):
    path, table = raw
    damaged = replace(table, is_suspect=np.arange(len(table)) == 3)
    with pytest.raises(Mismatch, match="frames cannot be counted where some are damaged or missing"):
        run(path, damaged, Segment(-1, (1,)))
    short = cut(table, len(table) - 2)
    with pytest.raises(Mismatch, match="packets and frames do not correspond one to one"):
        run(path, short, Segment(4, (4,)))
    early = replace(table, is_iframe=np.isin(np.arange(len(table)), [0, 3]))
    with pytest.raises(Mismatch, match="key packets are not where the key frames are"):
        run(path, early, Segment(3, (3,)))


def test_more_frames_than_the_table_holds(raw):
    path, table = raw
    short = cut(table, 3)
    wrong = replace(short, luma_hash=np.array([*short.luma_hash[:2], 7], np.uint64))
    with pytest.raises(Mismatch, match="frame 2 has other pixels than the table says"):
        run(path, wrong, Segment(-1, (2,)))


def test_a_table_that_names_another_start(clip):
    path, table = clip
    with pytest.raises(Mismatch, match="no packet starts frame 5"):
        run(path, table, Segment(5, (6,)))
    other = replace(table, pts=table.pts + 7)
    with pytest.raises(Mismatch, match="no packet starts frame 4"):
        run(path, other, Segment(4, (6,)))
    wrong = replace(table, luma_hash=table.luma_hash ^ np.uint64(1))
    with pytest.raises(Mismatch, match="frame 4 has other pixels than the table says"):
        run(path, wrong, Segment(4, (6,)))
    assert run(path, table, Segment(4, (6,))) == [6]


def test_after_a_failure_the_same_decoder_goes_on(clip):
    path, table = clip
    with RunDecoder(path, table) as decoder:
        for _ in range(2):
            with pytest.raises(Mismatch, match="no packet starts frame 5"):
                list(decoder.frames(Segment(5, (6,)), is_careful=False))
            found = [index for index, _ in decoder.frames(Segment(8, (9, 11)), is_careful=True)]
            assert found == [9, 11]
            assert [index for index, _ in decoder.frames(Segment(0, (1,)), is_careful=False)] == [1]


def test_streams_without_an_index_are_read_over_not_jumped_in(tmp_path):
    path = write_clip(tmp_path / "a.ts", moving_square(150, size=(32, 16)), gop=10, b_frames=0)
    table = scan(path)[0]
    wanted = [2, 131, 148]
    for plan in ("seek", "sequential", "auto"):
        found = list(extract_frames(path, wanted, table, plan=plan))
        assert [frame.frame_index for frame in found] == wanted
    with open_video(path) as video:
        pixels = {frame.frame_index: frame.rgb().copy() for frame in video}
    for frame in found:
        np.testing.assert_array_equal(frame.image, pixels[frame.frame_index])


def test_a_file_that_has_shrunk_is_told(clip):
    path, table = clip
    write_clip(path, moving_square(5), gop=4, b_frames=0)
    with pytest.raises(ExtractionError, match=r"frame 9 .*the file has changed"):
        list(extract_frames(path, [1, 9], table))


def test_files_without_video_have_no_runs(tmp_path, clip):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    with pytest.raises(Mismatch, match="no video stream"):
        RunDecoder(path, clip[1])


def test_which_streams_may_skip_pictures(tmp_path):
    for kind, may_skip in (("mp4", True), ("mkv", True), ("ts", True), ("webm", False)):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(seeds.clip(tmp_path, kind))
        with open_container(path) as container:
            assert can_skip(video_streams(container)[0]) is may_skip, kind


def test_a_sieve_lets_nothing_else_through(clip):
    path, table = clip
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    sieve = Sieve(table, Segment(4, (5, 7)))
    with pytest.raises(Mismatch, match="decoding does not start with key frame 4"):
        list(sieve.take(frames[5], 5))
    sieve = Sieve(table, Segment(4, (5, 7)))
    assert list(sieve.take(frames[4], 4)) == []
    with pytest.raises(Mismatch, match="frame 5 does not come"):
        list(sieve.take(frames[7], 7))
    with pytest.raises(Mismatch, match="frame 5 does not come"):
        sieve.finish()
    sieve = Sieve(table, Segment(-1, (5,)))
    ((index, _),) = sieve.take(frames[5], 5)
    assert index == 5
    sieve.finish()


# -- passes over streams that fail -------------------------------------------------------------------


class Stream:
    """A stream whose reading fails when told to."""

    def __init__(self, stream, failing):
        self.stream, self.failing, self.calls = stream, failing, 0
        self.codec_context = self

    def __getattr__(self, name):
        return getattr(self.stream.codec_context, name)

    def decode(self, packet):
        if packet is None and self.calls < self.failing:
            self.calls += 1
            raise (EOFError() if self.failing == 99 else av.error.InvalidDataError(1, "broken"))
        return self.stream.codec_context.decode(packet)


@pytest.mark.parametrize(("failing", "count"), [(0, 1), (2, 1), (99, 0)])
def test_a_decoder_that_fails_at_the_end_is_asked_again(clip, failing, count):
    with av.open(str(clip[0])) as container:
        stream = container.streams.video[0]
        one = Pass.__new__(Pass)
        one._stream = Stream(stream, failing)
        one.error_count, one.packet_count, one._damage = 0, 12, Damage()
        assert len(list(one._flush())) == count
        assert one.error_count == (failing if failing < 99 else 0)
        assert bool(one._damage) is (0 < failing < 99)


@pytest.mark.parametrize(("failures", "goes_on"), [(2, True), (10_000, False)])
def test_reads_that_fail_are_tried_again_but_not_for_ever(clip, failures, goes_on):
    class Container:
        left = failures

        def demux(self, _stream):
            if self.left:
                self.left -= 1
                raise av.error.InvalidDataError(1, "broken")
            return iter([type("Packet", (), {"size": 3})(), type("Packet", (), {"size": 0})()])

    one = Pass.__new__(Pass)
    one._container, one._stream = Container(), None
    one.error_count, one.packet_count, one._damage = 0, 4, Damage()
    found = list(one._packets())
    assert len(found) == int(goes_on), "packets without data are none"
    assert one.error_count == (failures if goes_on else failures - one._container.left)
    assert one.error_count < 1000
    assert one._damage


# -- folders, archives, lists ------------------------------------------------------------------------


def test_archives_that_claim_too_much_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(seeds.clip(tmp_path, "zip"))
    monkeypatch.setattr(archive_module, "_MEMBERS_MOST", 2)
    with pytest.raises(VideoError, match="3 members, more than 2"):
        open_video(path)
    monkeypatch.undo()
    monkeypatch.setattr(archive_module, "_TOTAL_BYTES_MOST", 2000)
    with pytest.raises(VideoError, match="its images unpack to more than 1 TiB"):
        open_video(path)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("0.png", b"another")
    with pytest.raises(VideoError, match=r"two members are called '0\.png'") as caught:
        open_video(path)
    assert caught.value.problem.code is ProblemCode.E_ARCHIVE


def test_images_that_cannot_be_read_say_why(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"x" * 20)
    folder = archive_module.FolderImages(str(tmp_path))
    assert folder.read("a.png") == b"x" * 20
    monkeypatch.setattr(archive_module, "_MEMBER_BYTES_MOST", 19)
    with pytest.raises(BadImageError, match="more than 1 GiB"):
        folder.read("a.png")
    monkeypatch.undo()

    def fail(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(archive_module, "open_descriptor", fail)
    with pytest.raises(BadImageError, match="Input/output error"):
        folder.read("a.png")


def test_a_folder_that_cannot_be_listed_is_a_source_that_fails_when_opened(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    scan_folder = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = resolve_inputs([tmp_path])
    assert {source.video_id: source.kind for source in found} == {"a.mp4": "file", "closed": "images"}


def test_lists_that_cannot_be_used(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"b*\x00.mp4\n")
    (source,) = resolve_inputs([f"@{tmp_path / 'a.txt'}"])
    assert source.kind == "file"
    with pytest.raises(VideoError, match=r"NUL|no such file|null byte"):
        open_video(source.path)
    (tmp_path / "loop.txt").write_text("@loop.txt\n")
    with pytest.raises(InputError, match="lists name lists more than"):
        resolve_inputs([f"@{tmp_path / 'loop.txt'}"])


# -- values ------------------------------------------------------------------------------------------


def test_frames_are_checked_and_shown():
    frame = Frame(3, PTS_NONE, Fraction(1, 25), 0.12, np.zeros((2, 4, 3), np.uint8))
    assert repr(frame) == "Frame(3, 0.120 s, 4x2)"
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB, got \(2, 4\) uint8"):
        replace(frame, image=np.zeros((2, 4), np.uint8))
    with pytest.raises(ValueError, match="frame_index must be 0 or more, got -1"):
        replace(frame, frame_index=-1)


def test_a_drawn_clip_knows_which_object_each_pixel_shows(tmp_path):
    options = {"seconds": 2.0, "fps": 10, "size": (96, 54)}
    maps = clip_object_maps([0, 5, 19], **options)
    assert maps.shape == (3, 54, 96)
    assert maps.max() > 0
    assert (maps != clip_object_maps([0, 5, 19], seed=1, **options)).any()
    np.testing.assert_array_equal(maps[1], clip_object_maps([5], **options)[0])
    with pytest.raises(ValueError, match="the clip has the frames 0 to 19, got 20"):
        clip_object_maps([20], **options)
    path = draw_clip(tmp_path / "a.mp4", **options)
    assert len(scan(path)[0]) == 20
