"""Single parts of the viewer against independent answers: ranges, the map, the picture cache, folders, the process."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evfr.verbs.view as view_module
from evfr._core.store import Store
from evfr.errors import InputError, MissingExtraError, SelectionFileError, StoreError
from evfr.verbs._view_address import Refused, read_json, whole
from evfr.verbs._view_folder import open_folder
from evfr.verbs._view_frames import FrameCache
from evfr.verbs._view_map import project
from evfr.verbs._view_media import read_range
from evfr.verbs._view_serve import listen
from evfr.verbs.embed import embed
from evfr.verbs.select import select
from helpers.view_server import running_viewer

QUICK = settings(deadline=None, max_examples=30)
NONE_WRITTEN: dict[str, Any] = {"executor": "serial", "no_frames": True, "no_report": True}


@QUICK
@given(st.text(max_size=30), st.integers(1, 10**6))
def test_any_text_is_a_range_of_the_file_or_none(text: str, size: int) -> None:
    found = read_range(text, size)
    if found is not None:
        first, stop = found
        assert 0 <= first < stop <= size
        assert text.strip().startswith("bytes=") and "," not in text


@QUICK
@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 1000))
def test_ranges_are_those_of_rfc_9110(first: int, last: int, size: int) -> None:
    whole_file = range(size)
    wanted = list(whole_file)[first : last + 1] if first <= last else []
    assert read_range(f"bytes={first}-{last}", size) == ((wanted[0], wanted[-1] + 1) if wanted else None)
    tail = list(whole_file)[-last:] if last else []
    assert read_range(f"bytes=-{last}", size) == ((tail[0], size) if tail else None)
    rest = list(whole_file)[first:]
    assert read_range(f"bytes={first}-", size) == ((first, size) if rest else None)
    assert read_range(None, size) == (0, size)


@QUICK
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 30), st.sampled_from([0.0, 1.0, 1e-3]))
def test_the_map_is_the_singular_value_decomposition(seed: int, n: int, dimension: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.outer(rng.normal(size=n), rng.normal(size=dimension)) * 3 + noise * rng.normal(
        size=(n, dimension)
    )
    spots, explained = project(vectors)
    centred = vectors - vectors.mean(axis=0)
    _, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    total = (sizes**2).sum()
    expected = (np.pad(sizes, (0, 2))[:2] ** 2) / total if total > 1e-20 else np.zeros(2)
    np.testing.assert_allclose(explained, expected, atol=1e-7)
    scale = max(1.0, float(np.abs(centred).max()))
    np.testing.assert_allclose(
        (spots**2).sum(axis=0), np.pad(sizes, (0, 2))[:2] ** 2, atol=1e-6 * scale**2 * n
    )
    again, _ = project(vectors.copy())
    assert np.array_equal(spots, again), "the same signs each time"
    flipped, _ = project(vectors[::-1])
    np.testing.assert_allclose(np.abs(flipped[::-1]), np.abs(spots), atol=1e-5 * scale * n)


def test_a_map_of_nothing_is_nothing() -> None:
    for vectors in (np.zeros((0, 4)), np.ones((3, 4)), np.ones((1, 4)), np.zeros((3, 0))):
        spots, explained = project(vectors)
        assert spots.shape == (len(vectors), 2) and not spots.any() and explained == (0.0, 0.0)


def test_the_sign_of_a_direction_is_that_of_its_largest_number() -> None:
    line = np.array([[0.0, 0.0], [1.0, -3.0], [2.0, -6.0]])
    spots, explained = project(line)
    # The direction is (1, -3) / sqrt(10); its largest number is made positive, so the first frame lies highest.
    np.testing.assert_allclose(spots[:, 0], [10**0.5, 0, -(10**0.5)], atol=1e-12)
    assert explained == (pytest.approx(1.0), pytest.approx(0.0))


@QUICK
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 60)), max_size=60), st.integers(0, 100))
def test_the_cache_never_holds_more_than_it_may(steps: list[tuple[int, int]], most: int) -> None:
    cache, used = FrameCache(most), {}
    for key, size in steps:
        cache.put(key, bytes(size))
        used.pop(key, None)
        if size <= most:
            used[key] = size
        while sum(used.values()) > most:
            del used[next(iter(used))]
        assert cache.held_bytes == sum(used.values()) <= most
        assert {k for k in range(7) if k in used} == {
            k for k in range(7) if cache._pictures.get(k) is not None
        }
    if used:
        oldest = next(iter(used))
        assert cache.get(oldest) == bytes(used[oldest])
        assert next(reversed(cache._pictures)) == oldest, "what was used is kept longest"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[1", "no readable JSON .JSONDecodeError"),
        (b"[" * 10**6, "no readable JSON .RecursionError"),
        (b"\xff", "no readable JSON .UnicodeDecodeError"),
        (b"[NaN]", "the number NaN is not allowed"),
        (b"[1e400]", "the number 1e400 is not allowed"),
        (b"[123456789012345678901]", "the number 12345678901234567890 is not allowed"),
    ],
)
def test_json_that_no_page_sends(text: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason) as caught:
        read_json(text)
    assert caught.value.status == 400


def test_numbers_of_an_address() -> None:
    assert whole({}, "width", 9, 1, 20) == 9 and whole({"width": "20"}, "width", 9, 1, 20) == 20
    for words in ({"width": "21"}, {"width": "0"}, {"width": ""}, {"width": "1 "}, {}):
        with pytest.raises(Refused, match=r"width must be a whole number from 1 to 20, got '"):
            whole(words, "width", None, 1, 20)


def test_folders_that_cannot_be_viewed(tmp_path: Path, clips: Path, store: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere is no folder; give one that evfr select"):
        open_folder(tmp_path / "nowhere")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "a.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds neither a selection\.json nor the measurements of a store"):
        open_folder(tmp_path)
    out = tmp_path / "picks"
    select(clips / "one.mp4", n=3, out=out, store=store, **NONE_WRITTEN)
    manifest = json.loads((out / "selection.json").read_text())
    for change, text in (
        ({"inputs": manifest["inputs"] * 2}, "two inputs have one video_id"),
        ({"parameters": {**manifest["parameters"], "damaged": "eat"}}, "damaged must be drop, keep or fail"),
        ({"parameters": {}}, "are unknown or missing"),
    ):
        (out / "selection.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(SelectionFileError, match=text):
            open_folder(out)
    with (out / "selection.json").open("wb") as file:
        file.truncate((1 << 28) + 1)
    with pytest.raises(SelectionFileError, match=r"has 268435457 bytes, at most 268435456 are read"):
        open_folder(out)
    (out / "selection.json").write_text(json.dumps(manifest))
    (out / "selection.parquet").unlink()
    with pytest.raises(SelectionFileError, match=r"selection\.parquet cannot be read: No such file"):
        open_folder(out)


def test_facts_of_a_manifest_are_of_their_types_or_left_out(tmp_path: Path, clips: Path, store: Path) -> None:
    select(clips / "one.mp4", n=3, out=tmp_path, store=store, **NONE_WRITTEN)
    manifest = json.loads((tmp_path / "selection.json").read_text())
    manifest["inputs"][0] |= {
        "frame_count": "many",
        "duration_seconds": -3,
        "signals": {"flow": {"dynamicity": "<b>"}, "ssim": 3},
        "notes": "none",
        "method": None,
        "status": "splendid",
    }
    (tmp_path / "selection.json").write_text(json.dumps(manifest))
    video = open_folder(tmp_path).videos[0]
    assert video.facts == {
        "status": "failed",
        "frame_count": 0,
        "duration_seconds": 0.0,
        "method": "",
        "notes": (),
        "dynamicity": {},
    }
    assert (
        video.problem is not None and "could not be used when the selection was made" in video.problem.message
    )


def test_a_store_says_which_videos_it_cannot_place(tmp_path: Path, clips: Path, store: Path) -> None:
    root = tmp_path / "store"
    path = tmp_path / "moved.mp4"
    path.write_bytes((clips / "one.mp4").read_bytes())
    os.utime(path, (1, 1))
    select(path, n=3, store=root, out=tmp_path / "picks", **NONE_WRITTEN)
    for file in (root / ".hashes").rglob("*.json"):
        file.write_text("{")
    (root / ".hashes" / "zz").mkdir(parents=True)
    found = open_folder(root)
    assert (found.kind, found.videos) == ("store", ())
    assert found.notes[0].startswith("1 measured videos are not shown: the store does not say where they lie")


def points_of(answer: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(answer["points"]["base64"]), "<f4").reshape(-1, 4)


def test_map_and_neighbours_by_what_is_in_the_store(clips: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "store", tmp_path / "picks"
    paths = [clips / "one.mp4", clips / "two.mkv"]
    select(paths, n=8, method="systematic", out=out, store=root, **NONE_WRITTEN)
    with running_viewer(out, store=root) as viewer:
        assert not viewer.json("/api/state")["features"]["map"]
        status, _, body = viewer.get("/api/map")
        assert status == 404 and b"run evfr embed with this store as --out" in body
        picks = viewer.session.picks(0)
        near = viewer.json(f"/api/neighbours/0/{picks[1]}?limit=60")
        # Without embeddings: what changes on the way, between the picks around it.
        flow = viewer.session.opened(0).measured.values["flow"]
        between = [i for i in range(picks[0], picks[2] + 1) if i not in picks]
        way = {i: flow[min(i, picks[1]) : max(i, picks[1])].sum() for i in between}
        assert near["measure"] == "flow added up on the way"
        assert [entry["frame_index"] for entry in near["neighbours"]] == sorted(
            between, key=lambda i: (way[i], abs(i - picks[1]))
        )
        for entry in near["neighbours"]:
            assert entry["distance"] == pytest.approx(way[entry["frame_index"]])
        embed(paths, model="thumbnail", out=root, executor="serial")
        assert viewer.json("/api/state")["features"]["map"], "what was embedded meanwhile is seen"
        answer = viewer.json("/api/map")
        points = points_of(answer)
        assert (answer["embedding"], answer["n_rows"], answer["n_points"]) == ("thumbnail", 96, 96)
        assert not answer["is_thinned"] and answer["n_unusable"] == 0 and answer["n_videos"] == 2
        assert points[:, :2].tolist() == [[0, i] for i in range(60)] + [[1, i] for i in range(36)]
        thinned = viewer.json("/api/map?limit=10")
        rows = points_of(thinned)[:, :2].astype(int).tolist()
        assert thinned["is_thinned"] and 10 <= len(rows) <= 10 + 8
        chosen = {(p, int(i)) for p in (0, 1) for i in viewer.session.picks(p)}
        assert chosen <= {tuple(row) for row in rows}, "what is selected stays"
        steps = sorted({60 * p + i for p, i in rows} - {60 * p + i for p, i in chosen})
        assert max(np.diff(steps)) <= 2 * 10, "the rest is spread evenly over all videos"
        near = viewer.json("/api/neighbours/0/20?limit=9")
        assert near["measure"] == "euclidean distance of thumbnail"
        entry = viewer.session.embeddings.of(viewer.session.folder.videos[0].digest)[0]
        vectors = np.array(Store(root).read(entry.key)["embedding"].to_pylist(), np.float64)
        dropped = [i for i in range(60) if i not in picks and i != 20]
        true = {i: float(np.linalg.norm(vectors[i] - vectors[20])) for i in dropped}
        nearest = sorted(dropped, key=lambda i: (true[i], abs(i - 20)))[:9]
        assert [n["frame_index"] for n in near["neighbours"]] == nearest
        assert [n["distance"] for n in near["neighbours"]] == pytest.approx(
            [true[i] for i in nearest], abs=1e-6
        )


def test_ports_and_tokens(tmp_path: Path, clips: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    select(clips / "one.mp4", n=3, out=tmp_path, store=store, **NONE_WRITTEN)
    with pytest.raises(ValueError, match=r"port must lie in 0\.\.65535, got 70000"):
        view_module.view(tmp_path, port=70000)
    with listen(0) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(
            OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use; give another"
        ):
            view_module.view(tmp_path, port=port, open=False)
    with pytest.raises(ValueError, match="token must have 16 characters or more, got 5"):
        view_module.create_app(tmp_path, token="short", port=1)
    with pytest.raises(StoreError, match="the viewer reads local stores only, got s3://bucket/store; copy"):
        view_module.create_app(tmp_path, token="x" * 32, port=1, store=Path("s3://bucket/store"))
    for module in ("uvicorn", "starlette.applications"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtraError, match=r"run: python -m pip install 'evfr\[view\]'"):
                view_module.view(tmp_path, open=False)
    shown = view_module.ViewResult(Path("picks"), "http://127.0.0.1:1/", 3)
    assert str(shown) == "viewed picks (3 videos) at http://127.0.0.1:1/"
    assert shown.to_dict() == {"folder": "picks", "url": "http://127.0.0.1:1/", "video_count": 3}


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT])
def test_the_command_prints_one_address_and_ends_well(
    how: signal.Signals, tmp_path: Path, clips: Path, store: Path
) -> None:
    select(clips / "one.mp4", n=3, out=tmp_path, store=store, **NONE_WRITTEN)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    command = [sys.executable, "-m", "evfr", "view", str(tmp_path), "--store", str(store), "--json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": f"{browser} %s"},
    )
    assert process.stderr is not None
    line = process.stderr.readline().strip()
    match = re.fullmatch(r"(http://127\.0\.0\.1:(\d+)/)\?token=([A-Za-z0-9_-]{43})", line)
    assert match is not None, line
    request = urllib.request.Request(f"{match[1]}api/videos", headers={"X-Evfr-Token": match[3]})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)[0]["n_selected"] == 3
    deadline = time.monotonic() + 20
    while not (tmp_path / "opened").exists() or not (tmp_path / "opened").read_text():
        assert time.monotonic() < deadline, "the browser is not opened"
        time.sleep(0.02)
    assert (tmp_path / "opened").read_text().strip() == line
    # A connection that a browser holds open does not keep it from ending.
    with socket.create_connection(("127.0.0.1", int(match[2]))):
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert err == "", "no access log, and no word of the server"
    assert json.loads(out) == {"folder": str(tmp_path), "url": match[1], "video_count": 1}


def test_a_method_with_a_switch_is_offered_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from evfr.sampling import SAMPLERS
    from evfr.verbs._view_routes import method_options
    from evfr.verbs._view_words import _options

    def switched(
        weights: list[float], n: int, *, seed: int = 0, wide: bool = False, most: int | None = None
    ) -> None:
        """Take all.

        Parameters
        ----------
        wide : bool
            Whether to take more.
        most : int or None
            At most so many.
        """

    monkeypatch.setitem(SAMPLERS, "switched", switched)
    offered = {option["option"]: option for option in method_options()["switched"]}
    assert offered["wide"]["type"] == "bool" and offered["most"]["type"] == "int"
    assert _options("switched", {"wide": True, "most": 3}) == {"wide": True, "most": 3}
    assert _options("switched", {"wide": False, "most": None}) == {}, "what is the default is not said"
    with pytest.raises(ValueError, match="option wide is true or false, got 'yes'"):
        _options("switched", {"wide": "yes"})


def test_several_embeddings_of_one_name_are_not_mixed_up(clips: Path, tmp_path: Path) -> None:
    """A model is never loaded to tell which of two stored embeddings a selection means."""
    from dataclasses import replace

    from evfr.verbs._view_embeddings import locate_stored
    from evfr.verbs._view_measured import NotMeasured
    from evfr.verbs._view_session import ViewSession

    root, out = tmp_path / "store", tmp_path / "picks"
    select(clips / "one.mp4", n=3, out=out, store=root, **NONE_WRITTEN)
    embed(clips / "one.mp4", model="thumbnail", out=root, executor="serial")
    session = ViewSession(out, store=root)
    source, digest = session.folder.videos[0].source, session.folder.videos[0].digest
    assert source is not None
    entry = session.embeddings.of(digest)[0]
    known = Store(root)
    columns = known.read(entry.key)
    request = replace(session.request, embedding="some/model")
    where = (session.embeddings, session.store, source, digest, request, "drop")
    with pytest.raises(
        NotMeasured, match="no embedding by some/model is in the store, and the viewer decodes nothing"
    ):
        locate_stored(*where)  # type: ignore[arg-type]
    for precision in ("fp32", "bf16"):
        embedder = {"name": "some/model", "precision": precision}
        steps = {"every": 1, "fps": None, "damaged": "drop", "embedding_schema": 1}
        key = known.key(digest, "embedding", {**embedder, **steps})
        facts = {**entry.metadata, "embedder": embedder, "model": "some/model"}
        known.write(key, columns, facts)
        if precision == "fp32":
            located, parameters = locate_stored(*where)  # type: ignore[arg-type]
            assert (located.key, parameters) == (key, embedder)
    with pytest.raises(
        NotMeasured, match="2 different embeddings by some/model, and the viewer loads no model"
    ):
        locate_stored(*where)  # type: ignore[arg-type]


def test_a_picture_too_tall_for_jpeg_is_refused() -> None:
    from evfr.verbs._view_frames import _jpeg

    with pytest.raises(ValueError, match=r"a picture of \(65600, 2, 3\) cannot be written as JPEG"):
        _jpeg(np.zeros((65600, 2, 3), np.uint8), 1920)
