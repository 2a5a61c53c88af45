"""The viewer selects what `evfr select` selects by the same words, byte for byte, and decodes nothing for it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evfr import cli
from evfr.sampling import SAMPLERS
from evfr.verbs.embed import embed
from evfr.verbs.select import select
from helpers.view_server import Viewer, running_viewer


@pytest.fixture(scope="module")
def picks(clips: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a selection from two clips and a broken file, with embeddings of both in the store."""
    out = tmp_path_factory.mktemp("viewed") / "picks"
    embed([clips / "one.mp4", clips / "two.mkv"], model="thumbnail", out=store, executor="serial")
    select([clips], n=9, out=out, store=store, executor="serial", no_frames=True, no_report=True)
    return out


@pytest.fixture(scope="module")
def viewer(picks: Path, store: Path) -> Iterator[Viewer]:
    with running_viewer(picks, store=store, edit=True) as found:
        yield found


def decoding(*_: object, **__: object) -> Any:
    raise AssertionError("the viewer decoded a video to select")


WORDS: dict[str, dict[str, Any]] = {
    "uniform": {"ratio": 0.1, "options": {"start": "middle"}},
    "random": {"n": 11, "seed": 5},
    "adaptive": {"n": 12, "seed": 2, "min_gap": 2},
    "systematic": {"ratio": 0.15, "include": [[1, 7], [2, 3]], "exclude": [[1, 8]]},
    "auto": {"stride": 9, "labeled": [[1, 30]], "allocation": "activity"},
    "farthest": {"n": 10, "include": [[1, 20]], "options": {"metric": "cosine"}, "floor_share": 0.25},
    "facility": {"n": 7, "seed": 1},
    "kmeans": {"n": 6, "signal": "none"},
    "kmedoids": {"n": 6, "exclude": [[1, 0]]},
    "segment-medoid": {"n": 6, "per_video_min": 2, "max_gap": 40},
}


@pytest.mark.parametrize("method", SAMPLERS)
def test_every_method_gives_the_bytes_of_evfr_select(
    method: str,
    viewer: Viewer,
    picks: Path,
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patched:
        for name in ("evfr.video.open_video", "evfr.video.FrameExtractor", "evfr.distributed.map_videos"):
            patched.setattr(name, decoding)
        status, answer = viewer.post("/api/select", {"method": method, **WORDS[method]})
    assert status == 200, answer
    status, saved = viewer.post("/api/save", {"name": f"by-{method}"})
    assert status == 200, saved
    words = shlex.split(answer["report"]["command"])
    assert words[:2] == ["evfr", "select"]
    out = tmp_path / "again"
    more = ["--store", str(store), "--out", str(out), "--no-frames", "--no-report", "--executor", "serial"]
    with pytest.raises(SystemExit) as exit_:
        cli.main([*words[1:], *more, "-q"])
    assert exit_.value.code == 3, capsys.readouterr().err  # finished, with the broken clip listed
    for name in ("selection.parquet", "selection.json"):
        assert (out / name).read_bytes() == (Path(saved["folder"]) / name).read_bytes(), name
    rows = {entry["place"]: entry for entry in answer["videos"]}
    table = select(from_=Path(saved["folder"]) / "selection.json", store=store, executor="serial").table
    for place, video in enumerate(viewer.session.folder.videos):
        own = [row for row in table.to_pylist() if row["video_id"] == video.video_id]
        if place not in rows:
            assert not own
            continue
        assert rows[place]["selected"] == [row["frame_index"] for row in own]
        assert rows[place]["reasons"] == [row["reason"] for row in own]


def test_an_embedding_method_shows_what_it_was_chosen_by(viewer: Viewer) -> None:
    status, answer = viewer.post("/api/select", {"method": "farthest", "n": 5})
    assert status == 200
    assert "--signal flow" in answer["report"]["command"], (
        "select would take the signal feature if nothing were said"
    )
    assert any("stretches" in note for note in answer["report"]["manifest"]["summary"]["notes"])


def test_places_select_from_some_of_the_videos(viewer: Viewer, clips: Path, store: Path) -> None:
    status, answer = viewer.post("/api/select", {"n": 4, "places": [1], "method": "systematic"})
    assert status == 200, answer
    alone = select(clips / "one.mp4", n=4, method="systematic", store=store, executor="serial")
    assert viewer.session.folder.videos[1].video_id == "one.mp4"
    assert [(v["place"], v["selected"]) for v in answer["videos"]] == [(1, alone.indices.tolist())]
    assert shlex.split(answer["report"]["command"])[2] == str(clips / "one.mp4")


def test_what_is_not_said_stays_as_the_selection_has_it(clips: Path, store: Path, tmp_path: Path) -> None:
    select(
        clips / "one.mp4",
        n=6,
        method="systematic",
        method_options={"start": "random"},
        seed=4,
        exclude=[3],
        min_gap=2,
        out=tmp_path,
        store=store,
        executor="serial",
        no_frames=True,
        no_report=True,
    )
    with running_viewer(tmp_path, store=store) as viewer:
        _, same = viewer.post("/api/select", {})
        _, other = viewer.post("/api/select", {"exclude": [[0, 10]], "n": 7, "method": "uniform"})
    own = select(from_=tmp_path / "selection.json", store=store, executor="serial")
    assert same["videos"][0]["selected"] == own.indices.tolist()
    parameters = other["report"]["parameters"]
    assert parameters["exclude"] == [[None, 3], ["one.mp4", 10]], "frames are added to the command's own"
    assert parameters["seed"] == 4 and parameters["min_gap"] == 2
    assert parameters["method_options"] == {}, "options are one method's own"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "a request must be a JSON object"),
        ({"paths": ["/etc/passwd"]}, "does not know 'paths'"),
        ({"weights": "/etc/passwd"}, "does not know 'weights'"),
        ({"n": 3, "ratio": 0.5}, "give one of n, ratio and stride, got n and ratio"),
        ({"n": "3"}, "n must be a whole number, got '3'"),
        ({"n": True}, "n must be a whole number, got 'True'"),
        ({"n": 2.5}, "n must be a whole number, got '2.5'"),
        ({"n": 10**15 * 99}, "n must be a whole number"),
        ({"n": 0}, "n must be 1 or more, got 0"),
        ({"n": 5000}, "n=5000 is more than the"),
        ({"ratio": "all"}, "ratio must be a number, got 'all'"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"method": 7}, "method must be a word, got '7'"),
        ({"method": "best"}, "method must be one of uniform, random"),
        ({"method": "best", "options": {}}, "method must be one of uniform, random"),
        ({"options": []}, "options must be a JSON object"),
        ({"options": {"size": 3}}, "method auto has no option 'size'"),
        ({"options": {"threshold": [[]]}}, "option threshold must be a number or a word"),
        ({"options": {"threshold": "high"}}, "option threshold: 'high' is not allowed; give a number"),
        (
            {"embedding": "/tmp/model.onnx", "method": "kmeans"},
            "embedding must be one of thumbnail, hsv, hog, dct",
        ),
        ({"embedding": "someone/model", "method": "kmeans"}, "or that of the selection that is viewed"),
        ({"embedding": "hsv", "method": "kmeans"}, "no embedding by hsv is in the store"),
        ({"signal": "ssim"}, "signal ssim .default. is not in the store"),
        ({"signal": "none", "method": "auto"}, "method auto needs a signal"),
        ({"include": 3}, "include must be a list of at most"),
        ({"include": [[0]]}, "include must hold pairs .place, frame_index., got '.0.'"),
        ({"include": [[0, 1.5]]}, "include must hold pairs"),
        ({"include": [[9, 1]]}, "there is no frame 1 of a video 9"),
        ({"exclude": [[1, -1]]}, "there is no frame -1 of a video 1"),
        ({"include": [[1, 10**6]]}, "there is no frame 1000000"),
        ({"places": []}, "places must be a list of 1 to 3"),
        ({"places": [3]}, "places must lie in 0..2, got 3"),
        ({"places": [1, 1]}, "places must be different"),
        ({"places": [0]}, "none of the 1 inputs has a usable frame"),
        ({"n": 40, "min_gap": 30}, "allow at most"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_a_sentence(viewer: Viewer, words: Any, text: str) -> None:
    status, answer = viewer.post("/api/select", words)
    assert status == 422, answer
    assert re.search(text, answer["error"]), answer["error"]


def test_too_many_videos_at_once_are_refused(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evfr.verbs._view_select.VIDEOS_MOST", 2)
    assert viewer.post("/api/select", {"n": 3})[1]["error"].startswith(
        "the viewer selects from at most 2 videos"
    )
    assert viewer.post("/api/select", {"n": 3, "places": [1, 2]})[0] == 200


def test_pools_are_left_to_evfr_select(clips: Path, store: Path, tmp_path: Path) -> None:
    select(
        clips / "one.mp4",
        n=3,
        method="farthest",
        pool=0.5,
        out=tmp_path,
        store=store,
        executor="serial",
        no_frames=True,
        no_report=True,
    )
    with running_viewer(tmp_path, store=store) as viewer:
        status, answer = viewer.post("/api/select", {"n": 4})
        assert (status, answer["error"][:33]) == (422, "this selection was made from pool")
        assert viewer.json("/api/videos")[0]["n_selected"] == 3


def test_without_measurements_the_selection_is_shown_and_says_what_is_missing(
    picks: Path, tmp_path: Path
) -> None:
    with running_viewer(picks, store=tmp_path / "empty") as viewer:
        assert [v["n_selected"] for v in viewer.json("/api/videos")] == [0, 6, 3]
        video = viewer.json("/api/video/1")
        assert (
            video["status"] == "failed" and "has no frames of this video" in video["problems"][0]["message"]
        )
        status, answer = viewer.post("/api/select", {"n": 3})
        assert status == 422 and "run evfr score on it" in answer["error"]
    assert not (tmp_path / "empty").exists()
