"""Every command that reads videos reads remote ones, with the same results as local ones and no secrets in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import evfr
from evfr.cli import main
from evfr.errors import InputError, ProblemCode
from evfr.video import _remote as remote_module
from helpers.clips import moving_square, write_clip
from helpers.web import Site, serve


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mp4", moving_square(24))
    write_clip(folder / "b.mp4", moving_square(18, seed=1))
    return folder


@pytest.fixture
def site(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "remote"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(remote_module, "BACKOFF_SECONDS", 0.001)
    with serve({f"/v/{path.name}": path.read_bytes() for path in clips.iterdir()}) as made:
        yield made


def manifest_of(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "selection.json").read_text())
    del data["paths"]
    for item in data["inputs"]:
        del item["path"]
    return data


def bytes_of(folder: Path) -> dict[str, bytes]:
    names = ("selection.json", "report.html")
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in names
    }


@pytest.mark.parametrize("executor", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_selection_is_the_same_as_of_local_files(
    site: Site, clips: Path, tmp_path: Path, executor: Any
) -> None:
    signed = [f"{site.url}/v/a.mp4?X-Amz-Signature=topsecret", f"{site.url}/v/b.mp4"]
    local = evfr.select(
        [clips / "a.mp4", clips / "b.mp4"],
        n=5,
        out=tmp_path / "local",
        store=tmp_path / "s1",
        executor="serial",
    )
    options: Any = {"store": tmp_path / "s2", "executor": executor, "allow_remote": [site.url + "/v"]}
    remote = evfr.select([signed[0].partition("?")[0], signed[1]], n=5, out=tmp_path / "remote1", **options)
    assert remote.table.equals(local.table)
    assert manifest_of(tmp_path / "remote1") == manifest_of(tmp_path / "local")
    assert bytes_of(tmp_path / "remote1") == bytes_of(tmp_path / "local")
    fetched = sum(len(data) for data in site.files.values())
    asked = len(site.requests)
    again = evfr.select([signed[0].partition("?")[0], signed[1]], n=5, out=tmp_path / "remote2", **options)
    assert again.table.equals(local.table)
    assert set(site.asked[asked:]) == {"bytes=0-0"}, "a second run asks who they are, and fetches nothing"
    assert fetched > 0
    evfr.select(signed, n=5, out=tmp_path / "signed", **options)
    for folder in ("signed", "s2", "remote"):
        for path in (tmp_path / folder).rglob("*"):
            assert not path.is_file() or b"topsecret" not in path.read_bytes(), path


def test_repeat_and_extract_need_the_permission_again(site: Site, tmp_path: Path) -> None:
    options: Any = {"store": tmp_path / "store", "executor": "serial"}
    allowed: Any = {**options, "allow_remote": [site.url]}
    chosen = evfr.select(f"{site.url}/v/a.mp4", n=3, out=tmp_path / "one", **allowed)
    for verb in (
        lambda **more: evfr.extract(tmp_path / "one", out=tmp_path / "two", **more),
        lambda **more: evfr.select(from_=tmp_path / "one" / "selection.json", out=tmp_path / "three", **more),
    ):
        with pytest.raises(InputError, match="pass --allow-remote"):
            verb(**options)
        verb(**allowed)
    assert len(list((tmp_path / "two").glob("*.jpg"))) == 3
    again = evfr.Selection.load(tmp_path / "three")
    assert again.table.equals(chosen.table)


def test_one_bad_video_does_not_stop_the_others(site: Site, tmp_path: Path) -> None:
    given = [f"{site.url}/v/a.mp4", f"{site.url}/v/none.mp4"]
    allowed: Any = {"allow_remote": [site.url], "executor": "serial"}
    seen = evfr.inspect(given, **allowed)
    assert [video.status for video in seen.videos] == ["ok", "failed"]
    assert [problem.code for problem in seen.problems] == [ProblemCode.E_NOT_FOUND]
    scored = evfr.score(given, out=tmp_path / "store", **allowed)
    assert [video.status for video in scored.videos] == ["ok", "failed"]
    made = evfr.embed(given, model="thumbnail", out=tmp_path / "store", **allowed)
    assert [video.status for video in made.videos] == ["ok", "failed"]
    plan = evfr.select(given, dry_run=True, store=tmp_path / "store", **allowed).plan
    assert plan is not None and [bool(entry["problem"]) for entry in plan["videos"]] == [False, True]


def test_the_command_line_names_the_flag(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"{site.url}/v/a.mp4?X-Amz-Signature=topsecret"
    with pytest.raises(SystemExit, match="1"):
        main(["inspect", address, "--executor", "serial"])
    error = capsys.readouterr().err
    assert f"--allow-remote {site.url}/v/" in error and "topsecret" not in error
    assert len(error.strip().splitlines()) == 1
    with pytest.raises(SystemExit, match="0"):
        main(["inspect", address, "--executor", "serial", "--allow-remote", f"{site.url}/v/", "--quiet"])
    assert "topsecret" not in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["select", "extract", "search"])
def test_results_are_not_written_to_addresses(verb, tmp_path, monkeypatch):
    from evfr.errors import StoreError
    from evfr.video import draw_clip

    monkeypatch.chdir(tmp_path)
    clip = draw_clip(tmp_path / "clip.mp4", seconds=0.4, size=(64, 48))
    store = tmp_path / "store"
    evfr.embed(clip, model="thumbnail", out=store, executor="serial")
    evfr.select(clip, n=2, out=tmp_path / "chosen", store=store, executor="serial", no_report=True)
    calls = {
        "select": lambda out: evfr.select(clip, n=2, store=store, executor="serial", out=out),
        "extract": lambda out: evfr.extract(tmp_path / "chosen", out=out, executor="serial"),
        "search": lambda out: evfr.search(
            store, ["clip.mp4:1"], k=2, out=out, videos=[clip], executor="serial"
        ),
    }
    for out in ("s3://bucket/place", tmp_path.__class__("s3://bucket/place")):
        with pytest.raises(StoreError, match="results are written to local folders only"):
            calls[verb](out)
    assert not (tmp_path / "s3:").exists()
