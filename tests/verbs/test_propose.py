"""`evfr propose`: objects of a few key frames become sequences of the whole video, each once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evfr
from evfr import cli
from evfr._core.annotations import VideoAnnotations
from evfr._core.masks import Rle, iou
from evfr.annotations import read, write
from evfr.errors import InputError, StoreError, VideoError
from evfr.models import Detections
from evfr.propagation import CarryEnd, Interval, assemble, copy
from helpers.moving import Mover, draw
from helpers.squares import CLASSES, SquareDetector, drawn_clip

CAR, BUS = Mover((30, 30), (0.3, 1.2)), Mover((65, 100), (-0.3, -1.0), (10.0, 13.0), 5)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SquareDetector, np.ndarray]:
    """Return a clip of 24 frames with a car and a bus."""
    return drawn_clip(tmp_path_factory.mktemp("two"), [CAR, BUS], 24)


@pytest.fixture
def options(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {
        "out": tmp_path / "found.parquet",
        "store": tmp_path / "store",
        "executor": "serial",
        "detector_names": CLASSES,
        "method": "flow",
        "box_masks": "box",
    }


def tracks_of(found: VideoAnnotations) -> dict[int, tuple[int, float, dict[int, Rle]]]:
    """Return category, score and masks by frame of each track."""
    out: dict[int, tuple[int, float, dict[int, Rle]]] = {}
    for row in found.objects():
        assert row.mask is not None
        out.setdefault(row.track_id, (row.category_id, row.score, {}))[2][row.frame_index] = row.mask
    return out


def test_each_object_becomes_one_sequence_of_its_class(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any]
) -> None:
    path, detector, masks = two
    keys = ["8", "11", "14"]
    strict = evfr.propose(path, detector=detector, frames=keys, agnostic_threshold=0.5, **options)
    assert strict.key_frames == (8, 11, 14) and strict.detections == (2, 2, 2)
    assert len(strict.proposals) == 6
    assert strict.reduction is not None and strict.reduction.counts.suppressed == 4
    written = read(options["out"])
    assert written.equals(strict.annotations)
    tracks = tracks_of(written)
    best = {
        category: max((t for t in tracks.values() if t[0] == category), key=lambda t: t[1])
        for category in (1, 2)
    }
    for category, k in ((1, 0), (2, 1)):
        found = best[category][2]
        assert sorted(found) == list(range(24))
        overlap = [iou(mask, Rle.from_mask(masks[t, k])) for t, mask in found.items()]
        assert np.mean(overlap) > 0.6, (category, np.mean(overlap))
    assert [name.name for name in written.categories] == list(CLASSES)
    assert strict.counts["labels"] == len(tracks)
    assert "2 sequences" in str(strict) and "4 suppressed" in str(strict)
    assert json.loads(json.dumps(strict.to_dict()))["counts"]["suppressed"] == 4
    assert repr(strict).startswith("ProposeResult(6 proposals, 2 sequences")


def test_boxes_of_key_frames_are_written_as_they_were_detected(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any]
) -> None:
    path, detector, masks = two
    result = evfr.propose(
        path, detector=detector, key_frames=1, working_size=(64, 48), write_floor=0.2, **options
    )
    assert result.key_frames == (11,) and result.carry_size == (48, 64)
    at = result.annotations.labels_at("clip.mp4", 11)
    assert sorted(mask.area for mask in at.masks) == sorted(Rle.from_mask(masks[11, k]).area for k in (0, 1))
    assert {mask.width for mask in result.annotations.masks} == {128}
    assert {mask.width for one in result.proposals.sequences for mask in one.masks if mask} == {64}


def test_scores_are_the_mean_over_frames_where_the_sequence_is(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    gone = Mover((30, 30), (0.3, 1.2), frames=range(12))
    path, detector, _ = drawn_clip(tmp_path, [gone], 24)

    def still(interval: Interval, *, steps: Any = None) -> Any:
        return copy(interval)

    common = {**options, "method": still, "detector": detector, "frames": ["2"], "reduce": False}
    present = evfr.propose(path, **common)
    everywhere = evfr.propose(path, score_over="all", **common)
    sparse = evfr.propose(path, score_every=4, **common)
    (one,), (other,) = present.proposals.sequences, everywhere.proposals.sequences
    assert present.scored_frames == 24 and sparse.scored_frames == 7  # 0, 4, .. 20 and the key frame
    # Copied to all 24 frames: both means are over all of them.
    assert one.score == pytest.approx(other.score)
    # By hand: IoU of the box carried (that of frame 2) with the true one, times .9, nothing from frame 12 on.
    boxes = [detector(draw([gone], 24)[0][t]).boxes_xyxy for t in range(24)]
    from evfr._core.masks import box_iou

    by_hand = [0.9 * float(box_iou(boxes[2], box)[0, 0]) if len(box) else 0.0 for box in boxes]
    assert one.score == pytest.approx(np.mean(by_hand), abs=0.02)
    assert sparse.proposals.sequences[0].score == pytest.approx(
        np.mean([by_hand[t] for t in (0, 2, 4, 8, 12, 16, 20)]), abs=0.02
    )
    # Not seen from the frame on where the object has left: the sequence ends there, and the mean with it.
    ended = evfr.propose(path, unseen_seconds=0.16, **common)
    (short,) = ended.proposals.sequences
    assert [mask is None for mask in short.masks] == [False] * 12 + [True] * 12
    assert short.score == pytest.approx(np.mean(by_hand[:12]), abs=0.02)
    assert "1 carries ended where the object was not seen any more (unseen_seconds)" in ended.notes
    never = evfr.propose(path, unseen_seconds=None, **common)
    assert never.proposals.sequences[0].score == pytest.approx(one.score)


def test_frames_are_taken_from_a_selection_and_each_is_detected_once(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any], tmp_path: Path
) -> None:
    path, detector, _ = two
    chosen = evfr.select(path, n=3, out=tmp_path / "chosen", store=options["store"], executor="serial")
    detector.seen.clear()
    result = evfr.propose(
        path, detector=detector, frames=[str(tmp_path / "chosen")], score_every=100, **options
    )
    assert list(result.key_frames) == sorted(chosen.indices.tolist())
    # Once to detect, once to score; frame 0 is scored whatever the selection.
    assert sorted(detector.seen) == sorted([*result.key_frames, *{0, *result.key_frames}])
    other = tmp_path / "other.csv"
    other.write_text("video_id,frame_index\nelse.mp4,3\n")
    with pytest.raises(InputError, match=r"frames names no frame of clip.mp4; it names frames of else.mp4"):
        evfr.propose(path, detector=detector, frames=[str(other)], **options)
    with pytest.raises(ValueError, match=r"clip.mp4 has the frames 0 to 23, got 24"):
        evfr.propose(path, detector=detector, frames=["24"], **options)


def test_cuts_end_a_carry_and_can_be_ignored(tmp_path: Path, options: dict[str, Any]) -> None:
    path, detector, _ = drawn_clip(tmp_path, [CAR, BUS], 24, cut=12)
    common = {**options, "detector": detector, "frames": ["3"], "method": "copy"}
    result = evfr.propose(path, **common)
    assert {max(masks) for _, _, masks in tracks_of(result.annotations).values()} == {11}
    assert result.ends == {"cut": 2}
    through = evfr.propose(path, cuts=False, **common)
    assert through.ends == {} and set(through.annotations.frame_index.tolist()) == set(range(24))


def test_an_object_that_is_lost_is_not_carried_on(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evfr.verbs import _propose_carry as module

    monkeypatch.setattr(module, "PIECE", 8)
    calls = []

    def loses(interval: Interval, *, steps: Any = None) -> Any:
        """Copy objects, and lose the first two on frame 5."""
        calls.append((int(interval.frame_index[0]), interval.track_ids.tolist()))
        carried = copy(interval)
        gone = [k for k, track in enumerate(carried.track_ids) if track == 1]
        masks = [
            [None if k in gone and index >= 5 else mask for k, mask in enumerate(row)]
            for index, row in zip(interval.frame_index, carried.masks, strict=True)
        ]
        ends = [CarryEnd(1, 5, "left", "lost")] if gone and interval.left is not None else []
        return assemble(interval, masks=masks, ends=ends)

    path, detector, _ = two
    result = evfr.propose(path, detector=detector, frames=["0"], **{**options, "method": loses})
    assert calls == [(0, [1, 2]), (8, [2]), (15, [2])]
    assert result.ends == {"lost": 1}
    first, second = result.proposals.sequences
    assert [mask is None for mask in first.masks] == [False] * 5 + [True] * 19
    assert None not in second.masks


def test_objects_of_one_key_frame_compete_and_those_of_others_do_not(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    calls = []

    def watched(interval: Interval, *, steps: Any = None) -> Any:
        calls.append(
            (interval.track_ids.tolist(), int(interval.frame_index[0]), int(interval.frame_index[-1]))
        )
        return copy(interval)

    path, detector, _ = drawn_clip(tmp_path, [CAR, BUS], 24)
    evfr.propose(path, detector=detector, key_frames=2, **{**options, "method": watched})
    assert calls == [([1, 2], 0, 23), ([3, 4], 0, 23)]


@pytest.mark.parametrize("count", [1, 2])
def test_videos_of_a_frame_or_two(tmp_path: Path, options: dict[str, Any], count: int) -> None:
    path, detector, _ = drawn_clip(tmp_path, [CAR, BUS], count)
    result = evfr.propose(path, detector=detector, key_frames=count, agnostic_threshold=0.6, **options)
    assert result.key_frames == tuple(range(count)) and result.counts["sequences"] == 2
    with pytest.raises(
        ValueError, match=rf"key_frames must lie in 1..{count}, the usable frames of clip.mp4, got 3"
    ):
        evfr.propose(path, detector=detector, key_frames=3, **options)


@pytest.mark.parametrize("reduce", [True, False])
def test_no_detection_is_an_empty_result_and_says_so(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any], reduce: bool
) -> None:
    path, detector, _ = two
    result = evfr.propose(path, detector=detector, min_score=0.95, reduce=reduce, **options)
    written = read(options["out"])
    assert len(written) == 0 and written.videos[0].frame_count == 24
    assert any("no object was found on any key frame" in note for note in result.notes)
    assert result.counts["labels"] == 0 and result.scored_frames == 0


def test_a_detector_that_raises_is_told_with_its_frame(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any]
) -> None:
    path, good, masks = two
    frames, _ = draw([CAR, BUS], 24)
    broken = SquareDetector(frames, masks)
    broken.raises_at = 11
    with pytest.raises(
        InputError, match=r"clip.mp4: the detector SquareDetector failed on frame 11: RuntimeError: out"
    ):
        evfr.propose(path, detector=broken, key_frames=3, **options)
    broken.raises_at = 7
    with pytest.raises(
        InputError, match=r"clip.mp4: SquareDetector failed on frame 7: RuntimeError: out of luck"
    ):
        evfr.propose(path, detector=broken, key_frames=3, **options)

    class Wrong:
        categories = evfr.models.as_detector(good, CLASSES).categories

        def __init__(self, answer: Any) -> None:
            self.answer = answer

        def score_boxes(self, image: np.ndarray, boxes: np.ndarray) -> Any:
            return self.answer(len(boxes))

    for answer, text in (
        (
            lambda n: np.zeros((n, 3)),
            r"frame 0: ValueError: score_boxes must return \(5, 2\) for 5 boxes of 2 classes, got \(5, 3\)",
        ),
        (lambda n: np.full((n, 2), np.nan), r"score_boxes must return probabilities in 0..1, got others"),
    ):
        with pytest.raises(InputError, match=text):
            evfr.propose(path, detector=good, classifier=Wrong(answer), per_frame=1, **options)


def test_a_classifier_scores_instead_of_the_detector(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any]
) -> None:
    path, detector, _ = two

    class Sure:
        categories = evfr.models.as_detector(detector, ["tram"]).categories

        def score_boxes(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
            return np.full((len(boxes), 1), 0.75)

    result = evfr.propose(path, detector=detector, classifier=Sure(), key_frames=1, **options)
    assert [item.name for item in result.annotations.categories] == ["tram"]
    assert set(result.annotations.score.tolist()) == {0.75}


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"key_frames": 0}, ValueError, "key_frames must be 1 or more, got 0"),
        ({"per_frame": 0}, ValueError, "per_frame must be 1 or more, got 0"),
        ({"score_every": 0}, ValueError, "score_every must be 1 or more, got 0"),
        (
            {"unseen_seconds": 0.0},
            ValueError,
            "unseen_seconds must be above 0, or None to end no sequence, got 0.0",
        ),
        ({"unseen_below": 2.0}, ValueError, "unseen_below must lie in 0..1, got 2.0"),
        ({"score_over": "some"}, ValueError, "score_over must be one of present, all, got 'some'"),
        ({"box_masks": "blob"}, ValueError, "box_masks must be one of grabcut, box, got 'blob'"),
        ({"min_score": 2.0}, ValueError, r"min_score must be in \[0, 1\], got 2.0"),
        ({"agnostic_threshold": 3.0}, ValueError, "threshold must"),
        ({"write_floor": -1.0}, ValueError, "write_floor must lie in 0..1, got -1.0"),
        (
            {"working_size": (8, 9)},
            ValueError,
            r"working_size must be two sides of 16 pixels or more.*\[8, 9\]",
        ),
        (
            {"method": "magic"},
            ValueError,
            "method must be one of copy, .*, detector or a callable, got 'magic'",
        ),
        ({"method": "detector"}, ValueError, "method detector needs a detector that carries masks itself"),
        ({"method_options": {"speed": 1}}, ValueError, "method flow has no option 'speed'"),
        ({"detector": "none.onnx"}, InputError, "there is no detector at none.onnx"),
        ({"detector_options": {"size": 3}}, ValueError, "detector_kind and detector_options go with a file"),
        ({"classifier": 3}, ValueError, "a classifier needs score_boxes"),
        (
            {"classifier_names": ["a"]},
            ValueError,
            "classifier_names and classifier_options go with a classifier",
        ),
        ({"out": Path("a.txt")}, ValueError, "the ending of a.txt does not tell the format"),
        ({"out": Path("a.txt"), "out_format": "mot"}, ValueError, "out_format mot cannot hold the masks"),
        ({"out_format": "paper"}, ValueError, "out_format must be auto or one of results, evfr"),
        ({"companion": Path("a.json")}, ValueError, "companion goes with out_format results"),
        ({"out": "s3://bucket/a.parquet"}, StoreError, "results are written to local folders only"),
    ],
)
def test_bad_arguments_are_told_before_any_work(
    two: tuple[Path, SquareDetector, np.ndarray],
    options: dict[str, Any],
    changes: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    path, detector, _ = two
    with pytest.raises(error, match=text):
        evfr.propose(path, **{"detector": detector, **options, **changes})


def test_a_video_that_cannot_be_read(options: dict[str, Any], clips: Path) -> None:
    with pytest.raises(VideoError, match=r"broken.mp4"):
        evfr.propose(clips / "broken.mp4", detector=lambda image: None, **options)
    with pytest.raises(ValueError, match=r"give one video; .* holds 3"):
        evfr.propose(clips, detector=lambda image: None, **options)


class Head:
    """A detector with a propagation head that moves nothing."""

    kind = "pairwise"

    def __init__(self, detector: SquareDetector) -> None:
        self.detector, self.opened = detector, 0
        self.categories = evfr.models.as_detector(detector, CLASSES).categories

    def detect(self, image: np.ndarray) -> Detections:
        return self.detector(image)

    def score_boxes(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        return np.full((len(boxes), 2), 0.5)

    def open_session(self) -> Head:
        self.opened += 1
        return self

    def add_key(self, frame_index: int, image: np.ndarray, masks: Any) -> None:
        self.masks = {track: mask.astype(np.float32) for track, mask in masks.items()}

    def step(self, frame_index: int, image: np.ndarray) -> Any:
        return self.masks

    def close(self) -> None:
        pass


def test_a_detector_carries_by_its_own_head(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any]
) -> None:
    path, detector, _ = two
    head = Head(detector)
    common = {**options, "method": "detector", "detector_names": None}
    result = evfr.propose(path, detector=head, frames=["5"], **common)
    assert head.opened and result.method == "detector"
    assert set(result.annotations.frame_index.tolist()) == set(range(24))
    with pytest.raises(ValueError, match="method detector has no option 'step'; it has none"):
        evfr.propose(path, detector=head, method_options={"step": "dis"}, **common)


def test_results_of_youtube_vis_and_their_companion(
    two: tuple[Path, SquareDetector, np.ndarray], options: dict[str, Any], tmp_path: Path
) -> None:
    path, detector, _ = two
    result = evfr.propose(path, detector=detector, key_frames=1, **options)
    video = result.annotations.videos[0]
    truth = VideoAnnotations.build([video], result.annotations.categories, [])
    write(truth, tmp_path / "truth.json", format="ytvis")
    for suffix, extra in (
        ("json", {}),
        ("list.json", {"out_format": "results", "companion": tmp_path / "truth.json"}),
        ("bare.json", {"companion": tmp_path / "truth.json"}),
    ):
        options["out"] = tmp_path / f"found.{suffix}"
        evfr.propose(path, detector=detector, key_frames=1, **{**options, **extra})
        how = {} if suffix == "json" else {"companion": tmp_path / "truth.json"}
        again = read(options["out"], format="ytvis", **how)
        assert sorted(set(again.score.tolist())) == sorted(set(result.annotations.score.tolist()))
        assert len(again) == len(result.annotations)


def test_command_line_offers_the_options_of_the_method(
    two: tuple[Path, SquareDetector, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(
            [
                "propose",
                str(two[0]),
                "--detector",
                str(tmp_path / "no.onnx"),
                "--out",
                str(tmp_path / "o.json"),
            ]
        )
    assert stop.value.code == 1
    assert "there is no detector at" in capsys.readouterr().err


def test_damaged_key_frames_move(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from evfr.verbs._propose_keys import choose_keys

    measured: Any = SimpleNamespace(source=SimpleNamespace(video_id="clip.mp4"))
    usable = np.ones(11, np.bool_)
    usable[[0, 1, 10]] = False
    keys = choose_keys(measured, usable, 3, ())
    assert keys.frame_index == (2, 5, 9)
    assert keys.notes == ("key frames moved off damage: 0 to 2, 10 to 9",)
    usable[3:] = False
    keys = choose_keys(measured, usable, 1, ["0", "9"])
    assert keys.frame_index == (2,) and keys.notes[1] == "2 key frames fell together to 1"
    with pytest.raises(ValueError, match=r"clip.mp4 has no frame that can be used as a key frame"):
        choose_keys(measured, np.zeros(3, np.bool_), 1, ())
    empty = tmp_path / "none.csv"
    empty.write_text("video_id,frame_index\n")
    with pytest.raises(InputError, match=r"frames names no frame of clip.mp4; it is empty"):
        choose_keys(measured, np.ones(3, np.bool_), 1, [empty])


def test_shared_motion_and_pictures_are_made_once_a_chunk(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from evfr.verbs import _propose_carry as module
    from evfr.verbs import _propose_scene as scene

    monkeypatch.setattr(module, "PIECE", 10)
    read_frames: list[tuple[int, int]] = []
    load = scene.load_pictures

    def counted(path: Any, first: int, last: int, *rest: Any, **more: Any) -> Any:
        read_frames.append((first, last))
        return load(path, first, last, *rest, **more)

    monkeypatch.setattr(scene, "load_pictures", counted)
    path, detector, masks = drawn_clip(tmp_path, [CAR, BUS], 24)
    result = evfr.propose(path, detector=detector, key_frames=3, **{**options, "method": "motion"})
    assert module.chunks_of(24) == [(0, 8), (8, 15), (15, 23)]
    assert read_frames == [(0, 8), (8, 15), (15, 23), (15, 23), (8, 15), (0, 8)]
    assert any("motion from proxy" in note for note in result.notes)
    for one, k in zip(result.proposals.sequences, (0, 1) * 3, strict=True):
        overlap = [
            iou(mask, Rle.from_mask(masks[t, k])) for t, mask in enumerate(one.masks) if mask is not None
        ]
        assert len(overlap) == 24 and np.mean(overlap) > 0.6


def test_what_is_in_the_store_is_not_made_again_and_is_the_same(
    two: tuple[Path, SquareDetector, np.ndarray],
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from evfr.verbs import _propose_carry, _propose_detect, _propose_score

    monkeypatch.setattr(_propose_carry, "PIECE", 8)
    monkeypatch.setattr(_propose_score, "CHUNK", 10)
    path, detector, _ = two
    model = evfr.models.as_detector(detector, CLASSES)

    def named(*_: Any, **__: Any) -> Any:
        return _propose_detect.Opened(model, model.categories, {"detector": "squares"}, "squares")

    common = {**options, "detector": "squares.onnx", "frames": ["5", "17"], "box_masks": "grabcut"}
    monkeypatch.setattr(detector, "has_masks", False)
    monkeypatch.setattr(_propose_detect, "open_given", named)
    fresh = evfr.propose(path, **common)
    root = options["store"]
    entries = {
        stage: sorted((root / stage).rglob("*.parquet")) for stage in ("propose-carry", "propose-score")
    }
    assert [len(found) for found in entries.values()] == [8, 3]
    assert len(list((root / "propose-detect").rglob("*.parquet"))) == 2
    detector.seen.clear()
    again = evfr.propose(path, **common)
    assert again.annotations.equals(fresh.annotations) and detector.seen == []
    for text in (
        "2 of 2 key frames were in the store",
        "8 of 8 carried chunks were in the store",
        "scores of 24 of 24 frames were in the store",
    ):
        assert text in again.notes and text not in fresh.notes
    # As after kill -9: some entries are there, others are not.
    for gone in (*entries["propose-carry"][::2], entries["propose-score"][1]):
        gone.unlink()
    resumed = evfr.propose(path, **common)
    assert "4 of 8 carried chunks were in the store" in resumed.notes
    assert resumed.annotations.equals(fresh.annotations) and 4 <= len(detector.seen) <= 10
    # Another size, another threshold of the key frames: nothing of that is in the store.
    other = evfr.propose(path, **common, working_size=(64, 48))
    assert not any("carried chunks" in note for note in other.notes)
    assert "2 of 2 key frames were in the store" in other.notes
    assert not any("key frames were" in note for note in evfr.propose(path, **common, min_score=0.3).notes)


def test_size_of_masks_is_changed_where_they_are() -> None:
    from evfr.verbs._propose_resize import enlarge, shrink

    rng = np.random.default_rng(0)
    for height, width in ((30, 40), (31, 47)):
        for top, left, bottom, right in (
            (0, 0, height, width),
            (3, 5, 20, 17),
            (0, 7, height, 9),
            (12, 0, 13, width),
        ):
            small = np.zeros((height, width), np.bool_)
            small[top:bottom, left:right] = rng.random((bottom - top, right - left)) < 0.7
            import cv2

            want = cv2.resize(small.view(np.uint8) * 255, (97, 73), interpolation=cv2.INTER_LINEAR) > 127
            got = enlarge(Rle.from_mask(small), 73, 97)
            # OpenCV rounds positions to 1/32 pixel when it warps.
            assert (got.to_mask() != want).mean() < 0.02 and got.area == got.to_mask().sum()
            assert enlarge(Rle.from_mask(small), height, width) == Rle.from_mask(small)
    assert enlarge(Rle.empty(4, 5), 8, 10) == Rle.empty(8, 10)
    dot = np.zeros((90, 90), np.bool_)
    dot[60, 30] = True
    assert shrink(Rle.from_mask(dot), 9, 9).box_xyxy == (3.0, 6.0, 4.0, 7.0)
    assert enlarge(Rle.from_mask(np.ones((3, 4))), 30, 40) == Rle.from_mask(np.ones((30, 40)))


@pytest.mark.parametrize("score_every", [1, 3])
def test_what_is_not_seen_any_more_is_not_carried_on_and_the_sequences_are_the_same(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score_every: int
) -> None:
    from evfr.verbs import _propose_carry, _propose_detect

    path, detector, masks = drawn_clip(tmp_path, [CAR, BUS], 40)
    # The bus is there all the time, but the detector sees it on the middle frames alone, then now and then.
    detector.masks = masks.copy()
    is_hidden = np.isin(np.arange(40), [*range(15), *range(25, 40)]) & ~np.isin(np.arange(40), [28, 32])
    detector.masks[is_hidden, 1] = False
    model = evfr.models.as_detector(detector, CLASSES)
    identity: list[dict[str, str] | None] = [None]

    def named(*_: Any, **__: Any) -> Any:
        return _propose_detect.Opened(model, model.categories, identity[0], "squares")

    monkeypatch.setattr(_propose_detect, "open_given", named)
    monkeypatch.setattr(_propose_carry, "LEAST_WATCHED", 8)
    monkeypatch.setattr(_propose_carry, "PIECE", 8)
    carry = _propose_carry.carry_interval
    carried: list[tuple[int, int]] = []

    def counted(propagator: Any, interval: Interval) -> Any:
        carried.append((len(interval.track_ids), len(interval)))
        return carry(propagator, interval)

    monkeypatch.setattr(_propose_carry, "carry_interval", counted)
    with evfr.open_video(path) as video:
        times = [frame.time_seconds for frame in video]
    common = {
        **options,
        "detector": "squares.onnx",
        "frames": ["20"],
        "score_every": score_every,
        "unseen_seconds": 4 * (times[-1] / 39),
    }
    everything = evfr.propose(path, **{**common, "store": tmp_path / "first"})
    whole, carried[:] = sum(k * (t - 1) for k, t in carried), []
    identity[0] = {"detector": "squares"}
    watched = evfr.propose(path, **{**common, "store": tmp_path / "second"})
    assert watched.annotations.equals(everything.annotations)
    tracks = tracks_of(watched.annotations)
    assert {sum(1 for _ in found) for _, _, found in tracks.values()} >= {40}
    assert min(len(found) for _, _, found in tracks.values()) < 24
    # Two objects for 39 steps; the bus is given up at the end of a chunk without it.
    assert whole == 2 * 39 and 39 < sum(k * (t - 1) for k, t in carried) <= 39 + 32
