"""What the viewer answers: the report's own values, exact frames, the file itself, labels, review list."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from evfr import cli
from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.signature import read_signature
from evfr.annotations import write
from evfr.errors import AnnotationError
from evfr.sampling import SAMPLERS
from evfr.verbs.propagate import propagate
from evfr.verbs.score import score
from evfr.verbs.select import select
from evfr.video import extract_frames, scan
from helpers.clips import write_clip
from helpers.view_server import Viewer, running_viewer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this module's own: what others measured would be shown too."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def picks(clips: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shown") / "picks"
    select([clips], n=9, out=out, store=store, executor="serial", include=["one.mp4:7"])
    return out


@pytest.fixture(scope="module")
def viewer(picks: Path, store: Path) -> Iterator[Viewer]:
    with running_viewer(picks, store=store) as found:
        yield found


def test_the_state_is_the_head_of_the_report(viewer: Viewer, picks: Path) -> None:
    state = viewer.json("/api/state")
    page = (picks / "report.html").read_text()
    head = json.loads(re.search(r'id="evfr-report">(.*?)</script>', page)[1])  # type: ignore[index]
    assert {name: value for name, value in state["report"].items() if name != "title"} == {
        name: value for name, value in head.items() if name != "title"
    }
    assert state["report"]["n_videos"] == 3
    assert (state["kind"], state["can_edit"], state["token"]) == ("selection", False, viewer.token)
    assert state["features"] == {"labels": False, "map": False, "review": False}
    assert (state["saved"], state["notes"]) == ([], [])
    assert state["named"] == {"include": [[1, 7]], "exclude": [], "labeled": []}


def test_methods_are_offered_with_the_options_of_the_command_line(viewer: Viewer) -> None:
    methods = viewer.json("/api/state")["methods"]
    assert list(methods) == list(SAMPLERS)
    for name, options in methods.items():
        own = {spec.name: spec for spec in cli.read_method_options(cli.METHODS["select"], name)}
        assert [option["option"] for option in options] == list(own)
        for option in options:
            assert option["default"] == own[option["option"]].default
            assert option["help"] == own[option["option"]].help
            assert set(option["type"].split("|")) <= {"int", "float", "str", "bool"}
    assert read_signature(select).parameters, "the verb itself is not touched"


def test_a_video_is_what_the_report_page_holds(viewer: Viewer, picks: Path) -> None:
    page = (picks / "report.html").read_text()
    for place, summary in enumerate(viewer.json("/api/videos")):
        block = re.search(rf'id="evfr-video-{place}">(.*?)</script>', page)
        assert block is not None
        expected = json.loads(block[1])
        found = viewer.json(f"/api/video/{place}")
        assert {**found, "files": expected["files"]} == expected
        assert summary["place"] == place and summary["video_id"] == expected["video_id"]
        assert summary["n_frames"] == expected["n_frames"] and summary["status"] == expected["status"]
        assert summary["n_selected"] == len(expected["reasons"]["index"])
        assert summary["duration"] == expected["duration_seconds"]
        assert summary["dynamicity"] == expected["dynamicity"]


def test_the_list_comes_in_parts(viewer: Viewer) -> None:
    everything = viewer.json("/api/videos")
    assert viewer.json("/api/videos?offset=1&limit=1") == everything[1:2]
    assert viewer.json("/api/videos?offset=2&limit=200") == everything[2:]
    assert viewer.json("/api/videos?offset=3") == viewer.json("/api/videos?offset=1000000") == []


def jpeg(image: Any, width: int) -> bytes:
    """Encode as the viewer does, by OpenCV's own words."""
    if image.shape[1] > width:
        size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1])


def test_frames_are_exactly_those_asked_for(viewer: Viewer, clips: Path) -> None:
    path = clips / "one.mp4"
    table = scan(path)[0]
    frames = {frame.frame_index: frame.image for frame in extract_frames(path, range(60), table)}
    for index in (59, 0, 30, 31, 32, 33, 34, 50, 29, 28, 1, 35, 59, 31):
        status, headers, body = viewer.get(f"/api/frame/1/{index}.jpg")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert body == jpeg(frames[index], 1920), index
        small = viewer.get(f"/api/frame/1/{index}.jpg?width=64")[2]
        assert small == jpeg(frames[index], 64)
        assert cv2.imdecode(np.frombuffer(small, np.uint8), 1).shape == (38, 64, 3)


@pytest.mark.parametrize(
    "name",
    [
        "codec/rotated90.mov",
        pytest.param("codec/roof_hevc10.mp4", marks=pytest.mark.slow),
        pytest.param("video/bikes_cuts.mp4", marks=pytest.mark.slow),
    ],
)
def test_frames_of_real_clips_are_upright_and_exact(
    name: str, data_dir: Path, store: Path, tmp_path: Path
) -> None:
    path = data_dir / name
    table = scan(path)[0]
    wanted = sorted({0, len(table) // 2, len(table) - 1})
    images = {f.frame_index: f.image for f in extract_frames(path, wanted, table)}
    select(
        path,
        n=2,
        method="uniform",
        signal="none",
        out=tmp_path,
        store=store,
        executor="serial",
        no_frames=True,
        no_report=True,
    )
    with running_viewer(tmp_path, store=store) as viewer:
        for index in reversed(wanted):
            body = viewer.get(f"/api/frame/0/{index}.jpg")[2]
            assert body == jpeg(images[index], 1920)
        picture = cv2.imdecode(np.frombuffer(body, np.uint8), 1)
        assert picture.shape == (table.height, table.width, 3)
        status, headers, body = viewer.get("/api/media/0")
        if "hevc" in name:
            assert status == 415 and b"browsers do not play hevc in" in body
        else:
            assert (status, headers["content-type"], body) == (200, "video/mp4", path.read_bytes())


def test_a_browser_asks_again_only_whether_a_frame_is_the_same(viewer: Viewer) -> None:
    _, headers, body = viewer.get("/api/frame/1/3.jpg?width=64")
    tag = headers["etag"]
    assert headers["cache-control"] == "private, no-cache" and body
    status, headers, body = viewer.get("/api/frame/1/3.jpg?width=64", If_None_Match=tag)
    assert (status, body) == (304, b"")
    assert viewer.get("/api/frame/1/4.jpg?width=64", If_None_Match=tag)[0] == 200


def test_a_slow_video_keeps_nobody_else_waiting(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    go, started = threading.Event(), threading.Event()
    frames = viewer.session.frames
    plain = frames._decode

    def slow(reader: Any, key: Any, frame_index: int, width: int) -> bytes:
        if key[0] == 1:
            started.set()
            assert go.wait(20)
        return plain(reader, key, frame_index, width)

    monkeypatch.setattr(frames, "_decode", slow)
    found: list[int] = []
    waiting = [
        threading.Thread(
            target=lambda width=width: found.append(viewer.get(f"/api/frame/1/9.jpg?width={width}")[0])
        )
        for width in range(700, 712)
    ]
    for thread in waiting:
        thread.start()
    assert started.wait(20)
    # More frames of the slow video wait than may be decoded at a time; all but frames is answered.
    for address in ("/api/state", "/api/videos", "/api/video/1", "/api/media/1", "/assets/dom.js"):
        assert viewer.get(address)[0] == 200, address
    assert not found
    go.set()
    for thread in waiting:
        thread.join(30)
    assert found == [200] * 12
    assert frames.cache.held_bytes <= 96 << 20


def test_the_file_itself_comes_in_ranges(viewer: Viewer, clips: Path) -> None:
    whole = (clips / "one.mp4").read_bytes()
    size = len(whole)
    status, headers, body = viewer.get("/api/media/1")
    assert (status, headers["content-type"], body) == (200, "video/mp4", whole)
    assert headers["accept-ranges"] == "bytes" and headers["content-length"] == str(size)
    for wanted, first, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, size),
        ("bytes=100-199", 100, 200),
        (f"bytes={size - 1}-", size - 1, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{size * 9}", 0, size),
        (f"bytes=5-{size * 9}", 5, size),
    ):
        status, headers, body = viewer.get("/api/media/1", Range=wanted)
        assert (status, body) == (206, whole[first:stop]), wanted
        assert headers["content-range"] == f"bytes {first}-{stop - 1}/{size}"
        head = viewer.ask("HEAD", "/api/media/1", headers={"X-Evfr-Token": viewer.token, "Range": wanted})
        assert head[0] == 206 and head[1]["content-length"] == str(stop - first) and head[2] == b""
    status, headers, body = viewer.get("/api/media/1", Range=f"bytes={size}-")
    assert (status, headers["content-range"], body) == (416, f"bytes */{size}", b"")


@pytest.mark.parametrize(
    ("options", "name", "status", "text"),
    [
        ({"codec": "mpeg4"}, "a.mp4", 415, b"browsers do not play mpeg4 in"),
        ({"pixel_format": "yuv444p"}, "a.mp4", 415, b"browsers do not play h264 with yuv444p pixels"),
        ({}, "a.mkv", 415, b"browsers do not play h264 in matroska"),
        ({}, "a.mov", 200, b""),
        ({"codec": "libvpx"}, "a.webm", 200, b""),
    ],
)
def test_what_browsers_do_not_play_is_said(
    options: dict[str, Any], name: str, status: int, text: bytes, tmp_path: Path, store: Path
) -> None:
    from evfr.verbs._view_media import NoMedia, open_media
    from evfr.video import VideoSource

    frames = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
    path = write_clip(tmp_path / name, frames, **options)
    source = VideoSource("a", path, "file")
    if status == 415:
        with pytest.raises(NoMedia, match=text.decode()):
            open_media(source)
        return
    media = open_media(source)
    media.close()
    assert media.media_type == ("video/webm" if name.endswith("webm") else "video/mp4")


def test_pictures_are_no_file_to_play(tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((24, 32, 3), 40 * index, np.uint8))
    select(
        folder, n=2, method="uniform", signal="none", out=tmp_path / "picks", store=store, executor="serial"
    )
    with running_viewer(tmp_path / "picks", store=store) as viewer:
        status, _, body = viewer.get("/api/media/0")
        assert status == 415 and b"folder or zip of images" in body
        assert viewer.get("/api/frame/0/4.jpg")[0] == 200


def labelled(width: int = 160, track: int = NO_TRACK) -> VideoAnnotations:
    """Return labels on five frames of the first clip: a mask, a box, and a frame that holds nothing."""
    video = AnnotatedVideo("one.mp4", width, 96, np.array([0, 5, 6, 40, 59]))
    mask = np.zeros((96, width), bool)
    mask[20:40, 30:80] = True
    rows = [
        ObjectRow("one.mp4", 0, 1, 4, mask=Rle.from_mask(mask), trust=0.75, source="carried"),
        ObjectRow("one.mp4", 0, 2, track, (1.0, 2.0, 30.5, 40.25), score=0.5),
        ObjectRow(
            "one.mp4", 6, 1, 4, (3.0, 3.0, 9.0, 9.0), Rle.from_mask(mask), trust=0.25, source="carried"
        ),
        ObjectRow("one.mp4", 59, 1, 4, (0.0, 0.0, 9.0, 9.0)),
    ]
    return VideoAnnotations.build([video], [Category(1, "car <b>"), Category(2, "bus")], rows)


@pytest.mark.parametrize("form", ["evfr", "coco"])
def test_labels_lie_on_their_frames(form: str, clips: Path, picks: Path, store: Path, tmp_path: Path) -> None:
    path = tmp_path / ("labels.parquet" if form == "evfr" else "labels.json")
    write(labelled(), path, format=form)
    with running_viewer(picks, store=store, labels=path) as viewer:
        assert viewer.json("/api/state")["features"]["labels"]
        found = viewer.json("/api/labels/1?first=0&last=59")
        assert viewer.json("/api/labels/1?first=5&last=6") == found[1:3]
        assert viewer.json("/api/labels/2") == [], "a video without labels"
        assert viewer.json("/api/labels/0") == [], "a video that cannot be opened"
        assert [entry["frame_index"] for entry in found] == [0, 5, 6, 40, 59]
        first, second = found[0]["objects"]
        rle = labelled().masks[0]
        assert rle is not None
        assert first["rle"] == {"size": [96, 160], "counts": rle.to_coco()["counts"]}
        assert first["box_xyxy"] == [30.0, 20.0, 80.0, 40.0], "of the mask where there is no other"
        assert (first["track_id"], first["category"], first["trust"]) == (4, "car <b>", 0.75)
        assert (first["source"], first["score"]) == ("carried", None)
        assert second["box_xyxy"] == [1.0, 2.0, 30.5, 40.25] and second["rle"] is None
        assert (second["track_id"], second["score"], second["trust"]) == (None, 0.5, None)
        assert [entry["objects"] for entry in found if entry["frame_index"] in (5, 40)] == [[], []]
        for words in ("first=60", "first=9&last=8", "last=60", "first=-1"):
            assert viewer.get(f"/api/labels/1?{words}")[0] == 422, words


def test_labels_come_two_hundred_frames_at_a_time(
    viewer: Viewer, picks: Path, store: Path, tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, body = viewer.get("/api/labels/1")
    assert status == 404 and b"--labels FILE" in body
    write(labelled(), tmp_path / "labels.parquet", format="evfr")
    monkeypatch.setattr("evfr.verbs._view_labels.FRAMES_MOST", 20)
    with running_viewer(picks, store=store, labels=tmp_path / "labels.parquet") as own:
        status, _, body = own.get("/api/labels/1?first=0&last=20")
        assert status == 422 and b"at most 20 frames at a time, got 21" in body
        assert [entry["frame_index"] for entry in own.json("/api/labels/1")] == [0, 5, 6]


def test_labels_are_matched_by_their_bytes_their_name_or_as_the_only_ones(
    clips: Path, store: Path, tmp_path: Path
) -> None:
    select(clips / "one.mp4", n=3, out=tmp_path / "picks", store=store, executor="serial", no_frames=True)
    digest = json.loads((tmp_path / "picks" / "selection.json").read_text())["inputs"][0]["hash"]
    plain = labelled()
    other = AnnotatedVideo("other.mp4", 160, 96, np.array([1]))
    for videos, count in (
        ([plain.videos[0]], 5),
        ([AnnotatedVideo("camera 3", 160, 96, np.array([2, 3]))], 2),
        ([AnnotatedVideo("camera 3", 160, 96, np.array([2, 3]), content_hash=digest), other], 2),
        ([AnnotatedVideo("camera 3", 160, 96, np.array([2, 3])), other], 0),
    ):
        path = write(VideoAnnotations.build(videos, [], []), tmp_path / "labels.parquet", format="evfr")
        with running_viewer(tmp_path / "picks", store=store, labels=path) as viewer:
            assert len(viewer.json("/api/labels/0")) == count


def test_labels_that_do_not_fit_are_refused_in_a_sentence(
    clips: Path, picks: Path, store: Path, tmp_path: Path
) -> None:
    path = write(labelled(width=320), tmp_path / "labels.parquet", format="evfr")
    with running_viewer(picks, store=store, labels=path) as viewer:
        status, _, body = viewer.get("/api/labels/1")
        assert status == 422 and b"the labels were made at 320x96 pixels" in body
    path.write_bytes(b"no labels")
    with (
        pytest.raises(AnnotationError, match=r"labels\.parquet"),
        running_viewer(picks, store=store, labels=path),
    ):
        pass


def test_a_review_folder_lists_what_to_label_next(clips: Path, store: Path, tmp_path: Path) -> None:
    result = propagate(
        clips / "one.mp4",
        labels=labelled(track=9),
        out=tmp_path / "all.parquet",
        method="copy",
        min_trust=0.9,
        review_n=5,
        held_out=2,
        store=store,
        executor="serial",
    )
    assert result.review_folder is not None and len(result.review)
    with running_viewer(result.review_folder, store=store, labels=tmp_path / "all.parquet") as viewer:
        state = viewer.json("/api/state")
        assert state["kind"] == "review" and state["features"] == {
            "labels": True,
            "map": False,
            "review": True,
        }
        rows = viewer.json("/api/review")
        assert [row["frame_index"] for row in rows] == result.review.frame_index.tolist()
        assert [row["rank"] for row in rows] == list(range(len(rows)))
        assert all(row["place"] == 0 and row["reason"] for row in rows)
        asked = {entry["frame_index"]: entry["objects"] for entry in viewer.json("/api/labels/0")}
        for row in rows:
            trusts = [o["trust"] for o in asked.get(row["frame_index"], []) if o["trust"] is not None]
            assert row["trust"] == (pytest.approx(np.mean(trusts)) if trusts else None)
        assert any(row["trust"] is not None for row in rows), "the objects that wait are shown as well"
        assert viewer.post("/api/select", {"n": 4})[0] == 200
    with running_viewer(result.review_folder, store=store) as viewer:
        assert viewer.json("/api/state")["features"]["labels"], (
            "what waits for a person is in the folder itself"
        )


def test_a_selection_is_no_review_folder(viewer: Viewer) -> None:
    status, _, body = viewer.get("/api/review")
    assert status == 404 and b"evfr propagate" in body


def test_saving_keeps_what_was_asked_for_last(clips: Path, store: Path, tmp_path: Path) -> None:
    select(clips / "one.mp4", n=3, out=tmp_path / "picks", store=store, executor="serial", no_frames=True)
    with running_viewer(tmp_path / "picks", store=store, edit=True) as viewer:
        status, answer = viewer.post("/api/save", {"name": "a"})
        assert status == 422 and "nothing was selected here yet" in answer["error"]
        viewer.post("/api/select", {"n": 4})
        _, last = viewer.post("/api/select", {"n": 6, "include": [[0, 2]]})
        assert viewer.json("/api/state")["named"]["include"] == [[0, 2]]
        assert viewer.post("/api/select", {"n": 0})[0] == 422, "a wrong word changes nothing"
        status, answer = viewer.post("/api/save", {"name": "a"})
        assert status == 200 and answer["folder"] == str(tmp_path / "picks" / "a")
        assert viewer.json("/api/state")["saved"] == ["a"]
        assert [video["n_selected"] for video in viewer.json("/api/videos")] == [3], "the folder's own stays"
    with running_viewer(tmp_path / "picks" / "a", store=store) as viewer:
        video = viewer.json("/api/video/0")
        assert video["include"] == [2]
        assert (
            np.frombuffer(base64.b64decode(video["selected"]["base64"]), "<i4").tolist()
            == (last["videos"][0]["selected"])
        )
    again = select(from_=tmp_path / "picks" / "a" / "selection.json", store=store, executor="serial")
    assert again.indices.tolist() == last["videos"][0]["selected"]


def test_a_store_is_viewed_without_a_selection(clips: Path, tmp_path: Path) -> None:
    own = tmp_path / "store"
    paths = [clips / "one.mp4", clips / "two.mkv"]
    # The place of a file is remembered once it is two seconds old.
    time.sleep(max(0.0, 2.1 - (time.time() - max(path.stat().st_ctime for path in paths))))
    score(paths, out=own, signals=["flow", "ssim"], executor="serial")
    with running_viewer(own) as viewer:
        state = viewer.json("/api/state")
        assert state["kind"] == "store" and state["report"]["n_videos"] == len(viewer.json("/api/videos"))
        by_name = {video["video_id"]: video for video in viewer.json("/api/videos")}
        assert {name: video["n_frames"] for name, video in by_name.items()} == {"one.mp4": 60, "two.mkv": 36}
        place = by_name["one.mp4"]["place"]
        video = viewer.json(f"/api/video/{place}")
        assert set(video["curves"]) == {"flow", "ssim"} and video["selected"]["base64"] == ""
        status, answer = viewer.post("/api/select", {"n": 5, "places": [place], "signal": "ssim"})
        assert status == 200, answer
        alone = select(clips / "one.mp4", n=5, signal="ssim", store=own, executor="serial")
        assert answer["videos"][0]["selected"] == alone.indices.tolist()
        assert viewer.get(f"/api/frame/{place}/59.jpg")[0] == 200


def test_the_page_and_its_files_are_served(viewer: Viewer) -> None:
    status, headers, body = viewer.get("/")
    assert status == 200 and headers["content-type"] == "text/html; charset=utf-8"
    assert viewer.token.encode() in body
    files = re.findall(r'(?:src|href)="(/assets/[^"]+)"', body.decode())
    assert files
    for file in files:
        status, headers, content = viewer.get(file)
        assert status == 200 and content, file
        kind = "text/css" if file.endswith(".css") else "text/javascript"
        assert headers["content-type"].startswith(kind)
