"""`evfr overlay`: every frame once, at its own time, with its labels on it; wrong labels and places are refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.progress import use_progress
from evfr.annotations import write
from evfr.errors import AnnotationError, InputError, VideoError
from evfr.reports import track_colour
from evfr.verbs import _overlay_sinks
from evfr.verbs.overlay import overlay
from evfr.video import open_video, read_image

TIMES = (0, 3, 4, 9, 10, 12)
"""In 1/25 s: uneven."""


def save_clip(path: Path, width: int, height: int, *, is_odd: bool = False) -> Path:
    """Save grey frames with uneven times; H.264 in 4:4:4 can have odd sizes."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv444p" if is_odd else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        stream.options = {"crf": "10"}
        for number, at in enumerate(TIMES):
            image = np.full((height, width, 3), 60 + 20 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def square(width: int, height: int) -> Rle:
    mask = np.zeros((height, width), bool)
    mask[10:50, 20:60] = True
    return Rle.from_mask(mask)


def labels(
    width: int = 96, height: int = 64, frames: Any = (0, 2, 5), name: str = "clip"
) -> VideoAnnotations:
    video = AnnotatedVideo(name, width, height, np.array(frames, np.int64))
    rows = [
        ObjectRow(
            video_id=name,
            frame_index=frame,
            category_id=1,
            track_id=1,
            mask=square(width, height),
            source="human" if frame == 0 else "carried",
            trust=float("nan") if frame == 0 else 0.3 if frame == 5 else 0.9,
        )
        for frame in frames
    ]
    return VideoAnnotations.build((video,), (Category(1, "box"),), rows)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "clip.mp4", 96, 64)


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {"store": tmp_path / "store", "executor": "serial", "caption": False, "names": False}


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with open_video(path) as video:
        pictures, times = [], []
        for frame in video:
            pictures.append(frame.rgb().copy())
            times.append(frame.time_seconds)
    return pictures, times


def test_a_clip_has_every_frame_at_its_time(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    out = tmp_path / "look.mp4"
    result = overlay(clip, labels=labels(), out=out, **options)
    pictures, times = read(out)
    np.testing.assert_allclose(times, [at / 25 for at in TIMES], atol=1e-6)
    assert (result.frame_count, result.labelled_count, result.object_count, result.low_trust_count) == (
        6,
        3,
        3,
        1,
    )
    assert str(result) == f"wrote {out}: 6 frames, 3 objects, 1 of low trust"
    assert result.to_dict()["out"] == str(out)
    colour = np.array(track_colour(1))
    for number, picture in enumerate(pictures):
        ground = 60 + 20 * number
        inside = picture[25:35, 35:45].reshape(-1, 3).mean(axis=0)
        expected = 0.62 * ground + 0.38 * colour if number in (2, 5) else np.full(3, ground)
        np.testing.assert_allclose(inside, expected, atol=6)
        np.testing.assert_allclose(picture[55:, 70:].mean(), ground, atol=4)
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_odd_sizes_gain_one_row_and_column(tmp_path: Path, options: dict[str, Any]) -> None:
    clip = save_clip(tmp_path / "odd.mp4", 97, 65, is_odd=True)
    out = tmp_path / "look.mp4"
    overlay(clip, labels=labels(97, 65), out=out, **options)
    pictures, _ = read(out)
    assert pictures[0].shape == (66, 98, 3)
    np.testing.assert_allclose(pictures[0][65].mean(), 60, atol=4)


@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_a_folder_has_one_image_a_frame(
    clip: Path, tmp_path: Path, options: dict[str, Any], image_format: Any
) -> None:
    out = tmp_path / "look"
    overlay(clip, labels=labels(), out=out, image_format=image_format, **options)
    names = sorted(path.name for path in out.iterdir())
    assert len(names) == 6 and names[0].startswith("clip.mp4_f000000_p0") and names[0].endswith(image_format)
    inside = read_image(out / names[2])[25:35, 35:45].mean(axis=(0, 1))
    np.testing.assert_allclose(inside, 0.62 * 100 + 0.38 * np.array(track_colour(1)), atol=4)


def test_only_labelled_frames(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    out = tmp_path / "look.mp4"
    result = overlay(clip, labels=labels(), out=out, labeled_only=True, **options)
    _, times = read(out)
    # A reader counts from the first frame of a file.
    np.testing.assert_allclose(times, [0, 4 / 25, 12 / 25], atol=1e-6)
    assert result.frame_count == 3


def test_label_files_are_read_and_progress_is_told(
    clip: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = write(labels(), tmp_path / "all.parquet", format="evfr")
    seen: list[Any] = []

    class Listener:
        def start(self, label: str, total: float | None = None) -> None:
            seen.append((label, total))

        def advance(self, n: float = 1, text: str = "") -> None:
            seen.append(n)

        def finish(self) -> None:
            seen.append("end")

    with use_progress(Listener()):
        overlay(clip, labels=path, out=tmp_path / "a.mp4", **options)
    start = seen.index(("drawing", 6))
    assert seen[start + 1 : start + 8] == [1] * 6 + ["end"]


def test_captions_say_who_labelled(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    from evfr.verbs.overlay import _caption

    given = labels()
    rows = [given.rows_at("clip", frame) for frame in (0, 2)]
    none = np.zeros(0, np.int64)
    assert _caption(given, rows[0], 0, 0.0, True) == "frame 0  0:00.00  labelled"
    assert _caption(given, rows[1], 2, 64.16, True) == "frame 2  1:04.16  carried  least trust 0.90"
    assert _caption(given, none, 3, 1.0, True) == "frame 3  0:01.00  labelled: nothing here"
    assert _caption(given, none, 4, 1.0, False) == "frame 4  0:01.00  no label"
    overlay(clip, labels=given, out=tmp_path / "a", **{**options, "caption": True, "names": True})


def test_places_that_will_not_do(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r"look\.avi: give a name that ends in \.mp4 for a clip, or a folder"
    ):
        overlay(clip, labels=labels(), out=tmp_path / "look.avi", **options)
    taken = tmp_path / "look.mp4"
    taken.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"look\.mp4 is there already; give a new name"):
        overlay(clip, labels=labels(), out=taken, **options)
    assert taken.read_bytes() == b"mine"
    with pytest.raises(InputError, match="is there already; give a new name"):
        overlay(clip, labels=labels(), out=tmp_path, **options)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(InputError, match="is a folder; give a file name for the clip"):
        overlay(clip, labels=labels(), out=tmp_path / "folder.mp4", **options)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"low_trust": 1.5}, r"low_trust must lie in 0\.\.1, got 1.5"),
        ({"quality": 0}, r"quality must lie in 1\.\.100, got 0"),
        ({"crf": 52}, r"crf must lie in 0\.\.51, got 52"),
    ],
)
def test_arguments_out_of_range(clip: Path, tmp_path: Path, wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        overlay(clip, labels=labels(), out=tmp_path / "a.mp4", **wrong)


def test_labels_that_do_not_fit(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    out = tmp_path / "a.mp4"
    with pytest.raises(
        AnnotationError, match="1 labelled frames do not exist in the video, which has frames 0 to 5"
    ):
        overlay(clip, labels=labels(frames=(0, 6)), out=out, **options)
    with pytest.raises(AnnotationError, match="made at 192x128 pixels, and the video has 96x64"):
        overlay(clip, labels=labels(192, 128), out=out, **options)
    overlay(clip, labels=labels(192, 128), out=tmp_path / "scaled.mp4", label_scale=0.5, **options)
    with pytest.raises(
        AnnotationError, match=r"the labels have no annotated frame of clip\.mp4; there is nothing"
    ):
        overlay(clip, labels=labels(frames=()), out=out, **options)
    with pytest.raises(AnnotationError, match="the labels are of no video; give a file"):
        overlay(clip, labels=VideoAnnotations.build((), (), []), out=out, **options)
    with pytest.raises(AnnotationError, match="does not exist"):
        overlay(clip, labels=tmp_path / "none.json", out=out, **options)
    assert not out.exists() and not list(tmp_path.glob(".evfr-*"))


def test_one_of_several_videos_is_named(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    from evfr._core.annotations import concatenate

    both = concatenate([labels(name="a"), labels(name="b")])
    with pytest.raises(
        AnnotationError,
        match=r"2 videos and none is certainly 'clip\.mp4'; give label_video, one of \['a', 'b'\]",
    ):
        overlay(clip, labels=both, out=tmp_path / "a.mp4", **options)
    assert overlay(clip, labels=both, out=tmp_path / "a.mp4", label_video="b", **options).object_count == 3
    named = concatenate([labels(name="a"), labels(name="clip.mp4")])
    assert overlay(clip, labels=named, out=tmp_path / "b.mp4", **options).object_count == 3


def test_one_video_at_a_time(clip: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    save_clip(tmp_path / "other.mp4", 96, 64)
    with pytest.raises(ValueError, match=r"give one video; .* holds 2"):
        overlay(tmp_path, labels=labels(), out=tmp_path / "a.mp4", **options)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match="E_CONTAINER"):
        overlay(tmp_path / "bad.mp4", labels=labels(), out=tmp_path / "a.mp4", **options)


def test_a_clip_that_fails_leaves_nothing(
    clip: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sink: Any) -> None:
        sink._container.mux(sink._stream.encode(None))
        assert list(tmp_path.glob(".evfr-*"))
        raise RuntimeError("disk full")

    monkeypatch.setattr(_overlay_sinks.ClipSink, "finish", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        overlay(clip, labels=labels(), out=tmp_path / "a.mp4", **options)
    assert not (tmp_path / "a.mp4").exists() and not list(tmp_path.glob(".evfr-*"))


def test_a_build_without_the_encoder_is_told(
    clip: Path, tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("no codec")

    monkeypatch.setattr(av, "Codec", refuse)
    with pytest.raises(VideoError, match=r"has no H\.264 encoder \(libx264\); write a folder of images"):
        overlay(clip, labels=labels(), out=tmp_path / "a.mp4", **options)
