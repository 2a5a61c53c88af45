"""`evfr reduce`: files in, files out; every change is said; wrong files say what to do."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from evfr import cli
from evfr._core.annotations import NO_TRACK, AnnotatedVideo, Category, ObjectRow, VideoAnnotations
from evfr._core.masks import Rle
from evfr._core.progress import use_progress
from evfr.annotations import _json, read, write
from evfr.annotations._ytvis_results_write import result_entries, write_result_entries
from evfr.errors import AnnotationError, ProblemCode
from evfr.sequences import annotations_of, reduce_sequences, sequences_of
from evfr.verbs.reduce import reduce
from helpers.proposals import draw_proposals

# pycocotools converts arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZE = (20, 30)
TRUTH = {
    "videos": [
        {"id": 41, "width": 30, "height": 20, "file_names": ["a/0.jpg", "a/1.jpg"]},
        {"id": 7, "width": 30, "height": 20, "file_names": ["b/0.jpg", "b/1.jpg", "b/2.jpg"]},
        {"id": 9, "width": 30, "height": 20, "file_names": ["c/0.jpg"]},
    ],
    "categories": [{"id": 5, "name": "cat"}, {"id": 3, "name": "dog"}],
    "annotations": [],
}


@cache
def block(left: int, width: int = 10) -> dict:
    mask = np.zeros(SIZE, bool)
    mask[5:15, left : left + width] = True
    return Rle.from_mask(mask).to_coco()


def entry(video: int, category: int, score: float, *lefts: int | None, **fields) -> dict:
    masks = [None if left is None else block(left) for left in lefts]
    return {"video_id": video, "category_id": category, "score": score, "segmentations": masks} | fields


# Video 41: 0 and 1 are one sequence; 2 is a copy of it; 3 overlaps it by half; 4 is empty; 5 is of low score.
# Video 7: 6 is alone.
RESULTS = [
    entry(41, 5, 0.8, 0, 2),
    entry(41, 3, 0.6, 0, 2),
    entry(41, 3, 0.5, 0, 2),
    entry(41, 5, 0.75, 5, 2),
    entry(41, 5, 0.7, None, None),
    entry(41, 3, 0.01, 15, 15),
    entry(7, 3, 0.25, None, 4, None),
]


@pytest.fixture
def files(tmp_path):
    return save(tmp_path, RESULTS), save(tmp_path, TRUTH, "truth.json"), tmp_path / "reduced.json"


def save(folder, data, name="results.json"):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def iou_of(first: dict, second: dict) -> float:
    """Sequence IoU by pycocotools: merged areas, summed over frames."""
    both, either = 0.0, 0.0
    for one, other in zip(first["segmentations"], second["segmentations"], strict=True):
        both += float(coco_mask.area(coco_mask.merge([one, other], intersect=True)))
        either += float(coco_mask.area(coco_mask.merge([one, other])))
    return both / either


def test_results_come_out_as_results_with_the_same_ids(files):
    path, truth, out = files
    result = reduce(path, companion=truth, out=out)
    half = iou_of(RESULTS[0], RESULTS[3])
    assert half == pytest.approx(15 / 25)
    lowered = 0.75 * math.exp(-(half**2) / 0.5)
    found = json.loads(out.read_bytes())
    # A sequence once for each class, with its own masks; null where it is not there.
    assert found == [
        RESULTS[0],
        RESULTS[1],
        RESULTS[3] | {"score": pytest.approx(lowered, abs=1e-12)},
        RESULTS[6],
    ]
    assert {key: value for key, value in result.counts.items() if value} == {
        "given": 6,
        "empty": 1,
        "below_agnostic_floor": 1,
        "suppressed": 1,
        "survivors": 3,
        "labels_before": 4,
        "lowered": 1,
        "labels": 4,
        "kept": 3,
    }
    assert [video.video_id for video in result.videos] == ["a", "b"]
    assert (result.video_count, result.problems, result.out_format) == (3, (), "results")
    said = {(c.sequence, c.step, c.category, c.survivor) for c in result.videos[0].changes}
    assert said == {
        ("result 4", "empty", None, None),
        ("result 5", "agnostic_floor", None, None),
        ("result 2", "agnostic", None, "result 0"),
        ("result 3", "aware", "cat", "result 0"),
    }
    (change,) = (c for c in result.videos[0].changes if c.step == "aware")
    assert (change.before, change.after, change.iou) == (0.75, pytest.approx(lowered), pytest.approx(half))
    assert repr(result) == "ReduceResult(6 sequences in, 3 out, 2 videos)"


def test_the_text_says_what_became_of_them(files):
    path, truth, out = files
    text = str(reduce(path, companion=truth, out=out)).splitlines()
    assert text[0].split("  ")[-1].strip() == "labels"
    rows = [line.split() for line in text[1:4]]
    assert rows[0] == ["a", "5", "1", "1", "1", "1", "0", "0", "2", "3"]
    assert rows[1] == ["b", "1", "0", "0", "0", "0", "0", "0", "1", "1"]
    assert rows[2] == ["all", "6", "1", "1", "1", "1", "0", "0", "3", "4"]
    assert text[4] == "without sequences: 1 of 3 videos"
    assert text[5:] == [f"wrote     {out}: 3 sequences, 4 labels (results)"]
    explained = str(reduce(path, companion=truth, out=out, explain=True))
    assert (
        "a: result 3 as cat: 0.750 to 0.365, lowered: a better sequence of its class overlaps it "
        "(result 0, IoU 0.600)\n"
    ) in explained
    assert (
        "a: result 2: 0.500 to 0.000, dropped: a better sequence of any class covers it (result 0, IoU 1.000)"
        in (explained)
    )


def test_json_always_has_every_change(files):
    path, truth, out = files
    data = json.loads(json.dumps(reduce(path, companion=truth, out=out).to_dict()))
    assert data["counts"]["given"] == 6
    assert next(c for c in data["videos"][0]["changes"] if c["step"] == "agnostic") == {
        "sequence": "result 2",
        "step": "agnostic",
        "category": None,
        "survivor": "result 0",
        "before": 0.5,
        "after": 0.0,
        "iou": 1.0,
    }
    assert len(data["videos"][0]["changes"]) == 4
    assert (data["videos"][1]["video_id"], data["videos"][1]["changes"]) == ("b", [])


def test_many_videos_are_cut_in_the_text(tmp_path):
    truth = TRUTH | {"videos": [TRUTH["videos"][2] | {"id": n, "name": f"v{n}"} for n in range(25)]}
    path = save(tmp_path, [entry(n, 3, 0.5, 0) for n in range(25)])
    text = str(reduce(path, companion=save(tmp_path, truth, "t.json"), out=tmp_path / "o.json"))
    assert "v19" in text
    assert "v20" not in text
    assert "... and 5 more videos, all in --json\nall " in text


def test_options_reach_the_reduction(files):
    path, truth, out = files

    def labels(**options):
        reduce(path, companion=truth, out=out, **options)
        return [
            (e["category_id"], round(e["score"], 3))
            for e in json.loads(out.read_bytes())
            if e["video_id"] == 41
        ]

    assert labels(step="agnostic") == [(5, 0.8), (3, 0.6), (5, 0.75)][:2]  # .5 when alone: the half is enough
    assert labels(step="agnostic", agnostic_threshold=0.7) == [(5, 0.8), (3, 0.6), (5, 0.75)]
    assert labels(agnostic_threshold=0.5) == [(5, 0.8), (3, 0.6)]
    assert (3, 0.01) in labels(agnostic_floor=0.0)
    assert labels(decay="linear")[-1] == (5, 0.3)
    assert labels(decay="linear", linear_threshold=0.7)[-1] == (5, 0.75)
    assert labels(sigma=100.0)[-1] == (5, round(0.75 * math.exp(-0.36 / 100), 3))
    assert labels(floor=0.4) == [(5, 0.8), (3, 0.6)]
    assert labels(per_category=1) == [(5, 0.8), (3, 0.6)]
    assert labels(step="aware")[3] == (3, round(0.5 * math.exp(-2), 3))
    assert labels(step="unsupervised")[0] == (5, 0.8)


@pytest.mark.parametrize("format", ["results", "ytvis"])
def test_the_format_can_be_named(files, format):
    path, truth, out = files
    assert reduce(path, companion=truth, out=out, format=format).counts["given"] == 6


def test_a_second_reduction_of_the_first_step_changes_nothing(files):
    path, truth, out = files
    reduce(path, companion=truth, out=out, step="agnostic", agnostic_threshold=0.9)
    again = out.with_name("again.json")
    result = reduce(out, companion=truth, out=again, step="agnostic", agnostic_threshold=0.9)
    assert again.read_bytes() == out.read_bytes()
    assert [video.changes for video in result.videos] == [(), ()]


@pytest.mark.parametrize(("out_name", "options"), [("r.parquet", {}), ("r.json", {"out_format": "coco"})])
def test_results_become_labels(files, tmp_path, out_name, options):
    path, truth, _ = files
    result = reduce(path, companion=truth, out=tmp_path / "new" / out_name, **options)
    labels = read(tmp_path / "new" / out_name, format=result.out_format)
    assert [video.video_id for video in labels.videos] == ["a", "b", "c"]
    assert {c.category_id: c.name for c in labels.categories} == {5: "cat", 3: "dog"}
    b = labels.of_video("b")
    assert (b.frame_index.tolist(), b.score.tolist(), b.track_id.tolist()) == ([1], [0.25], [1])
    assert b.masks[0] == Rle.from_coco(block(4))
    assert len({*labels.of_video("a").track_id}) == 3


def labels_of(*, video_id="a", frames=(0, 4), score=0.5, **fields) -> VideoAnnotations:
    """Two tracks with equal masks, the second of lower score, and a label without a track on the first frame."""
    mask = Rle.from_coco(block(0))
    of_track = {1: (score, frames), 2: (score / 2, frames), NO_TRACK: (score / 4, frames[:1])}
    rows = [
        ObjectRow(video_id, t, 3, track, None, mask, own)
        for track, (own, where) in of_track.items()
        for t in where
    ]
    names = tuple(f"{video_id}/{t}.jpg" for t in frames)
    video = AnnotatedVideo(video_id, 30, 20, np.array(frames), file_names=names)
    labels = VideoAnnotations.build([video], [Category(5, "cat"), Category(3, "dog")], rows)
    return replace(labels, **fields)


def test_labels_become_labels(tmp_path):
    labels = labels_of(trust=np.full(5, 0.5))
    path = write(labels, tmp_path / "labels.parquet", format="evfr")
    result = reduce(path, out=tmp_path / "out.parquet", agnostic_floor=0.2)
    assert result.out_format == "evfr"
    (video,) = result.videos
    assert [(c.sequence, c.step, c.survivor) for c in video.changes] == [
        ("track 2", "agnostic", "track 1"),
        ("sequence 2", "agnostic_floor", None),
    ]
    back = read(tmp_path / "out.parquet")
    assert back.videos == labels.videos
    assert back.score.tolist() == [0.5, 0.5]
    assert result.notes == (
        "tracks are numbered anew, one for each sequence and class",
        "not in out.parquet (evfr): trust",
    )
    given = reduce(labels, out=tmp_path / "out.parquet", agnostic_floor=0.2)
    assert given.counts == result.counts


def test_what_a_format_cannot_hold_is_said(tmp_path):
    path = write(labels_of(), tmp_path / "labels.parquet", format="evfr")
    result = reduce(path, out=tmp_path / "out", out_format="davis", agnostic_floor=0.2)
    assert "not in out (davis): categories, score, source, file_names" in str(result)


def test_labels_become_results_with_the_ids_of_the_companion(tmp_path):
    truth = save(
        tmp_path,
        TRUTH
        | {"videos": [{"id": 41, "width": 30, "height": 20, "file_names": [f"a/{t}.jpg" for t in range(5)]}]},
        "truth.json",
    )
    path = write(labels_of(), tmp_path / "labels.parquet", format="evfr")
    result = reduce(path, companion=truth, out=tmp_path / "out.json", agnostic_floor=0.2)
    assert json.loads((tmp_path / "out.json").read_bytes()) == [
        {
            "video_id": 41,
            "category_id": 3,
            "score": 0.5,
            "segmentations": [block(0), None, None, None, block(0)],
        }
    ]
    assert result.out_format == "results"
    alone = reduce(path, out=tmp_path / "alone.json", out_format="results", agnostic_floor=0.2)
    assert json.loads((tmp_path / "alone.json").read_bytes()) == [
        {"video_id": 1, "category_id": 3, "score": 0.5, "segmentations": [block(0), block(0)]}
    ]
    assert (
        alone.notes[1:]
        == (
            "videos are numbered from 1 in the file's order; companion takes ids from annotations",
            "not in alone.json (results): source, frame_numbers, file_names",
        )
        or alone.notes
    )
    far = write(labels_of(frames=(0, 9)), tmp_path / "far.parquet", format="evfr")
    with pytest.raises(
        AnnotationError, match="video 'a': there is a mask on frame 9, which the companion's video has"
    ):
        reduce(far, companion=truth, out=tmp_path / "far.json")


def test_fields_of_entries_that_are_not_kept_are_said(files, tmp_path):
    _, truth, out = files
    path = save(tmp_path, [RESULTS[0] | {"id": 3, "areas": [100, 100]}])
    assert reduce(path, companion=truth, out=out).notes == ("not kept: areas, id of the entries",)


def test_boxes_are_refused_or_filled(files, tmp_path):
    _, truth, out = files
    boxed = {"video_id": 9, "category_id": 3, "score": 0.5, "bboxes": [[0, 5, 10, 10]]}
    path = save(tmp_path, [boxed])
    with pytest.raises(
        AnnotationError,
        match=r"results\.json: result 0, frame 0: it has a box and no mask, and on_boxes='refuse'; fill boxes",
    ):
        reduce(path, companion=truth, out=out)
    reduce(path, companion=truth, out=out, on_boxes="fill")
    assert json.loads(out.read_bytes())[0]["segmentations"] == [block(0)]
    with pytest.raises(ValueError, match="on_boxes must be refuse or fill, got 'drop'"):
        reduce(path, companion=truth, out=out, on_boxes="drop")


def test_an_empty_list_gives_an_empty_list(files, tmp_path):
    _, truth, out = files
    result = reduce(save(tmp_path, []), companion=truth, out=out)
    assert json.loads(out.read_bytes()) == []
    assert result.videos == ()
    assert "without sequences: 3 of 3 videos" in str(result)


def test_one_bad_video_leaves_the_others(files, tmp_path):
    _, truth, out = files
    path = save(tmp_path, [*RESULTS, RESULTS[6] | {"score": math.nan}, entry(9, 3, 0.5, 1)])
    result = reduce(path, companion=truth, out=out)
    (problem,) = result.problems
    assert problem.code is ProblemCode.E_FAILED
    assert problem.source == "video 'b'"
    assert problem.message == (
        f"{path}: result 7: score must be a number from 0 to 1, got nan; correct the entry or remove it"
    )
    assert {e["video_id"] for e in json.loads(out.read_bytes())} == {41, 9}
    assert [video.video_id for video in result.videos] == ["a", "c"]
    assert "without sequences" not in str(result)
    assert result.to_dict()["problems"][0]["source"] == "video 'b'"


def test_a_file_of_bad_videos_is_one_error(files, tmp_path):
    _, truth, out = files
    path = save(tmp_path, [entry(9, 3, 2.0, 1), entry(41, 3, 3.0, 1, 1)])
    with pytest.raises(
        AnnotationError, match=r"results\.json: result 1: score must be a number from 0 to 1, got 3.0"
    ):
        reduce(path, companion=truth, out=out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"score": math.nan},
            "track 1, frame 0: a sequence needs a score in 0..1, got nan; give results with scores",
        ),
        (
            {"score": 3.0},
            "track 1, frame 0: a sequence needs a score in 0..1, got 3; give results with scores",
        ),
    ],
)
def test_labels_without_proper_scores(tmp_path, fields, message):
    path = write(labels_of(**fields), tmp_path / "labels.parquet", format="evfr")
    with pytest.raises(AnnotationError, match=f"labels.parquet: video 'a', {message}"):
        reduce(path, out=tmp_path / "out.parquet")


def test_files_that_are_no_results(files, tmp_path):
    path, truth, out = files
    with pytest.raises(
        AnnotationError, match=r"results\.json is a list of results, which does not say its videos and"
    ):
        reduce(path, out=out)
    with pytest.raises(AnnotationError, match=r"empty\.json is an empty list, which .*; give companion"):
        reduce(save(tmp_path, [], "empty.json"), out=out)
    with pytest.raises(
        AnnotationError, match=r"truth\.json is no list of results of YouTube-VIS; give a JSON list"
    ):
        reduce(truth, companion=truth, out=out, format="results")
    with pytest.raises(
        AnnotationError, match=r"results\.json is a list, but the companion of results is the annotat"
    ):
        reduce(path, companion=path, out=out)
    with pytest.raises(AnnotationError, match=r"nothing\.json does not exist; check the path"):
        reduce(tmp_path / "nothing.json", out=out)
    with pytest.raises(ValueError, match="format must be one of evfr, coco"):
        reduce(path, out=out, format="xml")


def test_options_that_do_not_fit(files, tmp_path):
    path, truth, out = files
    with pytest.raises(ValueError, match=r"out is the file to reduce itself, .*results\.json; give another"):
        reduce(path, companion=truth, out=path)
    with pytest.raises(
        ValueError, match=r"the ending of .*r\.txt does not tell the format .*; give out_format"
    ):
        reduce(path, companion=truth, out=tmp_path / "r.txt")
    with pytest.raises(ValueError, match=r"out_format must be auto, results or one of evfr, .*, got 'xml'"):
        reduce(path, companion=truth, out=out, out_format="xml")
    with pytest.raises(
        ValueError, match="the reader of results has no option 'stripe'; it has: pattern, start"
    ):
        reduce(path, companion=truth, out=out, format_options={"stripe": 2})
    labels = write(labels_of(), tmp_path / "labels.parquet", format="evfr")
    with pytest.raises(ValueError, match="the reader of 'evfr' has no option 'stripe'; it has: none"):
        reduce(labels, out=out, format_options={"stripe": 2})
    with pytest.raises(ValueError, match="format_options go with a file; these labels are read already"):
        reduce(labels_of(), out=out, format_options={"stripe": 2})
    with pytest.raises(
        ValueError, match=r"companion goes with lists of results, but neither .*labels\.parquet nor"
    ):
        reduce(labels, companion=truth, out=tmp_path / "out.parquet")
    with pytest.raises(AnnotationError, match=r"the labels: .*truth\.json has no video of the name 'z'"):
        reduce(labels_of(video_id="z"), companion=truth, out=out)
    with pytest.raises(ValueError, match="sigma must be above 0, got 0"):
        reduce(path, companion=truth, out=out, sigma=0.0)
    assert not out.exists()


def test_the_numbering_of_frames_can_be_stated(files, tmp_path):
    path, truth, _ = files
    reduce(path, companion=truth, out=tmp_path / "o.parquet", format_options={"stride": 5})
    assert read(tmp_path / "o.parquet").videos[1].frame_index.tolist() == [0, 5, 10]


def test_progress_is_by_video(files):
    path, truth, out = files

    class Listener:
        said: list = []  # noqa: RUF012

        def start(self, label, total=None):
            self.said.append((label, total))

        def advance(self, n=1, text=""):
            self.said.append(text)

        def finish(self):
            self.said.append("end")

    with use_progress(Listener()):
        reduce(path, companion=truth, out=out)
    assert Listener.said[:5] == [("reducing", 3), "a", "b", "c", "end"]


def test_a_file_is_reduced_as_its_sequences_are(tmp_path):
    """The verb on the drawn proposals gives, bit for bit, what the function gives on the same sequences."""
    drawn = draw_proposals(3, n_videos=2)
    truth = write(drawn.truth, tmp_path / "truth.json", format="ytvis")
    raw = [entry for key, one in enumerate(drawn.proposals, 1) for entry in result_entries(one, key)]
    path = write_result_entries(raw, tmp_path / "raw.json")
    reduce(path, companion=truth, out=tmp_path / "reduced.json")
    wanted = [
        entry
        for key, one in enumerate(drawn.proposals, 1)
        for entry in result_entries(reduce_sequences(one).sequence_set, key)
    ]
    assert json.loads((tmp_path / "reduced.json").read_bytes()) == wanted
    # and so does the detour over evfr's own table, in which every class is a track
    table = write(annotations_of(drawn.proposals), tmp_path / "raw.parquet", format="evfr")
    reduce(table, companion=truth, out=tmp_path / "detour.json")
    assert json.loads((tmp_path / "detour.json").read_bytes()) == wanted
    assert len(sequences_of(read(table), "v0")) == len(drawn.proposals[0])


def test_the_command_line_says_the_same_and_lists_bad_videos(files, tmp_path, capsys):
    path, truth, out = files
    words = ["reduce", str(path), "--companion", str(truth), "--out", str(out), "--explain", "--quiet"]
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 0
    assert capsys.readouterr().out == str(reduce(path, companion=truth, out=out, explain=True)) + "\n"
    bad = save(tmp_path, [*RESULTS, RESULTS[6] | {"score": math.inf}], "bad.json")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["reduce", str(bad), "--companion", str(truth), "--out", str(out), "--json", "--quiet"])
    assert exit_.value.code == 3
    said = capsys.readouterr()
    assert json.loads(said.out)["counts"]["given"] == 5
    assert "bad.json: result 7: score must be a number from 0 to 1, got inf; correct the entry" in said.err


def test_each_file_is_parsed_once(files, monkeypatch):
    path, truth, out = files
    read_files = []
    whole_file = _json.read_bytes

    def count(name):
        read_files.append(name)
        return whole_file(name)

    monkeypatch.setattr(_json, "read_bytes", count)
    reduce(path, companion=truth, out=out)
    assert sorted(read_files) == sorted([path, truth])


@pytest.mark.slow
def test_a_hundred_thousand_entries(tmp_path):
    """1,000 videos of two frames with 100 entries each; docs/how-to/reduce-sequences.md has figures of larger masks."""
    videos = [
        {"id": n, "width": 30, "height": 20, "file_names": [f"{n}/0.jpg", f"{n}/1.jpg"]} for n in range(1_000)
    ]
    data = [
        entry(n, 3 if k % 2 else 5, (k * 37 % 100 + 1) / 200, k % 20, (k * 7) % 20)
        for n in range(1_000)
        for k in range(100)
    ]
    path, truth = save(tmp_path, data), save(tmp_path, TRUTH | {"videos": videos}, "truth.json")
    result = reduce(path, companion=truth, out=tmp_path / "out.json")
    # 20 places with five equal entries of one class each: the best of each place stays, ten of a class are allowed.
    assert result.counts["given"] == 100_000
    assert result.counts["suppressed"] + result.counts["below_agnostic_floor"] == 80_000
    assert len(json.loads((tmp_path / "out.json").read_bytes())) == result.counts["labels"] == 20_000
    assert len({video.counts for video in result.videos}) == 1
