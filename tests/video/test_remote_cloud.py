"""Videos in buckets: listed, read by ranges, and refused as on any other server; S3 is played by moto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evfr._core import cloud
from evfr.errors import InputError, ProblemCode, VideoError
from evfr.video import RemoteFile, _remote_cloud, content_hash, open_video, remote_file, resolve_inputs, scan
from evfr.video import _remote as remote_module
from helpers.clips import moving_square, write_clip

moto = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(24))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def settings(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "remote"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(remote_module, "BACKOFF_SECONDS", 0.001)
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "secretkey",
        "AWS_SECRET_ACCESS_KEY": "topsecret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    cloud.connected.cache_clear()
    yield
    cloud.connected.cache_clear()


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Any]:
    boto3 = pytest.importorskip("boto3")
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="footage")
    yield client
    for item in client.list_objects_v2(Bucket="footage").get("Contents", ()):
        client.delete_object(Bucket="footage", Key=item["Key"])
    client.delete_bucket(Bucket="footage")
    client.close()


def put(bucket: Any, key: str, data: bytes) -> None:
    bucket.put_object(Bucket="footage", Key=key, Body=data)


def test_same_frames_and_hash_as_the_local_file(bucket: Any, clip: Path) -> None:
    put(bucket, "a b/#1?.mp4", clip.read_bytes())
    source = remote_file("s3://footage/a b/#1?.mp4", allow_remote=["s3://footage/a b/"])
    assert scan(source)[0].luma_hash.tolist() == scan(clip)[0].luma_hash.tolist()
    assert content_hash(source) == content_hash(clip)
    assert source.traffic.byte_count == clip.stat().st_size
    again = remote_file("s3://footage/a b/#1?.mp4", allow_remote=["s3://footage"])
    assert content_hash(again) == content_hash(clip)
    assert again.traffic.byte_count == 0


def test_a_few_parts_of_a_large_file_are_read(bucket: Any, clip: Path) -> None:
    ballast = 3 << 20
    put(bucket, "big.mp4", clip.read_bytes() + ballast.to_bytes(4, "big") + b"free" + bytes(ballast - 8))
    source = remote_file("s3://footage/big.mp4", allow_remote=["s3://footage"])
    with open_video(source) as video:
        assert video.info.claimed_frame_count == 24
    assert 0 < source.traffic.byte_count < 1 << 20


def test_folders_and_patterns(bucket: Any) -> None:
    for key in (
        "f/10.mp4",
        "f/2.mp4",
        "f/sub/1.MKV",
        "f/.hidden.mp4",
        "f/.d/1.mp4",
        "f/note.txt",
        "fa/x.mp4",
        "f/[1].mp4",
    ):
        put(bucket, key, b"x")

    def ids(*given: str) -> list[str]:
        return [source.video_id for source in resolve_inputs(given, allow_remote=["s3://footage/f"])]

    assert ids("s3://footage/f/") == ["2.mp4", "10.mp4", "[1].mp4", "sub/1.MKV"]
    assert ids("s3://footage/f/*.mp4") == ["2.mp4", "10.mp4", "[1].mp4"]
    assert ids("s3://footage/f/?.mp4") == ["2.mp4"]
    assert ids("s3://footage/f/[1].mp4") == ["[1].mp4"]
    assert ids("s3://footage/f/10.mp4", "s3://footage/f/sub/*") == ["10.mp4", "sub/1.MKV"]
    with pytest.raises(InputError, match="nothing matches"):
        ids("s3://footage/f/*.avi")
    with pytest.raises(InputError, match="that is a video lies below"):
        resolve_inputs(["s3://footage/none/"], allow_remote=["s3://footage"])
    for beside in ("s3://footage/fa/", "s3://footage/f*", "s3://footage/"):
        with pytest.raises(InputError, match="--allow-remote"):
            ids(beside)
    with pytest.raises(VideoError, match="no such remote file"):
        resolve_inputs(["s3://nobucket/f/"], allow_remote=["s3://nobucket"])


def test_many_pages_of_a_listing(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        put(bucket, f"p/{number}.mp4", b"x")
    plain = _remote_cloud._list_s3
    pages = 0

    def small_pages(filesystem: Any, *given: Any) -> Any:
        nonlocal pages
        pages += 1
        call = filesystem.call_s3

        class Small:
            def call_s3(self, *args: Any, **more: Any) -> Any:
                return call(*args, MaxKeys=3, **more)

        return plain(Small(), *given)

    monkeypatch.setattr(_remote_cloud, "_list_s3", small_pages)
    assert len(resolve_inputs(["s3://footage/p/"], allow_remote=["s3://footage"])) == 7
    assert pages == 3


def test_a_changed_object_is_an_error(bucket: Any, clip: Path) -> None:
    put(bucket, "v.mp4", clip.read_bytes())
    source = remote_file("s3://footage/v.mp4", allow_remote=["s3://footage"])
    source.identity()
    put(bucket, "v.mp4", clip.read_bytes()[:-1] + b"!")
    with pytest.raises(VideoError, match="changed while it was read") as caught:
        content_hash(source)
    assert caught.value.problem.code == ProblemCode.E_CHANGED


def test_what_is_not_there_and_what_is_not_reached(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(address: str) -> Any:
        with pytest.raises(VideoError) as caught:
            content_hash(remote_file(address, allow_remote=["s3://footage", "s3://nobucket"]))
        assert "secret" not in str(caught.value)
        return caught.value.problem

    assert problem("s3://footage/none.mp4").code == ProblemCode.E_NOT_FOUND
    assert problem("s3://nobucket/none.mp4").code == ProblemCode.E_NOT_FOUND
    put(bucket, "empty.mp4", b"")
    assert problem("s3://footage/empty.mp4").code == ProblemCode.E_EMPTY
    monkeypatch.delenv("EVFR_ALLOW_PRIVATE")
    found = problem("s3://footage/empty.mp4")
    assert "private address 127.0.0.1" in found.message and found.source == "s3://footage/empty.mp4"
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    cloud.connected.cache_clear()
    assert "tried 5 times" in problem("s3://footage/empty.mp4").message


def test_a_body_that_breaks_off_goes_on_from_the_last_byte(
    bucket: Any, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "v.mp4", clip.read_bytes())
    source = remote_file("s3://footage/v.mp4", allow_remote=["s3://footage"])
    plain = _remote_cloud.S3Transport.fetch
    starts: list[int] = []

    def broken(self: Any, start: int, stop: int, identity: Any, sink: Any) -> None:
        starts.append(start)
        if len(starts) > 2:
            plain(self, start, stop, identity, sink)
            return
        data: list[bytes] = []
        plain(self, start, stop, identity, data.append)
        sink(b"".join(data)[:100])
        raise _remote_cloud._translated(OSError("reset"), self._url)

    monkeypatch.setattr(_remote_cloud.S3Transport, "fetch", broken)
    assert content_hash(source) == content_hash(clip)
    assert starts[:3] == [0, 100, 200]


def test_the_resolver_hands_out_no_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    def resolve(is_private_allowed: bool) -> list[Any]:
        return asyncio.run(cloud.resolver(is_private_allowed).resolve("localhost", 80))

    # In a thread of its own: browser tests leave a running loop in the main one.
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(InputError, match="private address"):
            pool.submit(resolve, False).result()
        found = pool.submit(resolve, True).result()
    assert found and found[0]["host"] == "127.0.0.1"


@pytest.mark.slow
def test_travels_to_other_processes(bucket: Any, clip: Path) -> None:
    from evfr.distributed import map_videos

    put(bucket, "v.mp4", clip.read_bytes())
    source = remote_file("s3://footage/v.mp4", allow_remote=["s3://footage"])
    (outcome,) = map_videos(_hash_one, [source], executor="processes", jobs=1)
    assert outcome.value == content_hash(clip), outcome.problem


def _hash_one(source: RemoteFile, heartbeat: Any) -> str:
    heartbeat(0, None)
    return content_hash(source)
