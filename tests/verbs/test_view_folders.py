"""What a hostile folder, a hostile name or a failing disk gets from the viewer: nothing, and nothing is changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evfr.errors import InputError, SelectionFileError
from evfr.verbs.select import select
from helpers.view_server import Viewer, running_viewer, tree

SECRET = b"the sentinel that no answer holds"


@pytest.fixture(scope="module")
def store(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this module's own: what others measured would be shown too."""
    changed = max(path.stat().st_ctime for path in clips.iterdir())
    time.sleep(max(0.0, changed + 2.2 - time.time()))  # hashes of files just written are not kept, nor listed
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def place(clips: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a selection named ``picks`` beside files that nobody may see."""
    folder = tmp_path_factory.mktemp("attacked")
    (folder / "secret.txt").write_bytes(SECRET)
    (folder / "secret.json").write_text(json.dumps({"secret": SECRET.decode()}))
    select(clips / "one.mp4", n=5, out=folder / "picks", store=store, executor="serial", no_report=True)
    (folder / "picks" / "out.txt").symlink_to(folder / "secret.txt")
    (folder / "picks" / "outside").symlink_to(folder)
    return folder


@pytest.fixture(scope="module")
def viewer(place: Path, store: Path) -> Iterator[Viewer]:
    with running_viewer(place / "picks", store=store, edit=True) as found:
        yield found


SAVE_NAMES = [
    "",
    ".",
    "..",
    "../out",
    "..%2fout",
    "a/b",
    "a\\b",
    "/tmp/out",
    "C:out",
    ".hidden",
    "a\0b",
    "a" * 65,
    "ä",
    "a b",
    "a\n",
    "con:",
    "~",
    "$HOME",
    "frames",
    "Frames",
    "selection.json",
    "SELECTION.JSON",
    "report.html",
    "signal-flow",
    None,
    7,
    ["a"],
    {"a": 1},
]


@pytest.mark.parametrize("name", SAVE_NAMES, ids=[repr(name)[:20] for name in SAVE_NAMES])
def test_names_that_are_no_plain_folder_are_refused(viewer: Viewer, place: Path, name: Any) -> None:
    assert viewer.post("/api/select", {"n": 4})[0] == 200
    before = tree(place)
    status, answer = viewer.post("/api/save", {"name": name})
    assert status == 422 and "name" in answer["error"], answer
    assert tree(place) == before


def test_saving_follows_no_link_and_replaces_nothing(viewer: Viewer, place: Path) -> None:
    folder = place / "picks"
    target = place / "elsewhere"
    target.mkdir()
    (folder / "link").symlink_to(target)
    (folder / "dangling").symlink_to(place / "not-there")
    (folder / "file").write_text("mine")
    (folder / "empty").mkdir()
    assert viewer.post("/api/select", {"n": 4})[0] == 200
    before = tree(place)
    for name in ("link", "dangling", "file", "empty", "outside", "out.txt"):
        status, answer = viewer.post("/api/save", {"name": name})
        assert (status, answer["error"]) == (409, f"{name} is there already; give another name")
    assert tree(place) == before
    assert viewer.post("/api/save", {"name": "mine", "more": 1})[0] == 422
    assert viewer.post("/api/save", {"name": "mine"})[1]["saved"] == ["mine"]
    assert set(tree(place)) - set(before) == {
        "picks/mine",
        "picks/mine/selection.json",
        "picks/mine/selection.parquet",
    }
    shutil.rmtree(folder / "mine")
    for name in ("link", "dangling", "file"):
        (folder / name).unlink()
    (folder / "empty").rmdir()
    target.rmdir()


def test_a_disk_that_fails_leaves_no_half_selection(
    viewer: Viewer, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert viewer.post("/api/select", {"n": 4})[0] == 200
    before = set(tree(place))

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evfr.verbs._view_save.os.rename", full)
    status, answer = viewer.post("/api/save", {"name": "half"})
    assert status == 422 and "No space left on device" in answer["error"]
    assert set(tree(place)) == before


def test_without_edit_a_whole_session_changes_nothing(clips: Path, store: Path, tmp_path: Path) -> None:
    own = tmp_path / "store"
    shutil.copytree(store, own)
    picks = tmp_path / "picks"
    select(clips / "one.mp4", n=5, out=picks, store=own, executor="serial", no_report=True)
    before = tree(tmp_path)
    for folder in (picks, own):
        with running_viewer(folder, store=own) as viewer:
            state = viewer.json("/api/state")
            assert state["can_edit"] is False
            for path in (
                "/",
                "/api/videos",
                "/api/video/0",
                "/api/frame/0/3.jpg",
                "/api/media/0",
                "/api/map",
                "/api/neighbours/0/3",
            ):
                assert viewer.get(path)[0] in (200, 404, 415), path
            body = {"n": 3, "places": [0], "method": "farthest"}
            assert viewer.post("/api/select", body)[0] in (200, 422)
            status, answer = viewer.post("/api/select", {"n": 3, "places": [0], "include": [[0, 1]]})
            assert status == 200, answer
            status, answer = viewer.post("/api/save", {"name": "mine"})
            assert (status, answer["error"][:29]) == (403, "this viewer changes nothing; ")
    assert tree(tmp_path) == before


def tampered(place: Path, tmp_path: Path, **changes: Any) -> Path:
    """Return a copy of the selection whose only input says something else."""
    folder = tmp_path / "tampered"
    folder.mkdir()
    manifest = json.loads((place / "picks" / "selection.json").read_text())
    manifest["inputs"][0].update(changes)
    (folder / "selection.json").write_text(json.dumps(manifest))
    shutil.copy(place / "picks" / "selection.parquet", folder)
    return folder


HOSTILE_PATHS = [
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "http://127.0.0.1:9/a.mp4",
    "https://evil.example/a.mp4",
    "s3://bucket/key.mp4",
    "concat:/etc/passwd|/etc/hosts",
    "file:///etc/passwd",
    "pipe:0",
    "subfile,,start,0,end,0,,:/etc/passwd",
    "a\0b",
    "a\ud800b",
    "../../../../etc/passwd",
    "-version",
    "",
]


def test_a_manifest_that_names_other_files_gets_none_of_them(
    place: Path, store: Path, tmp_path: Path
) -> None:
    folder = tampered(place, tmp_path)
    manifest = json.loads((folder / "selection.json").read_text())
    (first,) = manifest["inputs"]
    for path in HOSTILE_PATHS:
        is_real = path.startswith("/etc")
        real = hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest() if is_real else ""
        for kind in ("file", "images", "archive", "playlist", 7):
            for digest in ("", "0" * 32, real, first["hash"], 7):
                name = f"video {len(manifest['inputs'])}"
                manifest["inputs"].append(
                    {**first, "video_id": name, "path": path, "kind": kind, "hash": digest}
                )
    (folder / "selection.json").write_text(json.dumps(manifest))
    count = len(manifest["inputs"])
    assert count == 1 + len(HOSTILE_PATHS) * 25
    with running_viewer(folder, store=store) as viewer:
        assert len(viewer.json("/api/videos?limit=1000")) == count
        assert viewer.json("/api/video/0")["status"] == "ok", (
            "what is wrong with others is no fault of this one"
        )
        for place_ in range(1, count):
            entry = manifest["inputs"][place_]
            shown = (entry["path"], entry["kind"], entry["hash"])
            opened = viewer.session.opened(place_)
            assert opened.table is None and opened.measured.problems, shown
            if place_ % 5:
                continue
            assert viewer.json(f"/api/video/{place_}")["status"] == "failed", shown
            for address in (f"/api/media/{place_}", f"/api/frame/{place_}/0.jpg"):
                status, _, body = viewer.get(address)
                assert status == 409 and b"root:" not in body and b"PATH=" not in body, (shown, body[:300])


def test_a_file_that_is_no_video_is_never_sent_even_with_measurements_of_its_own(
    place: Path, store: Path, tmp_path: Path
) -> None:
    """A hostile store may claim frames of any file; what is sent must be a video by its own bytes."""
    from evfr._core.store import Store
    from evfr.verbs._measure import MeasureJob, keys_of
    from evfr.video import VideoSource, content_hash

    secret = place / "secret.txt"
    own = tmp_path / "store"
    shutil.copytree(store, own)
    known = Store(own)
    video = json.loads((place / "picks" / "selection.json").read_text())["inputs"][0]

    def key(digest: str) -> Any:
        job = MeasureJob(VideoSource("a", secret, "file"), own, (), "default", None, "drop", 1)
        return keys_of(known, job, digest)[0]

    entry = known.read_entry(key(video["hash"]))
    known.write(key(content_hash(secret)), entry.table, entry.metadata)
    folder = tampered(place, tmp_path, path=str(secret), hash=content_hash(secret))
    with running_viewer(folder, store=own) as viewer:
        assert viewer.json("/api/video/0")["status"] == "ok", "the frames are believed, the file is not"
        for address in ("/api/media/0", "/api/frame/0/0.jpg"):
            status, _, body = viewer.get(address)
            assert status in (415, 422) and SECRET not in body, body
            assert "not a video file" in json.loads(body)["error"]


def test_a_video_that_changes_is_shown_no_more(clips: Path, store: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    shutil.copy(clips / "one.mp4", video)
    select(video, n=5, out=tmp_path / "picks", store=store, executor="serial", no_frames=True)
    with running_viewer(tmp_path / "picks", store=store) as viewer:
        assert viewer.get("/api/frame/0/3.jpg")[0] == viewer.get("/api/media/0")[0] == 200
        shutil.copy(clips / "two.mkv", tmp_path / "other")
        (tmp_path / "other").replace(video)
        for address in ("/api/frame/0/3.jpg", "/api/media/0"):
            status, _, body = viewer.get(address)
            assert status == 409 and b"E_CHANGED" in body
        assert "E_CHANGED" in str(viewer.json("/api/video/0")["problems"])
        video.unlink()
        assert viewer.get("/api/media/0")[0] == 409


def test_names_are_data_wherever_they_are_shown(clips: Path, store: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>\x1b[31m&'\"=cmd|' !A1'.mp4"
    video = tmp_path / name
    shutil.copy(clips / "one.mp4", video)
    select(video, n=5, out=tmp_path / "picks", store=store, executor="serial", no_frames=True, no_report=True)
    with running_viewer(tmp_path / "picks", store=store) as viewer:
        for address in ("/api/state", "/api/videos", "/api/video/0"):
            status, headers, body = viewer.get(address)
            assert status == 200 and headers["content-type"] == "application/json"
            assert body.isascii() and b"<" not in body and b"\x1b" not in body and b"\\u003cimg" in body
        assert viewer.get("/")[2].count(b"<img") == 0


def test_a_folder_that_is_a_link_is_the_folder_it_names(place: Path, store: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place / "picks")
    with running_viewer(link, store=store, edit=True) as viewer:
        assert viewer.session.folder.root == place / "picks"
        assert viewer.post("/api/select", {"n": 4})[0] == 200
        # Another folder put under the name meanwhile is not written to.
        link.unlink()
        link.symlink_to(tmp_path)
        assert viewer.post("/api/save", {"name": "linked"})[0] == 200
    assert not (tmp_path / "linked").exists()
    shutil.rmtree(place / "picks" / "linked")


@pytest.mark.parametrize("name", ["selection.json", "selection.parquet"])
def test_links_and_pipes_in_the_folder_are_not_read(
    place: Path, store: Path, tmp_path: Path, name: str
) -> None:
    for make in (lambda path: path.symlink_to(place / "picks" / name), os.mkfifo, Path.mkdir):
        folder = tmp_path / "picks"
        shutil.copytree(place / "picks", folder, symlinks=True)
        (folder / name).unlink()
        make(folder / name)
        with pytest.raises(SelectionFileError, match="is a link or no file at all"), running_viewer(folder):
            pass
        shutil.rmtree(folder)
    (tmp_path / "picks").mkdir()
    (tmp_path / "picks" / "selection.json").symlink_to(place / "secret.json")
    with pytest.raises(InputError, match="is a link or no file at all"), running_viewer(tmp_path / "picks"):
        pass


def test_a_table_that_claims_frames_the_video_does_not_have(place: Path, store: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "picks"
    shutil.copytree(place / "picks", folder, symlinks=True)
    table = pq.read_table(folder / "selection.parquet")
    column = pa.array([*range(4), 2**62], pa.int64())
    pq.write_table(table.set_column(1, table.schema.field(1), column), folder / "selection.parquet")
    with running_viewer(folder, store=store) as viewer:
        video = viewer.json("/api/video/0")
        assert video["status"] == "failed"
        assert (
            "frame 4611686018427387904 is selected, but the video has 60" in video["problems"][0]["message"]
        )
        for address in ("/api/neighbours/0/3", "/api/frame/0/3.jpg", "/api/media/0"):
            assert viewer.get(address)[0] == 409
