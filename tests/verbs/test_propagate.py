"""`evfr propagate`: labels of people come back unchanged, the rest is carried, judged and open to review."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evfr
from evfr import cli
from evfr._core.annotations import SOURCES, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle, iou
from evfr.annotations import read, write
from evfr.errors import AnnotationError, VideoError
from evfr.propagation import Carried, CarryEnd, Interval
from evfr.propagation import _copy as copy_module
from evfr.video import scan
from helpers.clips import remux, write_clip
from helpers.moving import Mover, draw

KEYS = (0, 6, 12, 18)
MOVERS = [Mover((40, 30), (0.5, 2.0)), Mover((60, 100), (-0.6, -1.5), (9.0, 11.0), 5)]
CARRIED = SOURCES.index("carried")


def rows_of(masks: Any, frames: Any, video_id: str = "clip.mp4") -> list[ObjectRow]:
    return [
        ObjectRow(video_id, int(t), 1 + k, 10 * (k + 1), mask=Rle.from_mask(masks[t, k]))
        for t in frames
        for k in range(masks.shape[1])
        if masks[t, k].any()
    ]


def labels_of(masks: Any, frames: Any = KEYS, **facts: Any) -> VideoAnnotations:
    video = AnnotatedVideo("clip.mp4", masks.shape[3], masks.shape[2], np.array(frames), **facts)
    return VideoAnnotations.build([video], [Category(1, "car"), Category(2, "bus")], rows_of(masks, frames))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a clip of 20 frames with two moving objects, and their true masks."""
    frames, masks = draw(MOVERS, 20)
    folder = tmp_path_factory.mktemp("drawn")
    path = write_clip(folder / "clip.mp4", frames, options={"crf": "16"})
    return path, masks


@pytest.fixture
def options(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "out": tmp_path / "out" / "all.parquet",
        "store": tmp_path / "store",
        "executor": "serial",
        "held_out": 2,
    }


def test_labels_of_people_are_unchanged_and_every_other_frame_is_carried(
    drawn: tuple[Path, Any], options: dict[str, Any]
) -> None:
    path, masks = drawn
    given = labels_of(masks)
    result = evfr.propagate(path, labels=given, **options)
    written = read(options["out"])
    assert written.equals(result.annotations)
    assert written.videos[0].frame_index.tolist() == list(range(20))
    table, _, _ = scan(path)
    assert written.videos[0].pts.tolist() == table.pts.tolist() and written.videos[0].content_hash
    human = written.take(written.source != CARRIED)
    assert [row.mask for row in human.objects()] == [row.mask for row in given.objects()]
    assert human.track_id.tolist() == given.track_id.tolist() and np.isnan(human.trust).all()
    carried = written.take(written.source == CARRIED)
    assert set(carried.frame_index.tolist()) == set(range(20)) - set(KEYS)
    assert ((carried.trust > 0) & (carried.trust <= 1)).all()
    # Key gap 6 on clean drawn objects: a carry that does not move anything has .55 here.
    overlap = [
        iou(mask, Rle.from_mask(masks[t, track // 10 - 1]))
        for mask, t, track in zip(carried.masks, carried.frame_index, carried.track_id, strict=True)
        if mask is not None
    ]
    assert np.mean(overlap) > 0.85
    assert result.kept_count == len(carried) and (result.dropped_count, result.ask_count) == (0, 0)
    assert result.expected_iou.low <= result.expected_iou.mean <= result.expected_iou.high
    assert result.expected_iou.held_out_frames == 2
    assert abs(result.expected_iou.mean - np.mean(overlap)) < 0.2


def test_review_folder_is_a_selection_that_extract_takes(
    drawn: tuple[Path, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    path, masks = drawn
    result = evfr.propagate(path, labels=labels_of(masks), review_n=4, method="copy", **options)
    assert result.review_folder == options["out"].parent / "all-review"
    chosen = evfr.Selection.load(result.review_folder)
    assert sorted(result.review.frame_index.tolist()) == chosen.indices.tolist()
    assert len(chosen) == 4 and not set(KEYS) & set(chosen.indices.tolist())
    order = chosen.table.sort_by("rank")["frame_index"].to_pylist()
    assert order == result.review.frame_index.tolist()
    assert chosen.table["reason"][0].as_py().startswith("mean trust")
    found = evfr.extract(chosen, out=tmp_path / "frames", store=options["store"], executor="serial")
    assert len(found.files["clip.mp4"]) == 4
    page = (result.review_folder / "report.html").read_text()
    assert "--labels LABELS" in page and "--review-n 4 --method copy" not in page
    assert "--method copy --review-n 4" in page and "--held-out 2" in page


@pytest.mark.parametrize(
    ("low_trust", "drop_by"), [("keep", "frame"), ("drop", "frame"), ("drop", "object"), ("ask", "frame")]
)
def test_objects_below_the_limit_are_kept_dropped_or_asked(
    drawn: tuple[Path, Any], options: dict[str, Any], low_trust: Any, drop_by: Any
) -> None:
    path, masks = drawn
    common = {**options, "method": "copy", "labels": labels_of(masks)}
    everything = evfr.propagate(path, **common).annotations
    carried = everything.take(everything.source == CARRIED)
    limit = float(np.median(carried.trust))
    below = carried.trust < limit
    result = evfr.propagate(path, min_trust=limit, low_trust=low_trust, drop_by=drop_by, **common)
    kept = result.annotations.take(result.annotations.source == CARRIED)
    assert result.kept_count + result.dropped_count + result.ask_count == len(carried)
    if low_trust == "keep":
        assert result.annotations.equals(everything) and result.kept_count == len(carried)
        return
    assert (result.dropped_count, result.ask_count)[low_trust == "ask"] == below.sum() > 0
    bad_frames = set(carried.frame_index[below].tolist())
    if drop_by == "frame":
        assert set(kept.frame_index.tolist()) == set(carried.frame_index.tolist()) - bad_frames
        assert not bad_frames & set(result.annotations.videos[0].frame_index.tolist())
    else:
        assert kept.equals(carried.take(~below)) or len(kept) == (~below).sum()
        assert result.annotations.videos[0].frame_index.tolist() == list(range(20))
    assert set(KEYS) <= set(result.annotations.videos[0].frame_index.tolist())
    if low_trust == "ask":
        asked = read(result.review_folder / "ask.parquet")  # type: ignore[operator]
        assert asked.equals(result.asked) and len(asked) == below.sum()
        assert set(asked.frame_index.tolist()) == bad_frames
        again = evfr.propagate(path, **common)
        assert not (again.review_folder / "ask.parquet").exists()  # type: ignore[operator]


def test_a_cut_ends_the_carry_and_what_no_label_reaches_comes_first_in_the_queue(
    options: dict[str, Any], tmp_path: Path
) -> None:
    frames, masks = draw(MOVERS, 18, cut=8)
    path = write_clip(tmp_path / "clip.mp4", frames)
    result = evfr.propagate(path, labels=labels_of(masks, (0,)), method="copy", **options)
    assert result.annotations.videos[0].frame_index.tolist() == list(range(8))
    assert result.frame_counts["unreached"] == 10
    assert {(end.track_id, end.frame_index, end.reason) for end in result.ends} == {
        (10, 8, "cut"),
        (20, 8, "cut"),
    }
    assert result.review.frame_index[0] >= 8
    whole = evfr.propagate(path, labels=labels_of(masks, (0,)), method="copy", cuts=False, **options)
    assert whole.frame_counts["unreached"] == 0 and whole.ends == ()


def test_a_killed_run_goes_on_where_it_was(
    drawn: tuple[Path, Any], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, masks = drawn
    calls: list[tuple[int, int]] = []
    plain = copy_module.copy

    def stop_at_third(interval: Interval, *, steps: Any = None) -> Carried:
        calls.append((int(interval.frame_index[0]), int(interval.frame_index[-1])))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(interval, steps=steps)

    from evfr.propagation import PROPAGATORS

    monkeypatch.setitem(PROPAGATORS, "copy", stop_at_third)
    common = {**options, "method": "copy", "labels": labels_of(masks)}
    with pytest.raises(KeyboardInterrupt):
        evfr.propagate(path, **common)
    assert not options["out"].exists()
    begun = len(calls)
    first = evfr.propagate(path, **common)
    assert not set(calls[: begun - 1]) & set(calls[begun:]), "what was finished is not carried again"
    assert any("in the store" in note for note in first.notes)
    done = len(calls)
    second = evfr.propagate(path, **common)
    assert len(calls) == done and second.annotations.equals(first.annotations)
    other = labels_of(masks)
    other = other.take(~((other.frame_index == 6) & (other.track_id == 10)))
    evfr.propagate(path, **{**common, "labels": other})
    assert {(0, 6), (6, 12)} <= set(calls[done:]) and (12, 18) not in calls[done:]


def test_a_propagator_that_fails_on_one_stretch_leaves_the_others(
    drawn: tuple[Path, Any], options: dict[str, Any]
) -> None:
    path, masks = drawn

    def fragile(interval: Interval, *, steps: Any = None) -> Carried:
        if interval.frame_index[0] == 6:
            raise RuntimeError("out of luck")
        return copy_module.copy(interval)

    result = evfr.propagate(path, labels=labels_of(masks), method=fragile, **{**options, "held_out": 0})
    assert {end.reason for end in result.ends} == {"failed: out of luck"}
    assert {end.track_id for end in result.ends} == {10, 20}
    carried = result.annotations.take(result.annotations.source == CARRIED)
    assert set(carried.frame_index.tolist()) == set(range(20)) - set(KEYS) - set(range(7, 12))
    assert result.method == "fragile"


def test_where_an_object_was_lost_is_looked_at_first(
    drawn: tuple[Path, Any], options: dict[str, Any]
) -> None:
    path, masks = drawn

    def loses(interval: Interval, *, steps: Any = None) -> Carried:
        carried = copy_module.copy(interval)
        boxes, rows = carried.boxes_xyxy.copy(), [list(row) for row in carried.masks]
        boxes[9:, 0] = np.nan
        for row in rows[9:]:
            row[0] = None
        return replace(
            carried, boxes_xyxy=boxes, masks=tuple(map(tuple, rows)), ends=(CarryEnd(10, 9, "left", "lost"),)
        )

    result = evfr.propagate(path, labels=labels_of(masks, (0,)), method=loses, review_n=1, **options)
    assert 9 <= result.review.frame_index[0] < 20
    assert result.review.gain[0] > 5, "eleven frames without the object weigh more than those with it"


def test_boxes_and_masks_together(drawn: tuple[Path, Any], options: dict[str, Any]) -> None:
    path, masks = drawn
    given = labels_of(masks).with_boxes()
    second = given.track_id == 20
    given = replace(
        given, masks=tuple(None if is_box else mask for mask, is_box in zip(given.masks, second, strict=True))
    )
    result = evfr.propagate(path, labels=given, **options)
    found = result.annotations.take(result.annotations.track_id == 20)
    assert all(mask is None for mask in found.masks) and np.isfinite(found.boxes_xyxy).all()
    assert len(found) == 20
    assert all(mask is not None for mask in result.annotations.take(result.annotations.track_id == 10).masks)


def no_track(labels: VideoAnnotations) -> VideoAnnotations:
    return replace(labels, track_id=np.full(len(labels), -1))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (no_track, "frame 0 has no track"),
        (lambda labels: labels.take(np.zeros(len(labels), bool)), "hold no object"),
        (lambda labels: replace(labels, is_crowd=np.ones(len(labels), bool)), "is a crowd"),
        (lambda labels: replace(labels, masks=(None,) * len(labels)), "neither box nor mask"),
        (
            lambda labels: replace(
                labels, category_id=np.where(labels.frame_index == 6, 1, labels.category_id)
            ),
            "track 20 has the category .* a track keeps its category",
        ),
        (
            lambda labels: replace(labels, videos=(replace(labels.videos[0], content_hash="00"),)),
            "hash 00",
        ),
    ],
)
def test_labels_that_cannot_be_carried(
    drawn: tuple[Path, Any], options: dict[str, Any], spoil: Any, text: str
) -> None:
    path, masks = drawn
    with pytest.raises(AnnotationError, match=text):
        evfr.propagate(path, labels=spoil(labels_of(masks)), **options)


def test_labels_of_frames_or_sizes_that_the_video_does_not_have(
    drawn: tuple[Path, Any], options: dict[str, Any]
) -> None:
    path, masks = drawn
    longer = np.concatenate([masks, masks])
    with pytest.raises(AnnotationError, match="do not exist in the video, which has frames 0 to 19"):
        evfr.propagate(path, labels=labels_of(longer, (0, 30)), **options)
    with pytest.raises(AnnotationError, match="made at 64x96 pixels"):
        evfr.propagate(path, labels=labels_of(masks[..., :64], (0,)), **options)
    none = AnnotatedVideo("clip.mp4", 128, 96, np.zeros(0, np.int64))
    with pytest.raises(AnnotationError, match=r"no frame of 'clip.mp4' is labelled"):
        evfr.propagate(path, labels=VideoAnnotations.build([none], [], []), **options)


def test_which_video_and_which_frames_of_a_label_file(
    drawn: tuple[Path, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    path, masks = drawn
    dense = labels_of(masks, range(20))
    other = replace(dense.videos[0], video_id="else.mp4")
    both = VideoAnnotations.build(
        [other, replace(dense.videos[0], video_id="mine.mp4")],
        dense.categories,
        [*rows_of(masks, range(20), "else.mp4"), *rows_of(masks, range(20), "mine.mp4")],
    )
    file = write(both, tmp_path / "both.parquet", format="evfr")
    common = {**options, "method": "copy"}
    with pytest.raises(AnnotationError, match=r"2 videos and none is certainly 'clip.mp4'"):
        evfr.propagate(path, labels=file, **common)
    with pytest.raises(AnnotationError, match="no video 'x'"):
        evfr.propagate(path, labels=file, label_video="x", **common)
    result = evfr.propagate(path, labels=file, label_video="mine.mp4", label_frames=[0, 9, "19"], **common)
    assert result.label_count == 3 and result.annotations.videos[0].video_id == "clip.mp4"
    with pytest.raises(AnnotationError, match=r"frame 25 of 'clip.mp4' has no labels"):
        evfr.propagate(path, labels=file, label_video="mine.mp4", label_frames=[25], **common)


def test_labels_of_extracted_pictures_find_their_frames(
    drawn: tuple[Path, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    path, masks = drawn
    common = {"store": options["store"], "executor": "serial"}
    chosen = evfr.select(path, n=4, method="uniform", out=tmp_path / "chosen", **common)
    frames = chosen.indices.tolist()
    names = sorted(p.name for p in (tmp_path / "chosen" / "frames").iterdir())
    given = labels_of(masks, frames, file_names=tuple(names))
    file = tmp_path / "labels.json"
    write(given, file, format="coco")
    data = json.loads(file.read_text())
    for image in data["images"]:  # as a labelling tool writes them: it knows names only
        image.pop("frame_id", None), image.pop("video_id", None)
        image["file_name"] = Path(image["file_name"]).name
    data.pop("videos", None)
    for annotation in data["annotations"]:
        annotation.pop("video_id", None)
    data.pop("info", None)
    file.write_text(json.dumps(data))
    result = evfr.propagate(
        path, labels=file, label_format="coco", label_names="extract", method="copy", **options
    )
    human = result.annotations.take(result.annotations.source != CARRIED)
    assert sorted(set(human.frame_index.tolist())) == frames


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"min_trust": 1.5}, "min_trust must lie in 0..1"),
        ({"review_n": -1}, "0 or more"),
        ({"method": "magic"}, "method must be one of copy"),
        ({"method": "copy", "method_options": {"speed": 3}}, "method copy has no option 'speed'"),
        ({"out": Path("x.dat")}, "does not tell the format"),
        ({"out_format": "magic"}, "out_format must be auto or one of"),
        ({"label_options": {"start": 1}}, "label_options go with a label file"),
        ({"label_names": "pictures"}, "for a folder or zip of images"),
    ],
)
def test_wrong_arguments(
    drawn: tuple[Path, Any], options: dict[str, Any], wrong: dict[str, Any], text: str
) -> None:
    path, masks = drawn
    given = labels_of(masks, file_names=tuple(f"{t}.png" for t in KEYS))
    with pytest.raises(ValueError, match=text):
        evfr.propagate(path, **{"labels": given, **options, **wrong})


def test_an_unreadable_video_and_a_reader_option_that_does_not_exist(
    drawn: tuple[Path, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    path, masks = drawn
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    with pytest.raises(VideoError, match="E_CONTAINER"):
        evfr.propagate(broken, labels=labels_of(masks), **options)
    file = write(labels_of(masks), tmp_path / "given.parquet", format="evfr")
    with pytest.raises(ValueError, match="has no option 'magic'"):
        evfr.propagate(path, labels=file, label_options={"magic": 1}, **options)


def test_command_line_prints_what_counts(
    drawn: tuple[Path, Any], options: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, masks = drawn
    file = write(labels_of(masks), tmp_path / "given.parquet", format="evfr")
    where = ["--out", str(options["out"]), "--store", str(options["store"]), "--executor", "serial"]
    words = ["propagate", str(path), "--labels", str(file), *where, "--method", "copy", "--min-trust", "0.9"]
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert "4 labelled frames of 20" in shown and "to ask" in shown and "expected  IoU" in shown
    assert "next      frames" in shown
    with pytest.raises(SystemExit) as caught:
        cli.main([*words, "--json"])
    data = json.loads(capsys.readouterr().out)
    assert caught.value.code == 0 and data["labelled_frames"] == 4
    assert data["kept"] + data["dropped"] + data["ask"] == 32 and data["review"]
    with pytest.raises(SystemExit) as caught:
        cli.main(["propagate", str(path), "--labels", str(tmp_path / "none.json"), *where])
    assert caught.value.code == 1 and "does not exist" in capsys.readouterr().err


def test_a_damaged_stretch_between_two_labels_is_left_out_and_named(
    options: dict[str, Any], tmp_path: Path
) -> None:
    frames, masks = draw(MOVERS, 20)
    whole = write_clip(tmp_path / "whole.mp4", frames, gop=5, b_frames=0)
    path = remux(
        whole, tmp_path / "clip.mp4", edit=lambda n, data: data[:40] + b"\0" * 60 if n == 6 else data
    )
    table, _, _ = scan(path)
    damaged = np.flatnonzero(~table.is_selectable)
    assert damaged.tolist() == [6, 7, 8, 9], "from the broken packet to the next I frame"
    result = evfr.propagate(path, labels=labels_of(masks, (0, 19)), method="copy", **options)
    assert result.annotations.videos[0].frame_index.tolist() == [*range(6), *range(10, 20)]
    assert result.frame_counts["unreached"] == 4
    assert {(end.frame_index, end.side, end.reason) for end in result.ends} == {
        (6, "left", "damaged"),
        (9, "right", "damaged"),
    }
    assert not set(result.review.frame_index.tolist()) & set(damaged.tolist()), "nobody can label them"
    kept = evfr.propagate(path, labels=labels_of(masks, (0, 19)), method="copy", damaged="keep", **options)
    assert kept.frame_counts["unreached"] == len(table) - int(table.is_decoded.sum())


def test_a_frame_that_is_labelled_and_empty_says_that_nothing_is_there(
    drawn: tuple[Path, Any], options: dict[str, Any]
) -> None:
    path, masks = drawn
    given = labels_of(masks, (0, 6, 12))
    given = given.take(given.frame_index != 6)
    result = evfr.propagate(path, labels=given, method="copy", **{**options, "held_out": 0})
    found = result.annotations
    assert not len(found.rows_at("clip.mp4", 6)) and 6 in found.videos[0].frame_index
    # The nearest labelled frame decides: 4 and 5 are nearer to the empty one.
    assert len(found.rows_at("clip.mp4", 2)) == 2 and not len(found.rows_at("clip.mp4", 5))
