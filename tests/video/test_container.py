"""Nothing but the one regular file named is ever read."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
from pathlib import Path

import pytest

from evfr.errors import ProblemCode, VideoError
from evfr.video import open_video, printable
from evfr.video._container import FORMATS, open_container, prepare_decoder, video_streams
from helpers.clips import moving_square, write_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(6))


def code_of(path: str | Path) -> ProblemCode:
    with pytest.raises(VideoError) as caught, open_container(path):
        pass
    assert caught.value.problem.message.isprintable()
    return caught.value.problem.code


def test_opens_by_descriptor_and_closes_it(clip: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_container(clip) as container:
        assert container.name == "fd:"
        assert len(video_streams(container)) == 1
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_missing_folder_fifo_empty_and_text(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "page.mp4").write_text("<html>404</html>" * 50)
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    assert code_of(tmp_path / "none.mp4") == ProblemCode.E_NOT_FOUND
    assert code_of(tmp_path / "empty.mp4" / "x") == ProblemCode.E_NOT_FOUND
    assert code_of(tmp_path / ("x" * 300)) == ProblemCode.E_NOT_FOUND
    assert code_of(str(tmp_path / "a\0b")) == ProblemCode.E_NOT_FOUND
    assert code_of(tmp_path) == ProblemCode.E_NOT_REGULAR
    assert code_of(tmp_path / "fifo.mp4") == ProblemCode.E_NOT_REGULAR
    assert code_of("/dev/null") == ProblemCode.E_NOT_REGULAR
    assert code_of(tmp_path / "loop.mp4") == ProblemCode.E_UNREADABLE
    assert code_of(tmp_path / "empty.mp4") == ProblemCode.E_EMPTY
    assert code_of(tmp_path / "page.mp4") == ProblemCode.E_CONTAINER


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert code_of(tmp_path / "x.mp4") == ProblemCode.E_UNREADABLE


def test_a_socket_is_not_regular(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert code_of(tmp_path / "s") == ProblemCode.E_NOT_REGULAR


def mark_unread(path: Path) -> None:
    os.utime(path, ns=(0, 0))  # under relatime any read moves the access time past this


def was_read(path: Path) -> bool:
    read = path.stat().st_atime_ns != 0
    path.read_bytes()
    if path.stat().st_atime_ns == 0:
        pytest.skip("the file system keeps no access times")
    return read


class Listener:
    """A loopback server that counts who comes."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.visits = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            self.visits += 1
            peer.close()

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(5)


def test_playlists_reach_neither_network_nor_another_file(tmp_path: Path, clip: Path) -> None:
    sentinel = tmp_path / "sentinel.mp4"
    shutil.copy(clip, sentinel)
    mark_unread(sentinel)
    listener = Listener()
    url = f"http://127.0.0.1:{listener.port}/a.ts"
    sdp = (
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {listener.port} RTP/AVP 96\n"
    )
    texts = {
        "net.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
        "file.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{sentinel}\n#EXT-X-ENDLIST\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{sentinel}\n#EXT-X-ENDLIST\n",
        "concat.mp4": f"ffconcat version 1.0\nfile '{sentinel}'\n",
        "net.ffconcat": f"ffconcat version 1.0\nfile '{url}'\n",
        "a.sdp": sdp + "a=rtpmap:96 H264/90000\n",
        "dash.mpd": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
        f'<Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "asx.wmv": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
        "ref.asf": f"[Reference]\nRef1={url}\n",
        "rtsp.mov": f"RTSPtext\nrtsp://127.0.0.1:{listener.port}/x\n",
        "vob.idx": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n",
    }
    try:
        for name, text in texts.items():
            (tmp_path / name).write_text(text)
            assert code_of(tmp_path / name) == ProblemCode.E_CONTAINER, name
        for name in (
            url,
            f"concat:{sentinel}|{sentinel}",
            "fd:",
            "pipe:0",
            "subfile,,start,0,end,9,,:" + str(clip),
        ):
            assert code_of(name) == ProblemCode.E_NOT_FOUND, name
    finally:
        listener.close()
    assert listener.visits == 0
    assert not was_read(sentinel)


def test_external_data_reference_of_mov_opens_nothing(tmp_path: Path, clip: Path) -> None:
    """A MOV whose track says that its samples lie in another file (``dref``/``alis``) gives nothing of that file."""
    target = tmp_path / "target.mp4"
    shutil.copy(clip, target)
    mark_unread(target)
    data = clip.read_bytes()
    name = str(target).encode()
    # An alias record as FFmpeg reads it: with enable_drefs set, av.open decodes 6 frames of the target from this.
    alias = bytes(4) + struct.pack(">HHH", 150, 2, 0) + b"\1X" + bytes(38) + b"\6target" + bytes(73)
    alias += struct.pack(">hh", 1, 1) + bytes(16)
    alias += struct.pack(">hh", 2, len(name)) + name + bytes(len(name) % 2) + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    start = data.index(b"dref") - 4
    (size,) = struct.unpack_from(">I", data, start)
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    grown = len(dref) - size
    out = bytearray(data[:start] + dref + data[start + size :])
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        place = out.index(parent) - 4
        struct.pack_into(">I", out, place, struct.unpack_from(">I", out, place)[0] + grown)
    path = tmp_path / "reference.mov"
    path.write_bytes(out)
    with pytest.raises(VideoError) as caught:
        list(open_video(path))
    assert caught.value.problem.code in (ProblemCode.E_NO_FRAMES, ProblemCode.E_CODEC)
    assert not was_read(target)


def test_no_playlist_or_device_is_among_the_formats() -> None:
    forbidden = {
        "hls",
        "dash",
        "concat",
        "sdp",
        "rtsp",
        "rtp",
        "sap",
        "image2",
        "image2pipe",
        "lavfi",
        "tee",
        "imf",
    }
    forbidden |= {
        "vobsub",
        "mlv",
        "v4l2",
        "x11grab",
        "fbdev",
        "alsa",
        "avisynth",
        "vapoursynth",
        "webm_dash_manifest",
    }
    assert not forbidden & set(FORMATS)


def test_too_large_pictures_are_refused(clip: Path) -> None:
    with pytest.raises(VideoError, match="the picture is 96x64, more than 100 pixels") as caught:
        open_video(clip, max_pixels=100)
    assert caught.value.problem.code == ProblemCode.E_TOO_LARGE


def test_threads_must_be_positive(clip: Path) -> None:
    with (
        open_container(clip) as container,
        pytest.raises(ValueError, match="threads must be 1 or more, got 0"),
    ):
        prepare_decoder(video_streams(container)[0], threads=0)


def test_printable_is_one_to_one_and_prints() -> None:
    names = [
        "a\nb",
        "a\\nb",
        "a\x85b",
        "a\u2028b",
        b"a\xffb".decode("utf-8", "surrogateescape"),
        "é",
        "<b>",
        "\x7f",
    ]
    shown = [printable(name) for name in names]
    assert len(set(shown)) == len(names)
    assert all(text.isprintable() for text in shown)
    assert printable("plain name [1] %04d.mp4") == "plain name [1] %04d.mp4"
