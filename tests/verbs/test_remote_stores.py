"""The commands work on a store in a bucket as on a local one: what one machine measured, the others read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evfr
from evfr._core import _mirror, cloud
from evfr._core._bucket import Bucket
from evfr._core.store import Store
from evfr.cli import main
from evfr.errors import ProblemCode, StoreError
from helpers.buckets import BUCKET, objects, s3_bucket, s3_server
from helpers.clips import moving_square, write_clip

ADDRESS = f"s3://{BUCKET}/runs/a"
ALLOWED = ("--allow-remote", f"s3://{BUCKET}/runs")
OPTIONS: Any = {"executor": "serial", "allow_remote": [ALLOWED[1]]}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4", moving_square(24))
    write_clip(folder / "b.mp4", moving_square(18, seed=1))
    return folder


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_bucket(endpoint, tmp_path, monkeypatch) as client:
        yield client


def second_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "two"))


def in_bucket(client: Any) -> dict[str, bytes]:
    return {name.removeprefix("runs/a/"): data for name, data in objects(client).items()}


def in_folder(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in Store(root).files()}


def refuse_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def put(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(Bucket, "put", put)


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(words)
    return int(caught.value.code or 0)


def test_score_embed_and_select(
    bucket: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    evfr.score(clips, out=local, executor="serial")
    evfr.embed(clips, model="hsv", out=local, executor="serial")
    wanted = evfr.select(clips, n=5, store=local, out=tmp_path / "chosen1", no_report=True, executor="serial")
    first = evfr.score(clips, out=Path(ADDRESS), **OPTIONS)
    assert first.to_dict()["store"] == ADDRESS
    assert evfr.embed(clips, model="hsv", out=Path(ADDRESS), **OPTIONS).vector_count == 42
    chosen = evfr.select(clips, n=5, store=Path(ADDRESS), out=tmp_path / "chosen2", no_report=True, **OPTIONS)
    assert chosen.table.equals(wanted.table)
    assert in_bucket(bucket) == in_folder(local)
    assert not list(tmp_path.glob("s3*"))
    second_machine(tmp_path, monkeypatch)
    refuse_writes(monkeypatch)
    again = evfr.score(clips, out=Path(ADDRESS), **OPTIONS)
    assert [video.is_cached for video in again.videos] == [True, True]
    assert [v.fvi["flow"].tolist() for v in again.videos] == [v.fvi["flow"].tolist() for v in first.videos]
    assert evfr.embed(clips, model="hsv", out=Path(ADDRESS), **OPTIONS).to_dict()["store"] == ADDRESS
    same = evfr.select(clips, n=5, store=Path(ADDRESS), out=tmp_path / "chosen3", no_report=True, **OPTIONS)
    assert same.table.equals(wanted.table)


def test_on_the_command_line(
    bucket: Any,
    clips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVFR_STORE", raising=False)
    serial = ("--executor", "serial", "-q")
    embed = ["embed", str(clips), "--model", "dct", "--out", ADDRESS, *serial]
    assert run(embed) == 1
    assert f"pass --allow-remote {ADDRESS}" in " ".join(capsys.readouterr().err.split())
    assert run([*embed, *ALLOWED]) == 0
    capsys.readouterr()
    assert run(["verify", ADDRESS, *ALLOWED, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["store"] == ADDRESS and found["file_count"] == 4 and found["findings"] == []
    second_machine(tmp_path, monkeypatch)
    assert run(["dedup", ADDRESS, *ALLOWED, "--threshold", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["name"] == "dct"
    assert run(["search", ADDRESS, "a.mp4:0", "-k", "1", *ALLOWED, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"][0]["frame_index"] == 0
    assert run(["compact", ADDRESS, *ALLOWED]) == 1
    assert run(["compact", ADDRESS, *ALLOWED, "--out", "merged"]) == 0
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == [
        "embedding.parquet",
        "frames.parquet",
    ]
    capsys.readouterr()
    name = next(name for name in objects(bucket) if "/embedding/" in name)
    bucket.put_object(Bucket=BUCKET, Key=name, Body=b"nonsense")
    assert run(["verify", ADDRESS, *ALLOWED]) == 3
    assert f"corrupt s3://{BUCKET}/{name}" in capsys.readouterr().out
    assert run(["verify", ADDRESS, *ALLOWED, "--repair"]) == 0
    assert name not in objects(bucket)
    _mirror.forget_listings()
    assert run([*embed, *ALLOWED]) == 0
    assert name in objects(bucket)


def test_a_failed_upload_fails_that_video(
    bucket: Any, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = cloud.connected("s3", True)
    plain, sent = system.pipe_file, []

    def broken(where: str, data: bytes, **more: Any) -> Any:
        sent.append(where)
        if len(sent) > 2:
            raise OSError("connection reset")
        return plain(where, data, **more)

    with monkeypatch.context() as patch:
        patch.setattr(system, "pipe_file", broken)
        result = evfr.score(clips, out=Path(ADDRESS), **OPTIONS)
    assert [video.status for video in result.videos] == ["ok", "failed"]
    (problem,) = [problem for problem in result.problems if problem.code == ProblemCode.E_FAILED]
    assert problem.source == "b.mp4" and "cannot write s3://" in problem.message
    assert len(objects(bucket)) == 2
    again = evfr.score(clips, out=Path(ADDRESS), **OPTIONS)
    assert [video.is_cached for video in again.videos] == [True, False]
    evfr.score(clips, out=tmp_path / "local", executor="serial")
    assert in_bucket(bucket) == in_folder(tmp_path / "local")


def test_results_stay_local(bucket: Any, clips: Path) -> None:
    with pytest.raises(StoreError, match="results are written to local folders only"):
        evfr.select(clips, n=2, store=Path(ADDRESS), out=Path(ADDRESS) / "chosen", **OPTIONS)


@pytest.mark.slow
def test_in_child_processes(bucket: Any, clips: Path, tmp_path: Path) -> None:
    options = {**OPTIONS, "executor": "processes", "jobs": 2}
    evfr.score(clips, out=Path(ADDRESS), **options)
    evfr.embed(clips, model="hsv", out=Path(ADDRESS), **options)
    evfr.score(clips, out=tmp_path / "local", executor="serial")
    evfr.embed(clips, model="hsv", out=tmp_path / "local", executor="serial")
    assert in_bucket(bucket) == in_folder(tmp_path / "local")
