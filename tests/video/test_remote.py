"""Videos on a web server: read by ranges, never twice, never a mix, and nothing that was not allowed."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evfr.errors import InputError, ProblemCode, VideoError
from evfr.video import (
    RemoteFile,
    content_hash,
    extract_frames,
    inspect_video,
    open_video,
    remote_file,
    resolve_inputs,
    scan,
    source_path,
)
from evfr.video import _remote as remote_module
from evfr.video._remote_cache import BLOCK_BYTES
from helpers.clips import moving_square, write_clip
from helpers.web import Site, serve, stall


@pytest.fixture(autouse=True)
def remote_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "remote"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(remote_module, "BACKOFF_SECONDS", 0.001)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip whose index is at its end, with much sound-like ballast between: several cache blocks."""
    plain = write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(24))
    data = plain.read_bytes()
    ballast = 40 * BLOCK_BYTES
    at = data.index(b"ftyp") - 4
    head = int.from_bytes(data[at : at + 4], "big")
    # A free box at the end moves nothing that offsets point to.
    padded = plain.with_name("padded.mp4")
    padded.write_bytes(
        data + ballast.to_bytes(4, "big") + b"free" + np.random.default_rng(0).bytes(ballast - 8)
    )
    assert at == 0 and head > 0
    return padded


@pytest.fixture
def site(clip: Path) -> Iterator[Site]:
    with serve({"/v/clip.mp4": clip.read_bytes()}) as made:
        yield made


def remote(site: Site, path: str = "/v/clip.mp4") -> RemoteFile:
    return remote_file(site.url + path, allow_remote=[site.url + "/v"])


def problem_of(source: RemoteFile, use: Any = content_hash) -> Any:
    with pytest.raises(VideoError) as caught:
        use(source)
    return caught.value.problem


def test_same_frames_and_hashes_as_the_local_file(site: Site, clip: Path) -> None:
    source = remote(site)
    table, info, problems = scan(source)
    local_table, local_info, local_problems = scan(clip)
    assert table.luma_hash.tolist() == local_table.luma_hash.tolist()
    assert table.pts.tolist() == local_table.pts.tolist()
    drop = {"path": None}
    assert info.to_dict() | drop == local_info.to_dict() | drop
    assert info.path == site.url + "/v/clip.mp4" == str(source)
    assert problems == local_problems == ()
    assert content_hash(source) == content_hash(clip)
    wanted = [0, 7, 8, 23]
    for ours, theirs in zip(
        extract_frames(remote(site), wanted, table), extract_frames(clip, wanted, table), strict=True
    ):
        assert np.array_equal(ours.image, theirs.image)
    assert inspect_video(source).has_motion_vectors == inspect_video(clip).has_motion_vectors


def test_reads_a_part_only_and_nothing_twice(site: Site, clip: Path) -> None:
    source = remote(site)
    with open_video(source) as video:
        assert video.info.claimed_frame_count == 24
        size = video.info.size_bytes
    assert size == clip.stat().st_size
    assert 0 < source.traffic.byte_count < size / 4
    first = len(site.requests)
    again = remote(site)
    with open_video(again) as video:
        assert video.info.claimed_frame_count == 24
    assert again.traffic.byte_count == 0, "what was fetched is not fetched again"
    assert site.asked[first:] == ["bytes=0-0"], "only who it is was asked"
    content_hash(again)
    assert source.traffic.byte_count + again.traffic.byte_count == size


def test_a_file_read_whole_is_named_by_its_content(site: Site, clip: Path, tmp_path: Path) -> None:
    digest = content_hash(remote(site))
    assert digest == hashlib.blake2b(clip.read_bytes(), digest_size=16).hexdigest()
    kept = tmp_path / "remote" / "content" / digest
    assert kept.read_bytes() == clip.read_bytes()
    assert not list((tmp_path / "remote" / "partial").iterdir())
    again = remote(site)
    asked = len(site.requests)
    assert content_hash(again) == digest
    assert len(scan(again)[0]) == 24
    assert again.traffic.byte_count == 0 and len(site.requests) == asked + 1
    kept.unlink()
    assert content_hash(again) == digest, "the hash is known without the bytes"
    assert len(scan(again)[0]) == 24 and again.traffic.byte_count > 0


def test_a_connection_that_drops_goes_on_from_the_last_byte(site: Site, clip: Path) -> None:
    size = clip.stat().st_size
    site.drop_after = [10_000, 0, 1, 70_000, 0, 0]
    source = remote(site)
    assert content_hash(source) == content_hash(clip)
    assert source.traffic.byte_count == size, "no byte came twice"
    starts = [int(asked.removeprefix("bytes=").split("-")[0]) for asked in site.asked[1:]]
    assert starts[:4] == [0, 10_000, 10_000, 10_001]


def test_gives_up_after_a_while_and_keeps_what_it_has(site: Site, clip: Path) -> None:
    site.drop_after = [BLOCK_BYTES] + [0] * 50
    found = problem_of(remote(site))
    assert found.code == ProblemCode.E_UNREADABLE
    assert (
        "tried 5 times without getting further" in found.message
        and "what was fetched is kept" in found.message
    )
    site.drop_after = []
    source = remote(site)
    assert content_hash(source) == content_hash(clip)
    assert source.traffic.byte_count == clip.stat().st_size - BLOCK_BYTES


@pytest.mark.parametrize("last", [3])
@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv", ".avi"])
def test_a_connection_lost_for_good_is_no_damage(tmp_path: Path, suffix: str, last: int) -> None:
    """FFmpeg takes a failed read for the end of the file; the video must fail, not come out shorter."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(24)]
    data = write_clip(tmp_path / f"noise{suffix}", noise).read_bytes()
    assert len(data) > 12 * BLOCK_BYTES
    with serve({"/v/noise": data}) as site:
        source = remote(site, "/v/noise")
        site.fault = lambda handler, number: bool(number >= last and (handler.reply(503) or True))
        with (
            pytest.raises(VideoError, match="tried 5 times without getting further") as caught,
            open_video(source) as video,
        ):
            for _ in video:
                pass
        assert caught.value.problem.code == ProblemCode.E_UNREADABLE
        assert 0 < source.traffic.byte_count < len(data)
        site.fault = None
        again = remote(site, "/v/noise")
        assert len(scan(again)[0]) == 24
        assert source.traffic.byte_count + again.traffic.byte_count <= len(data), (
            "what came before the loss is kept"
        )


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (404, ProblemCode.E_NOT_FOUND, "no such remote file"),
        (403, ProblemCode.E_UNREADABLE, "answers 403: access is denied"),
        (401, ProblemCode.E_UNREADABLE, "answers 401: credentials are needed"),
        (500, ProblemCode.E_UNREADABLE, "tried 5 times.*answers 500"),
        (416, ProblemCode.E_UNREADABLE, "answers 416: it refuses ranges"),
        (418, ProblemCode.E_UNREADABLE, "answers 418"),
    ],
)
def test_bad_answers(site: Site, status: int, code: ProblemCode, text: str) -> None:
    site.fault = lambda handler, _: bool(handler.reply(status) or True)
    source = remote(site)
    with pytest.raises(VideoError, match=text) as caught:
        scan(source)
    assert caught.value.problem.code == code
    assert caught.value.problem.source == str(source)
    before = len(site.requests)
    problem_of(source)
    assert len(site.requests) == before, "one value asks once"


def test_a_server_that_recovers_is_waited_for(site: Site, clip: Path) -> None:
    site.fault = lambda handler, number: bool(number in (0, 2, 3) and (handler.reply(503) or True))
    assert content_hash(remote(site)) == content_hash(clip)


def test_a_server_without_ranges_is_read_whole_once(site: Site, clip: Path) -> None:
    site.has_ranges = False
    source = remote(site)
    source.identity()
    site.drop_after = [300_000]
    assert len(scan(source)[0]) == 24
    assert content_hash(source) == content_hash(clip)
    whole = [asked for asked in site.asked[1:] if not asked]
    assert len(whole) == 2, "once cut, once whole"


def test_an_empty_file_and_one_of_unknown_length(site: Site) -> None:
    site.files["/v/empty.mp4"] = b""
    assert problem_of(remote(site, "/v/empty.mp4")).code == ProblemCode.E_EMPTY

    def no_length(handler: Any, _: int) -> bool:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"abc")
        handler.close_connection = True
        return True

    site.fault = no_length
    assert "does not say how long the file is" in problem_of(remote(site)).message


def test_lies_about_the_length_or_the_range(site: Site, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = clip.stat().st_size

    def other_range(handler: Any, number: int) -> bool:
        if number == 0:
            return False
        handler.reply(206, {"Content-Range": f"bytes 7-9/{size}", "ETag": "x"}, b"abc")
        return True

    site.has_tags, site.fault = False, other_range
    found = problem_of(remote(site))
    assert found.code == ProblemCode.E_CHANGED

    def longer(handler: Any, number: int) -> bool:
        wanted = site.asked[-1].removeprefix("bytes=").split("-")
        if number == 0 or wanted[0] != "0":
            return False
        body = clip.read_bytes()[: int(wanted[1]) + 1]
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{size}")
        handler.send_header("Content-Length", str(len(body) + 5000))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True
        return True

    site.fault = longer
    assert content_hash(remote(site)) == content_hash(clip), "no more than asked for is taken"

    def nonsense(handler: Any, number: int) -> bool:
        handler.reply(206, {"Content-Range": f"bytes 5-5/{size}"}, b"a")
        return True

    site.fault = nonsense
    assert "another range than was asked for" in problem_of(remote(site)).message

    def squeezed(handler: Any, number: int) -> bool:
        handler.reply(200, {"Content-Encoding": "gzip"}, b"abc")
        return True

    site.fault = squeezed
    assert "sends the file compressed" in problem_of(remote(site)).message
    from evfr.video import _remote_http

    monkeypatch.setattr(_remote_http, "TIMEOUT_SECONDS", 0.05)
    site.fault = lambda handler, _: bool(stall(handler, 0.2) or True)
    assert problem_of(remote(site)).code == ProblemCode.E_UNREADABLE


def test_a_file_that_changes_is_an_error_not_a_mix(site: Site, clip: Path) -> None:
    source = remote(site)
    with open_video(source):
        pass
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    site.files["/v/clip.mp4"] = bytes(data)
    found = problem_of(source)
    assert found.code == ProblemCode.E_CHANGED and "changed while it was read" in found.message
    # A new value reads the new bytes, all of them.
    new = remote(site)
    assert content_hash(new) == hashlib.blake2b(bytes(data), digest_size=16).hexdigest()
    assert new.traffic.byte_count == len(data)


def test_a_changed_file_on_a_server_that_knows_no_conditions(site: Site, clip: Path) -> None:
    source = remote(site)
    source.identity()
    data = bytearray(clip.read_bytes())
    data[-1] ^= 1
    site.files["/v/clip.mp4"] = bytes(data)

    def forget(handler: Any, _: int) -> bool:
        del handler.headers["If-Match"]
        return False

    site.fault = forget
    assert problem_of(source).code == ProblemCode.E_CHANGED


def test_a_file_that_changes_in_size_without_tags(site: Site, clip: Path) -> None:
    site.has_tags = False
    source = remote(site)
    source.identity()
    site.files["/v/clip.mp4"] = clip.read_bytes() + b"x"
    assert problem_of(source).code == ProblemCode.E_CHANGED


def test_without_tags_nothing_is_remembered(site: Site) -> None:
    site.has_tags = False
    source = remote(site)
    assert source.remote_identity() is None
    content_hash(source)
    again = remote(site)
    content_hash(again)
    assert again.traffic.byte_count == source.traffic.byte_count


def test_what_travels_keeps_permission_and_identity(site: Site, clip: Path) -> None:
    source = remote(site)
    source.identity()
    sent = pickle.loads(pickle.dumps(source))
    assert isinstance(sent, RemoteFile) and sent == source and sent.access == source.access
    asked = len(site.requests)
    assert content_hash(sent) == content_hash(clip)
    assert "bytes=0-0" not in site.asked[asked:]


def test_blocks_on_disk_are_believed_only_if_they_match(site: Site, clip: Path, tmp_path: Path) -> None:
    source = remote(site)
    with source.open_bytes() as file:
        file.read()
    (data,) = (tmp_path / "remote" / "partial").glob("*.data")
    with data.open("r+b") as broken:
        broken.seek(3 * BLOCK_BYTES + 5)
        broken.write(b"rot")
    assert content_hash(remote(site)) == content_hash(clip)


def test_the_cache_is_bounded(
    site: Site, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = clip.stat().st_size
    for number in range(4):
        site.files[f"/v/{number}.mp4"] = clip.read_bytes() + bytes([number])
    monkeypatch.setenv("EVFR_REMOTE_CACHE_GB", str(2.5 * size / 1e9))
    for number in range(4):
        source = remote(site, f"/v/{number}.mp4")
        content_hash(source)
        kept = list((tmp_path / "remote" / "content").iterdir())
        assert sum(path.stat().st_size for path in kept) <= 2.5 * size
        os.utime(source.local() or "", (number, number))
    assert len(kept) == 2 and source.local() in kept
    monkeypatch.setenv("EVFR_REMOTE_CACHE_GB", str(0.5 * size / 1e9))
    assert "set EVFR_REMOTE_CACHE_GB higher" in problem_of(remote(site)).message
    monkeypatch.setenv("EVFR_REMOTE_CACHE_GB", "much")
    with pytest.raises(Exception, match="positive number of gigabytes, got 'much'"):
        content_hash(remote(site))


# -- permission ------------------------------------------------------------------------------------------------


def test_private_addresses_need_to_be_allowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVFR_ALLOW_PRIVATE")
    found = problem_of(remote(site))
    assert (
        found.code == ProblemCode.E_UNREADABLE
        and "private address 127.0.0.1; set EVFR_ALLOW_PRIVATE=1" in found.message
    )
    assert site.requests == []


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("http://169.254.169.254/latest/meta-data/", "not allowed"),
        ("file:///etc/passwd", "cannot read file:// addresses"),
        ("/other/clip.mp4", "not allowed"),
        ("/v/../other/clip.mp4", "not allowed"),
        ("https://evil.example/v/clip.mp4", "not allowed"),
        ("s3://bucket/v/clip.mp4", "not allowed"),
        ("", "redirects more than 5 times"),
        ("/v/clip.mp4", "redirects more than 5 times"),
    ],
)
def test_redirects_out_of_the_prefixes_are_not_followed(site: Site, location: str, text: str) -> None:
    site.files["/other/clip.mp4"] = b"secret"
    site.fault = lambda handler, _: bool(handler.reply(302, {"Location": location}) or True)
    assert text in problem_of(remote(site)).message
    assert {path for path, _ in site.requests} == {"/v/clip.mp4"}


def test_redirects_to_metadata_are_refused_even_when_allowed(site: Site) -> None:
    site.fault = lambda handler, _: bool(
        handler.reply(302, {"Location": "http://169.254.169.254/v/x"}) or True
    )
    allowed = [site.url, "http://169.254.169.254/"]
    assert (
        "link-local address"
        in problem_of(remote_file(f"{site.url}/v/clip.mp4", allow_remote=allowed)).message
    )


def test_redirects_inside_the_prefixes_are_followed(site: Site, clip: Path) -> None:
    def moved(handler: Any, _: int) -> bool:
        if handler.path != "/v/old.mp4?token=secret":
            return False
        handler.reply(301, {"Location": "clip.mp4"})
        return True

    site.fault = moved
    source = remote(site, "/v/old.mp4?token=secret")
    assert content_hash(source) == content_hash(clip)
    assert "secret" not in str(source) and "secret" not in repr(source)


def test_files_that_name_files_open_nothing(site: Site, clip: Path) -> None:
    base = site.url
    traps = {
        "/v/hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{base}/v/trap.ts\n#EXT-X-ENDLIST\n",
        "/v/concat.mp4": f"ffconcat version 1.0\nfile {base}/v/trap.ts\n",
        "/v/sdp.mp4": "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    }
    for path, text in traps.items():
        site.files[path] = text.encode()
        found = problem_of(remote(site, path), scan)
        assert found.code == ProblemCode.E_CONTAINER
    assert not [path for path, _ in site.requests if "trap" in path]


# -- names -----------------------------------------------------------------------------------------------------


def test_inputs_are_named_below_what_they_have_in_common(tmp_path: Path) -> None:
    urls = [
        "https://h/a/x.mp4",
        "https://h/a/b/x.mp4?sig=1",
        "https://h/a/b/x.mp4?sig=2",
        "https://h/a/i.zip",
    ]
    sources = resolve_inputs([*urls, urls[0]], allow_remote=["https://h/a"])
    assert [source.video_id.split("?")[0] for source in sources] == ["x.mp4", "b/x.mp4", "b/x.mp4", "i.zip"]
    assert len({source.video_id for source in sources}) == 4
    assert [source.kind for source in sources] == ["file", "file", "file", "archive"]
    (tmp_path / "list.txt").write_text("https://h/a/x.mp4\nlocal.mp4\n")
    names = [s.video_id for s in resolve_inputs([f"@{tmp_path}/list.txt"], allow_remote=["https://h"])]
    assert names == ["https/h/a/x.mp4", "local.mp4"]
    given = remote_file("https://h/a/x.mp4", allow_remote=["https://h"])
    assert resolve_inputs([given])[0].video_id == "x.mp4"


def test_inputs_that_are_not_allowed() -> None:
    with pytest.raises(InputError, match=r"pass --allow-remote https://h/a/ "):
        resolve_inputs(["https://h/a/x.mp4"])
    with pytest.raises(InputError, match="web servers do not list theirs"):
        resolve_inputs(["https://h/a/"], allow_remote=["https://h/a"])
    with pytest.raises(InputError, match="cannot read rtsp:// addresses"):
        resolve_inputs(["rtsp://h/a"])
    with pytest.raises(InputError, match="last part of an address only"):
        resolve_inputs(["s3://b/*/x.mp4"], allow_remote=["s3://b"])
    assert source_path("a/b.mp4") == Path("a/b.mp4")
    assert source_path("s3://b/x", ["s3://b"]) == "s3://b/x"
