"""`evfr embed`: rows equal to embedding by hand, on any executor, resumable, bad videos never cost the good ones."""

from __future__ import annotations

import json
import shutil
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import evfr
from evfr import cli
from evfr._core.progress import use_progress
from evfr._core.store import Store
from evfr.embeddings import EMBEDDERS
from evfr.errors import InputError, StoreError
from evfr.verbs._embed_pass import Ticks
from evfr.verbs._embedding import EmbeddedVideo, embed_sources
from evfr.video import frames, open_video, resolve_inputs
from helpers.clips import moving_square, write_clip
from helpers.fake_model import BadPreprocess, FakeModel, FakePreprocess


def embedded(paths: Any, store: Path, **options: Any) -> list[EmbeddedVideo]:
    paths = [paths] if isinstance(paths, Path) else list(paths)
    return embed_sources(resolve_inputs(paths), store=store, **{"jobs": 2, **options})


def by_hand(path: Path, embedder: Any, indices: Any = None) -> np.ndarray:
    pictures = [f.image for f in frames(path, damaged="keep") if indices is None or f.frame_index in indices]
    return np.concatenate([embedder([picture]) for picture in pictures]).astype(np.float16)


@pytest.mark.parametrize("name", sorted(EMBEDDERS))
def test_light_rows_equal_embedding_by_hand(clips: Path, tmp_path: Path, name: str) -> None:
    (video,) = embedded(clips / "one.mp4", tmp_path, model=name, executor="serial")
    assert np.array_equal(video.vectors, by_hand(clips / "one.mp4", EMBEDDERS[name]))
    assert video.frame_index.tolist() == list(range(60))
    assert video.vectors.dtype == np.float16 and not video.vectors.flags.writeable


def test_entry_holds_what_readers_of_the_store_need(clips: Path, tmp_path: Path) -> None:
    (video,) = embedded(clips / "one.mp4", tmp_path, model="hsv", every=7, executor="serial")
    store = Store(tmp_path)
    assert video.key is not None and video.frames_key is not None
    entry = store.read_entry(video.key)
    assert entry.table.column_names == ["frame_index", "pts", "time_seconds", "embedding"]
    assert entry.table["frame_index"].to_pylist() == list(range(0, 60, 7))
    with open_video(clips / "one.mp4") as reader:
        list(reader)
        table = reader.table()
    assert entry.table["pts"].to_pylist() == table.pts[::7].tolist()
    assert entry.table["time_seconds"].to_pylist() == table.time_seconds[::7].tolist()
    assert entry.metadata == {
        "video_id": "one.mp4",
        "embedder": EMBEDDERS["hsv"].parameters,
        "model": "hsv",
        "every": 7,
        "fps": None,
    }
    parameters = json.loads(entry.key.parameters)
    assert parameters == {
        **EMBEDDERS["hsv"].parameters,
        "every": 7,
        "fps": None,
        "damaged": "drop",
        "embedding_schema": 1,
    }


def test_the_same_pass_measures_what_a_selection_needs(clips: Path, tmp_path: Path) -> None:
    for number, path in enumerate((clips / "one.mp4", clips / "two.mkv")):
        embedded(path, tmp_path, model=("dct", FakeModel())[number], executor="serial")
    evfr.score(
        [clips / "one.mp4", clips / "two.mkv"], signals=["difference"], out=tmp_path / "b", executor="serial"
    )
    written = [
        {path.name: path.read_bytes() for path in Store(root).files("frames")}
        for root in (tmp_path, tmp_path / "b")
    ]
    assert len(written[0]) == 2 and written[0] == written[1]


def test_every_and_fps_by_true_time(tmp_path: Path) -> None:
    # 10 frames a second, a pause of a second, then 50 a second: index / rate would lie.
    pts = [*range(0, 1000, 100), *range(2000, 2400, 20)]
    clip = write_clip(tmp_path / "v.mkv", moving_square(30), pts=pts, time_base=Fraction(1, 1000))
    (whole,) = embedded(clip, tmp_path / "s", model="thumbnail", executor="serial")
    times = Store(tmp_path / "s").read(whole.key)["time_seconds"].to_numpy()  # type: ignore[arg-type]
    for fps in (1.0, 5.0, 7.0, 10.0, 25.0, 50.0, 1000.0):
        (video,) = embedded(clip, tmp_path / "s", model="thumbnail", fps=fps, executor="serial")
        ticks = np.arange(0, times[-1] + 1 / fps, 1 / fps)
        truth = sorted({int(np.argmax(times >= t - 1e-7)) for t in ticks if t <= times[-1] + 1e-7})
        assert video.frame_index.tolist() == truth, fps
        assert np.array_equal(video.vectors, whole.vectors[video.frame_index])
    (video,) = embedded(clip, tmp_path / "s", model="thumbnail", every=4, executor="serial")
    assert video.frame_index.tolist() == list(range(0, 30, 4))


def test_ticks_of_a_clock() -> None:
    ticks = Ticks(None, 10.0)
    assert [ticks.takes(i, 0.1 * i) for i in range(50)] == [True] * 50, "3 x 0.1 is the third tick"
    ticks = Ticks(None, 3.0)
    assert sum(ticks.takes(i, i / 30) for i in range(90)) == 9


def test_every_and_fps_out_of_range(clips: Path, tmp_path: Path) -> None:
    for options, text in (
        ({"every": 0}, "every must be 1 or more, got 0"),
        ({"every": -3}, "every must be 1 or more"),
        ({"fps": float("nan")}, "fps must be a positive number"),
        ({"fps": float("inf")}, "fps must be a positive number"),
        ({"fps": 0.0}, "fps must be a positive number"),
        ({"fps": 2.0, "every": 2}, "every and fps exclude each other"),
    ):
        with pytest.raises(ValueError, match=text):
            evfr.embed(clips / "one.mp4", model="hsv", out=tmp_path, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


class Listener:
    """Remember what is told of progress."""

    def __init__(self) -> None:
        self.total = 0.0
        self.told: list[str] = []

    def start(self, label: str, total: float | None = None) -> None:
        self.told.append(f"{label} {total}")

    def advance(self, n: float = 1, text: str = "") -> None:
        self.total += n
        self.told.append(text)

    def finish(self) -> None:
        self.told.append("end")

    def assert_has_heard_of(self, videos: int) -> None:
        assert self.told[0] == f"embedding {videos}" and self.told.count("end") >= 1
        assert self.total == pytest.approx(videos)
        assert any("frames/s" in text and "left" in text for text in self.told)


@pytest.fixture(scope="module")
def by_processes(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, FakeModel, Listener]:
    """Run a model over two good videos, a broken and a missing one, decoded by two processes: once for all."""
    model, listener = FakeModel(), Listener()
    out = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch, use_progress(listener):
        # On a busy machine the second child may start so late that what is gathered would not be held back.
        patch.setattr("evfr.verbs._embed_ahead._IDLE_SECONDS", 60.0)
        result = evfr.embed([clips, clips / "gone.mp4"], model=model, out=out, jobs=2, executor="processes")
    return result, model, listener


def test_model_runs_here_on_full_batches_over_video_borders(
    clips: Path, by_processes: tuple[Any, FakeModel, Listener]
) -> None:
    result, model, _ = by_processes
    names = ("one.mp4", "two.mkv")
    stored = embedded([clips / name for name in names], result.store, model=FakeModel(), executor="serial")
    for name, video in zip(names, stored, strict=True):
        assert video.is_cached
        assert np.allclose(video.vectors, by_hand(clips / name, FakeModel()), rtol=2e-3, atol=1e-5)
    assert sum(model.batches) == 96 and sorted(model.batches)[1:] == [16] * (len(model.batches) - 1)
    assert len(model.threads) == 1 and threading.get_ident() not in model.threads


PROCESSES_TOO = ["serial", pytest.param("processes", marks=pytest.mark.slow)]


@pytest.mark.parametrize("executor", PROCESSES_TOO)
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_vectors_do_not_depend_on_batches_or_executor(
    clips: Path, tmp_path: Path, executor: str, batch_size: int
) -> None:
    path = clips / "two.mkv"
    (video,) = embedded(path, tmp_path, model=FakeModel(batch_size=batch_size), executor=executor)
    assert np.allclose(
        video.vectors.astype(float), by_hand(path, FakeModel()).astype(float), rtol=2e-3, atol=1e-5
    )


def test_a_callable_executor_is_served(clips: Path, tmp_path: Path) -> None:
    from evfr.distributed import EXECUTORS

    seen = []

    def mine(fn: Any, items: Any, options: Any) -> Any:
        seen.append(len(items))
        return EXECUTORS["serial"](fn, items, options)

    videos = embedded([clips / "one.mp4", clips / "two.mkv"], tmp_path, model=FakeModel(), executor=mine)
    assert seen == [2] and [video.status for video in videos] == ["ok", "ok"]


@pytest.mark.slow
def test_light_embedders_give_the_same_bytes_on_any_number_of_workers(clips: Path, tmp_path: Path) -> None:
    for name, options in (("a", {"executor": "serial"}), ("b", {"jobs": 1}), ("c", {"jobs": 2})):
        evfr.embed(clips, model="dct", out=tmp_path / name, **options)  # type: ignore[arg-type]
    files = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.parquet")}
        for n in "abc"
    ]
    assert files[0] == files[1] == files[2] and len(files[0]) == 4


def test_nothing_is_computed_twice_and_damage_is_mended(clips: Path, tmp_path: Path) -> None:
    paths = [clips / "one.mp4", clips / "two.mkv"]
    for path in paths:
        shutil.copy(path, tmp_path)
    copies = [tmp_path / path.name for path in paths]
    first = FakeModel()
    before = embedded(copies, tmp_path / "s", model=first, executor="serial")
    again = FakeModel()
    videos = embedded(copies, tmp_path / "s", model=again, executor="serial")
    assert [video.is_cached for video in videos] == [True, True] and again.batches == []
    assert before[1].key is not None
    file = Store(tmp_path / "s").path(before[1].key)
    file.write_bytes(file.read_bytes()[:-40])
    mended = embedded(copies, tmp_path / "s", model=again, executor="serial")
    assert [video.is_cached for video in mended] == [True, False] and sum(again.batches) == 36
    assert np.array_equal(mended[1].vectors, before[1].vectors)
    other = FakeModel(preprocess=FakePreprocess(6))
    assert not embedded(copies, tmp_path / "s", model=other, executor="serial")[0].is_cached, (
        "another preprocessing, another key"
    )


def test_unreadable_video_among_good_ones(
    clips: Path,
    by_processes: tuple[Any, FakeModel, Listener],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [clips, clips / "gone.mp4"]
    for result in (evfr.embed(paths, model="hsv", out=tmp_path, executor="serial"), by_processes[0]):
        assert [video.status for video in result.videos] == ["failed", "ok", "ok", "failed"]
        assert {str(problem.code) for problem in result.problems} == {"E_CONTAINER", "E_NOT_FOUND"}
        assert result.failed_count == 2 and result.vector_count == 96
        assert json.dumps(result.to_dict())
    with pytest.raises(SystemExit) as exit_:
        cli.main(["embed", str(clips), "--model", "hsv", "--out", str(tmp_path), "--executor", "serial"])
    assert exit_.value.code == 3
    text = capsys.readouterr()
    assert "96 vectors of 256 numbers by hsv" in text.out and "from the store" in text.out
    assert "broken.mp4" in text.err


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("kill", "E_CRASH"),
        ("hang_once", None),
        pytest.param("hang", "E_TIMEOUT", marks=pytest.mark.slow),
        pytest.param("bug", "E_CRASH", marks=pytest.mark.slow),
        pytest.param("kill_once", None, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_decoder_that_dies_or_hangs_costs_only_its_video(
    clips: Path, tmp_path: Path, what: str, code: str | None
) -> None:
    model = FakeModel(preprocess=BadPreprocess(what=what, marks=str(tmp_path), after=20))
    one, two = embedded(
        [clips / "one.mp4", clips / "two.mkv"],
        tmp_path / "s",
        model=model,
        timeout_seconds=8.0 if what.startswith("hang") else 120.0,
    )
    assert np.allclose(one.vectors, by_hand(clips / "one.mp4", FakeModel()), rtol=2e-3, atol=1e-5)
    if code is None:
        assert np.allclose(two.vectors, by_hand(clips / "two.mkv", FakeModel()), rtol=2e-3, atol=1e-5)
    else:
        assert two.status == "failed" and two.vectors.shape == (0, 0)
        assert [str(problem.code) for problem in two.problems] == [code]
        assert two.problems[0].source == "two.mkv"


@pytest.mark.slow
def test_slow_model_is_no_hang_of_the_decoder(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evfr.verbs._embed_ahead.QUEUE_BYTES", 1)
    model = FakeModel(preprocess=FakePreprocess(160), seconds_per_batch=2.0)
    (video,) = embedded(clips / "one.mp4", tmp_path, model=model, timeout_seconds=4.0, jobs=1)
    assert video.status == "ok" and len(model.batches) == 4


@pytest.mark.slow
def test_broken_model_ends_the_run_with_its_own_error(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the device is gone"):
        embedded([clips / "one.mp4", clips / "two.mkv"], tmp_path, model=FakeModel(fails_at_batch=1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evfr-")]
    videos = embedded([clips / "one.mp4", clips / "two.mkv"], tmp_path, model=FakeModel())
    assert [video.status for video in videos] == ["ok", "ok"]


@pytest.mark.parametrize("executor", PROCESSES_TOO)
def test_vectors_that_do_not_fit_or_mean_nothing_are_said(clips: Path, tmp_path: Path, executor: str) -> None:
    (video,) = embedded(clips / "one.mp4", tmp_path, model=FakeModel(scale=1e9), executor=executor)
    assert video.status == "failed" and "65504" in video.problems[0].message
    (video,) = embedded(clips / "one.mp4", tmp_path, model=FakeModel(scale=0.0), executor=executor)
    (problem,) = video.problems
    assert (str(problem.code), problem.count, problem.frame_index) == ("W_SIGNAL", 60, 0)
    (video,) = embedded(clips / "one.mp4", tmp_path, model=FakeModel(scale=float("nan")), executor=executor)
    assert video.status == "ok" and video.problems[0].count == 60


def test_embedder_that_breaks_the_contract(clips: Path, tmp_path: Path) -> None:
    class Nameless:
        def __call__(self, frames: Any) -> Any:
            return np.zeros((len(frames), 2), np.float32)

    with pytest.raises(ValueError, match="has no 'parameters' mapping, so its vectors cannot be named"):
        evfr.embed(clips / "one.mp4", model=Nameless(), out=tmp_path)  # type: ignore[arg-type]

    class Short(Nameless):
        parameters = {"name": "short"}  # noqa: RUF012

        def __call__(self, frames: Any) -> Any:
            return np.zeros((0, 2), np.float32)

    result = evfr.embed(clips / "one.mp4", model=Short(), out=tmp_path, executor="serial")  # type: ignore[arg-type]
    assert "it must make (N, D) of N frames" in result.problems[0].message


def test_bad_places_and_models(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file; give the path of a folder"):
        evfr.embed(clips / "one.mp4", model="hsv", out=tmp_path / "file")
    with pytest.raises(ValueError, match="embedding must be one of"):
        evfr.embed(clips / "one.mp4", model="no such model", out=tmp_path / "s")
    with pytest.raises(InputError, match="cannot read the model"):
        evfr.embed(clips / "one.mp4", model=str(tmp_path / "gone.onnx"), out=tmp_path / "s")
    with pytest.raises(InputError, match="no videos in what was given"):
        evfr.embed([], model="hsv", out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
    (tmp_path / "empty").mkdir()
    result = evfr.embed(tmp_path / "empty", model="hsv", out=tmp_path / "s", executor="serial")
    assert [str(problem.code) for problem in result.problems] == ["E_EMPTY"] and result.dimension == 0


def test_store_of_another_version_is_refused(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evfr.embed(clips / "one.mp4", model="hsv", out=tmp_path, executor="serial")
    monkeypatch.setattr("evfr._core.store_format.STORE_SCHEMA", 2)
    with pytest.raises(StoreError, match="has store schema 1, this evfr reads 2"):
        evfr.embed(clips / "one.mp4", model="hsv", out=tmp_path, executor="serial")


def test_shards_divide_the_work(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        evfr.embed(clips, model="hsv", out=tmp_path, shard=f"{k}/2", executor="serial") for k in range(2)
    ]
    names = [{video.video_id for video in part.videos} for part in parts]
    assert names[0] | names[1] == {"one.mp4", "two.mkv", "broken.mp4"} and not names[0] & names[1]
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    mine = evfr.embed(clips, model="hsv", out=tmp_path, shard="env", executor="serial")
    assert {video.video_id for video in mine.videos} == names[1]
    assert all(video.is_cached for video in mine.videos if video.status == "ok")
    assert len(evfr.embed(clips, model="hsv", out=tmp_path, executor="serial").videos) == 3, (
        "the environment is read only when asked"
    )
    many = [evfr.embed(clips / "one.mp4", model="hsv", out=tmp_path, shard=f"{k}/3").videos for k in range(3)]
    assert sorted(map(len, many)) == [0, 0, 1], "a rank without work is no error"


def test_damaged_frames_have_rows_and_undecoded_ones_none(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "codec" / "corrupted.mp4"
    with open_video(path) as reader:
        list(reader)
        table = reader.table()
    for model in ("hsv", FakeModel()):
        (video,) = embedded(path, tmp_path, model=model, executor="serial")
        assert video.status == "partial" and "W_CORRUPT" in {str(problem.code) for problem in video.problems}
        assert video.frame_index.tolist() == np.flatnonzero(table.is_decoded).tolist()
        assert table.is_suspect[video.frame_index].any()
    (video,) = embedded(path, tmp_path, model="hsv", damaged="fail", executor="serial")
    assert [str(problem.code) for problem in video.problems] == ["E_DAMAGED"]


def test_folders_and_zips_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, picture in enumerate(moving_square(5)):
        cv2.imwrite(str(folder / f"{k}.png"), picture)
    (folder / "2.png").write_bytes(b"no picture")
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    for model in ("thumbnail", FakeModel()):
        videos = embedded([folder, tmp_path / "packed.zip"], tmp_path / "s", model=model, executor="serial")
        assert [video.frame_index.tolist() for video in videos] == [[0, 1, 3, 4]] * 2
        assert np.array_equal(videos[0].vectors, videos[1].vectors)
        cached = embedded([folder, tmp_path / "packed.zip"], tmp_path / "s", model=model, executor="serial")
        assert [video.is_cached for video in cached] == [True, True]
    (video,) = embedded(folder, tmp_path / "s", model=FakeModel(), every=2, executor="serial")
    assert video.frame_index.tolist() == [0, 4]


@pytest.mark.parametrize("executor", PROCESSES_TOO)
def test_no_frame_wanted_gives_no_rows(tmp_path: Path, executor: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k, picture in enumerate(moving_square(3)):
        cv2.imwrite(str(folder / f"{k}.png"), picture)
    (folder / "0.png").write_bytes(b"no picture")
    (video,) = embedded(folder, tmp_path / "s", model=FakeModel(), every=3, executor=executor)
    assert video.vectors.shape == (0, 12) and video.status == "partial"


def test_pictures_of_changing_prepared_size(clips: Path, tmp_path: Path) -> None:
    class AsItIs(FakePreprocess):
        def __call__(self, frame: Any) -> Any:
            return np.ascontiguousarray(frame[::12, ::12])

    for executor in ("serial",):
        model = FakeModel(preprocess=AsItIs())
        videos = embedded([clips / "one.mp4", clips / "two.mkv"], tmp_path, model=model, executor=executor)
        assert [len(video.vectors) for video in videos] == [60, 36]


def test_progress_tells_rate_and_time_left(
    clips: Path, by_processes: tuple[Any, FakeModel, Listener], tmp_path: Path
) -> None:
    listener = Listener()
    with use_progress(listener):
        embedded([clips / "one.mp4", clips / "two.mkv"], tmp_path, model="hsv", executor="serial")
    listener.assert_has_heard_of(2)
    by_processes[2].assert_has_heard_of(4)
