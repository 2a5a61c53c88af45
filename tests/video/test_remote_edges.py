"""What servers do between the lines: idle connections, signed addresses that age, dates instead of tags, full disks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evfr.errors import ProblemCode, StoreError, VideoError
from evfr.video import RemoteFile, content_hash, remote_file
from evfr.video import _remote as remote_module
from evfr.video import _remote_cache as cache_module
from evfr.video._remote_cache import BLOCK_BYTES, RemoteCache
from helpers.web import LAST_MODIFIED, Site, serve

BODY = os.urandom(3 * BLOCK_BYTES + 17)


@pytest.fixture(autouse=True)
def remote_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "remote"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(remote_module, "BACKOFF_SECONDS", 0.001)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve({"/v/a.mp4": BODY}) as made:
        yield made


@pytest.fixture
def local_hash(tmp_path: Path) -> str:
    (tmp_path / "local.mp4").write_bytes(BODY)
    return content_hash(tmp_path / "local.mp4")


def remote(site: Site, path: str = "/v/a.mp4", *also: str) -> RemoteFile:
    return remote_file(site.url + path, allow_remote=[site.url + "/v", *also])


def problem_of(source: RemoteFile) -> Any:
    with pytest.raises(VideoError) as caught:
        content_hash(source)
    return caught.value.problem


def test_a_connection_that_the_server_closed_while_idle_is_made_again(site: Site, local_hash: str) -> None:
    def close_in_silence(handler: Any, number: int) -> bool:
        handler.close_connection = True  # the answer says nothing of it
        return False

    site.fault = close_in_silence
    source = remote(site)
    with source.open_bytes() as file:
        first = file.read(10)
        file.seek(2 * BLOCK_BYTES)
        later = file.read(10)
    assert (first, later) == (BODY[:10], BODY[2 * BLOCK_BYTES : 2 * BLOCK_BYTES + 10])
    assert content_hash(remote(site)) == local_hash


def test_a_signed_address_that_has_aged_is_asked_for_again(site: Site, local_hash: str) -> None:
    site.files["/v/signed"] = BODY
    refused: list[int] = []

    def age(handler: Any, number: int) -> bool:
        if handler.path == "/v/a.mp4":
            handler.reply(302, {"Location": "/v/signed"})
            return True
        if number == 3 and not refused:
            refused.append(number)
            handler.reply(403)
            return True
        return False

    site.fault = age
    assert content_hash(remote(site)) == local_hash
    assert refused == [3], "the test proves nothing"
    paths = [path for path, _ in site.requests]
    assert paths[3:6] == ["/v/signed", "/v/a.mp4", "/v/signed"], "the way is gone again"


def test_an_address_that_stays_refused_is_an_error(site: Site) -> None:
    def refuse(handler: Any, number: int) -> bool:
        if handler.path == "/v/a.mp4":
            handler.reply(302, {"Location": "/v/signed"})
        else:
            handler.reply(403)
        return True

    site.fault = refuse
    found = problem_of(remote(site))
    assert found.code is ProblemCode.E_UNREADABLE
    assert "redirects more than" in found.message


def test_a_redirect_out_of_the_web_is_not_followed(site: Site) -> None:
    site.fault = lambda handler, _: bool(handler.reply(302, {"Location": "s3://bucket/a.mp4"}) or True)
    found = problem_of(remote(site, "/v/a.mp4", "s3://bucket"))
    assert "a redirect out of the web is not followed" in found.message
    assert len(site.requests) == 1


@pytest.mark.parametrize("is_old", [True, False])
def test_weak_tags_count_only_with_a_date_that_is_old_enough(site: Site, is_old: bool) -> None:
    """A date of this second may stand for two contents (RFC 9110, 8.8.2.2)."""

    def weak(handler: Any, number: int) -> bool:
        handler.send_response_only(206)
        first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
        body = BODY[int(first) : int(last) + 1]
        handler.send_header("ETag", 'W/"x"')
        handler.send_header("Last-Modified", LAST_MODIFIED)
        handler.send_header("Date", "Mon, 05 Feb 2024 10:05:00 GMT" if is_old else LAST_MODIFIED)
        handler.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(BODY)}")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    site.fault = weak
    assert (remote(site).remote_identity() is not None) is is_old


def test_a_file_that_is_refused_in_the_middle_is_an_error(site: Site) -> None:
    site.fault = lambda handler, number: bool(number > 0 and (handler.reply(410) or True))
    assert problem_of(remote(site)).code is ProblemCode.E_NOT_FOUND
    assert len(site.requests) == 2


def test_another_range_in_the_middle_is_an_error(site: Site) -> None:
    def shifted(handler: Any, number: int) -> bool:
        if number < 1:
            return False
        tag = f'"{hash(BODY) & 0xFFFFFFFF:08x}"'
        headers = {"ETag": tag, "Last-Modified": LAST_MODIFIED}
        handler.reply(206, {**headers, "Content-Range": f"bytes 1-9/{len(BODY)}"}, BODY[1:10])
        return True

    site.fault = shifted
    assert "it answers another range than was asked for" in problem_of(remote(site)).message


# -- the cache on disk -------------------------------------------------------------------------------


def cache(tmp_path: Path, limit_bytes: int = 1 << 30) -> RemoteCache:
    return RemoteCache(tmp_path / "cache", limit_bytes)


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", full)
        with pytest.raises(
            StoreError, match=r"cannot write the cache .*partial': No space left on device; check"
        ):
            cache(tmp_path).entry("a", 10)
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if "a.data" in os.path.realpath(fd)], "left open"
    entry = cache(tmp_path).entry("a", BLOCK_BYTES + 5)
    entry.put(0, b"x" * BLOCK_BYTES)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(
        StoreError, match="cannot write the cache of remote files: No space left on device; free"
    ):
        entry.put(1, b"y" * 5)
    monkeypatch.undo()
    assert (entry.has(0), entry.has(1)) == (True, False)
    assert entry.read(0) == b"x" * BLOCK_BYTES
    entry.close()
    entry.close()


def test_files_in_use_or_gone_are_not_removed_to_make_room(tmp_path: Path) -> None:
    kept = cache(tmp_path)
    used = kept.entry("used", 10)
    path = kept.root / "partial" / "used.data"
    assert cache_module._remove_unused(path) is False
    assert cache_module._remove_unused(path.with_name("gone.data")) is False
    used.close()
    assert cache_module._remove_unused(path) is True
    assert list((kept.root / "partial").iterdir()) == [], "its map goes with it"
