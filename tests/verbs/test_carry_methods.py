"""Methods by name: options are the method's own, motion comes from where it was said, and what counts is in the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evfr
from evfr import cli
from evfr.annotations import AnnotatedVideo, Category, ObjectRow, Rle, VideoAnnotations
from evfr.errors import InputError
from evfr.verbs import _carry_method
from helpers.clips import write_clip
from helpers.moving import Mover, draw

MOVERS = [Mover((40, 30), (0.5, 2.0)), Mover((60, 100), (-0.6, -1.5), (9.0, 11.0), 5)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, VideoAnnotations]:
    frames, masks = draw(MOVERS, 12)
    path = write_clip(tmp_path_factory.mktemp("drawn") / "clip.mp4", frames, options={"crf": "16"})
    video = AnnotatedVideo("clip.mp4", 128, 96, np.array([0, 11]))
    rows = [
        ObjectRow("clip.mp4", t, 1 + k, 5 + k, mask=Rle.from_mask(masks[t, k]))
        for t in (0, 11)
        for k in (0, 1)
    ]
    return path, VideoAnnotations.build([video], [Category(1, "car"), Category(2, "bus")], rows)


@pytest.fixture
def carry(drawn: tuple[Path, VideoAnnotations], tmp_path: Path) -> Any:
    path, labels = drawn

    def run(method: str, source: Path = path, **options: Any) -> Any:
        return evfr.propagate(
            source,
            labels=labels,
            out=tmp_path / "all.parquet",
            method=method,
            method_options=options,
            store=tmp_path / "store",
            executor="serial",
        )

    return run


@pytest.mark.parametrize("vectors", ["proxy", "stream"])
def test_covos_carries_every_frame_and_prints_its_cost(carry: Any, vectors: str) -> None:
    result = carry("covos", vectors=vectors)
    assert result.annotations.videos[0].frame_index.tolist() == list(range(12))
    (cost,) = [note for note in result.notes if "T_base" in note]
    assert "key frames 2 of 12" in cost and "T_prop" in cost and "T_corr" in cost
    again = carry("covos", vectors=vectors)
    assert not any("T_base" in note for note in again.notes), "nothing ran"
    assert again.annotations.equals(result.annotations)


def test_the_step_field_is_chosen_openly_and_recorded(carry: Any) -> None:
    assert any("motion from stream" in note for note in carry("motion", step="stream").notes)
    assert any("motion from proxy" in note for note in carry("motion").notes)
    assert not any("motion from" in note for note in carry("default", step="dis").notes)
    with pytest.raises(ValueError, match="no step fields named 'magic'"):
        carry("default", step="magic")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"base": Path("x.onnx")}, "base and base_classes go together"),
        ({"base_classes": {"1": 2}}, "base and base_classes go together"),
        ({"correction": "paper"}, "go with a decoder"),
        ({"features": Path("x.safetensors")}, "go with a decoder"),
        ({"base": Path("x.onnx"), "base_classes": {"1": 2}}, "no label for category 2 of track 6; it has 1"),
        ({"base": Path("x.onnx"), "base_classes": {"1": 2, "2": 2}}, "cannot tell them apart"),
    ],
)
def test_words_that_do_not_go_together(carry: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        carry("covos", **options)


def test_a_model_that_is_not_there_and_pictures_without_vectors(
    carry: Any, drawn: tuple[Path, VideoAnnotations], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no model at"):
        carry("covos", base=tmp_path / "none.onnx", base_classes={"1": 2, "2": 3})
    with pytest.raises(InputError, match="none"):
        carry("covos", decoder=tmp_path / "none.safetensors")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for frame in evfr.video.frames(drawn[0]):
        evfr.video.write_frame(frame, folder / f"{frame.frame_index:03}.png")
    assert carry("covos", source=folder).label_count == 2
    with pytest.raises(ValueError, match="pictures have none"):
        carry("covos", source=folder, vectors="stream")
    with pytest.raises(ValueError, match="motion needs the step fields 'stream', got"):
        carry("motion", source=folder, step="stream")


def test_weights_are_known_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "w.bin").write_bytes(b"one")
    first = _carry_method._files({"session": str(tmp_path / "a"), "step": "dis", "n": 3})
    (tmp_path / "a").rename(tmp_path / "b")
    moved = _carry_method._files({"session": str(tmp_path / "b")})
    (tmp_path / "b" / "w.bin").write_bytes(b"two")
    changed = _carry_method._files({"session": str(tmp_path / "b")})
    assert first == moved != changed and list(first) == ["file-session"]
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _carry_method.other  # noqa: B018


def test_options_of_other_methods_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(
            ["propagate", "x.mp4", "--labels", "y", "--out", "z.parquet", "--method", "copy", "--step", "dis"]
        )
    assert caught.value.code == 2 and "not of --method copy" in capsys.readouterr().err
