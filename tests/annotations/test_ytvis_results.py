"""Lists of results of YouTube-VIS: written ones read back and decode as pycocotools does; wrong ones say what to do."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from evfr._core.annotations import NO_TRACK, Category, ObjectRow, concatenate
from evfr._core.masks import Rle
from evfr.annotations import read, write
from evfr.annotations._json import load_json
from evfr.annotations._ytvis import write_ytvis
from evfr.annotations._ytvis_results import (
    load_results,
    read_companion,
    read_results,
    sequences_of_results,
)
from evfr.annotations._ytvis_results_write import result_entries
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, label_sets

# pycocotools converts arrays in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 8, "name": "dog"}]
COMPANION = {
    "videos": [
        {"id": 7, "width": 6, "height": 4, "file_names": ["a/00000.jpg", "a/00005.jpg", "a/00010.jpg"]},
        {"id": 2, "width": 6, "height": 4, "file_names": ["b/00000.jpg"]},
        {"id": 5, "width": 6, "height": 4, "file_names": [], "name": "hollow"},
    ],
    "annotations": [],
    "categories": CATEGORIES,
}
LEFT, RIGHT = {"counts": [0, 4, 20], "size": [4, 6]}, {"counts": [20, 4], "size": [4, 6]}


def entry(**fields):
    return {"video_id": 7, "category_id": 3, "score": 0.5, "segmentations": [LEFT, None, RIGHT]} | fields


def save(folder, data, name="results.json"):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def sequences(folder, data, *, key=7, companion=COMPANION, **options):
    head = read_companion(save(folder, companion, "truth.json"))
    path = save(folder, data)
    return sequences_of_results(read_results(path, load_json(path), head), key, **options)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(label_sets(every_object="mask", lowest_track=1), st.booleans())
def test_written_results_read_back_with_the_written_annotations_as_companion(tmp_path, labels, has_companion):
    labels = replace(
        labels,
        score=(labels.track_id % 4 + 1) / 8,
        boxes_xyxy=np.full((len(labels), 4), np.nan),
        trust=np.full(len(labels), np.nan),
        source=np.full(len(labels), 2),
        is_crowd=np.zeros(len(labels), bool),
        attributes=(),
    )
    companion = write(labels, tmp_path / "truth.json", format="ytvis")
    path = write(
        labels,
        tmp_path / "results.json",
        format="ytvis",
        results=True,
        **({"companion": companion} if has_companion else {}),
    )
    back = read(path, format="ytvis", companion=companion)
    assert list(back.videos) == list(labels.videos)
    # A result has no track: entries are numbered, one for each track and class, untracked objects alone.
    entries = json.loads(path.read_bytes())
    assert len(back) == len(labels)
    for row, item in enumerate(labels.objects()):
        (same,) = [
            other
            for other in back.objects()
            if (other.video_id, other.frame_index, other.category_id, other.mask, other.score)
            == (item.video_id, item.frame_index, item.category_id, item.mask, item.score)
        ][:1]
        result = entries[same.track_id - 1]
        place = labels.video(item.video_id).frame_index.tolist().index(item.frame_index)
        decoded = coco_mask.decode(result["segmentations"][place])
        np.testing.assert_array_equal(decoded.astype(bool), labels.masks[row].to_mask())
        assert result["score"] == item.score


def test_ids_and_frames_are_the_companions(tmp_path):
    companion = save(tmp_path, COMPANION, "truth.json")
    rows = [
        ObjectRow("a", 2, 8, 1, mask=Rle.from_coco(LEFT), score=0.25),
        ObjectRow("a", 0, 8, 1, mask=Rle.from_coco(RIGHT), score=0.75),
        ObjectRow("a", 0, 3, NO_TRACK, mask=Rle.empty(4, 6), score=1.0),
        ObjectRow("a", 0, 3, NO_TRACK, mask=Rle.from_coco(RIGHT), score=1.0),
    ]
    labels = annotations_of(
        *rows, size=(6, 4), video_id="a", categories=(Category(8, "dog"), Category(3, "cat"))
    )
    other = annotations_of(
        ObjectRow("b", 0, 8, 1, mask=Rle.from_coco(LEFT), score=0.5),
        size=(6, 4),
        video_id="b",
        categories=labels.categories,
    )
    path = write_ytvis(
        concatenate([other, labels]), tmp_path / "results.json", results=True, companion=companion
    )
    left, right, nothing = (
        Rle.from_coco(part).to_coco() for part in (LEFT, RIGHT, {"counts": [24], "size": [4, 6]})
    )
    assert json.loads(path.read_bytes()) == [
        {"video_id": 2, "category_id": 8, "score": 0.5, "segmentations": [left]},
        # the mean of 0.25 and 0.75; the frame between is not there
        {"video_id": 7, "category_id": 8, "score": 0.5, "segmentations": [right, None, left]},
        {"video_id": 7, "category_id": 3, "score": 1.0, "segmentations": [nothing, None, None]},
        {"video_id": 7, "category_id": 3, "score": 1.0, "segmentations": [right, None, None]},
    ]


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (
            {"mask": None, "box_xyxy": (0.0, 0.0, 1.0, 1.0)},
            {},
            "frame 0: results are masks, and it has none; write",
        ),
        ({"score": math.nan}, {}, "frame 0: results need a finite score, got nan; score the object"),
        ({"score": math.inf}, {}, "frame 0: results need a finite score, got inf; score the object"),
        ({"frame_index": 9}, {}, "track 1, frame 9: the companion's video has no such frame; give"),
        (
            {"video_id": "c"},
            {"video_id": "c"},
            r"has no video of the name 'c', it has \['a', 'b', 'hollow'\]; give",
        ),
        (
            {"mask": Rle.empty(3, 6)},
            {"size": (6, 3)},
            "has 6x3 pixels, but 6x4 in .*truth.json; scale the labels",
        ),
        (
            {},
            {"categories": (Category(3, "cow"),)},
            "category 3 is 'cow', but 'cat' in .*truth.json; map the",
        ),
        (
            {},
            {"categories": (Category(3, "cat"), Category(4, "ox"))},
            "category 4 is 'ox', but not there in .*truth.json; map",
        ),
    ],
)
def test_what_cannot_be_written_as_results(tmp_path, row, options, message):
    companion = save(tmp_path, COMPANION, "truth.json")
    given_row = {"video_id": "a", "frame_index": 0, "mask": Rle.from_coco(LEFT), "score": 0.5} | row
    fields = {"size": (6, 4), "video_id": "a", "categories": (Category(3, "cat"),)} | options
    labels = annotations_of(ObjectRow(category_id=3, track_id=1, **given_row), **fields)
    with pytest.raises(AnnotationError, match=f"results.json: .*{message}"):
        write_ytvis(labels, tmp_path / "results.json", results=True, companion=companion)
    assert not (tmp_path / "results.json").exists()


def test_two_videos_of_one_name_cannot_be_told_apart(tmp_path):
    companion = save(
        tmp_path, COMPANION | {"videos": [COMPANION["videos"][0] | {"id": k} for k in (1, 2)]}, "t.json"
    )
    labels = annotations_of(
        ObjectRow("a", 0, 3, 1, mask=Rle.from_coco(LEFT), score=0.5),
        size=(6, 4),
        video_id="a",
        categories=(Category(3, "cat"),),
    )
    with pytest.raises(AnnotationError, match=r"t\.json has 2 videos of the name 'a'"):
        write_ytvis(labels, tmp_path / "results.json", results=True, companion=companion)


def test_a_companion_goes_with_results_only(tmp_path):
    labels = annotations_of(ObjectRow("clip", 0, 1, 1, (0.0, 0.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="companion belongs to results=True"):
        write_ytvis(labels, tmp_path / "a.json", companion=tmp_path / "truth.json")


def test_equal_masks_of_several_classes_are_one_sequence(tmp_path):
    left = Rle.from_coco(LEFT).to_coco()
    data = [
        entry(score=0.25),
        entry(category_id=8, score=0.75, segmentations=[left, None, RIGHT]),  # the same masks, compressed
        entry(category_id=8, score=0.5),  # a second time with this class: a duplicate
        entry(video_id=2, segmentations=[LEFT]),
        entry(score=1.0, segmentations=[LEFT, {"counts": [24], "size": [4, 6]}, None]),
        entry(score=0),
    ]
    found = sequences(tmp_path, data)
    assert [item.provenance.entry for item in found.sequences] == [0, 2, 4]
    assert [item.category_scores.tolist() for item in found.sequences] == [
        [0.25, 0.75],
        [0.0, 0.5],
        [1.0, 0.0],
    ]
    assert [item.score for item in found.sequences] == [0.75, 0.5, 1.0]
    assert [item.category for item in found.sequences] == [-1, -1, 0]
    assert found.sequences[2].masks == (Rle.from_coco(LEFT), None, None)
    assert found.video.video_id == "a"
    assert [category.category_id for category in found.categories] == [3, 8]


def test_entries_come_back_as_they_were(tmp_path):
    data = [
        entry(
            score=0.25, segmentations=[Rle.from_coco(LEFT).to_coco(), None, Rle.from_coco(RIGHT).to_coco()]
        ),
        entry(score=0.5, segmentations=[None, None, Rle.from_coco(LEFT).to_coco()]),
    ]
    data.insert(1, data[0] | {"category_id": 8, "score": 0.75})
    assert result_entries(sequences(tmp_path, data), 7) == data


def test_polygons_and_boxes_become_masks(tmp_path):
    outline = [[0, 0, 1, 0, 1, 4, 0, 4]]
    data = [
        entry(segmentations=[outline, None, None]),
        entry(segmentations=None, bboxes=[[-3.0, 0.4, 4.2, 9.0], None, [0, 0, 0, 0]]),
    ]
    first, second = sequences(tmp_path, data, on_boxes="fill").sequences
    assert first.masks == (Rle.from_coco(LEFT), None, None)
    assert second.masks == (Rle.from_coco(LEFT), None, None)
    with pytest.raises(
        AnnotationError,
        match="result 1, frame 0: it has a box and no mask, and on_boxes='refuse'; fill boxes; corr",
    ):
        sequences(tmp_path, data)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"score": math.nan}, "score must be a number from 0 to 1, got nan"),
        ({"score": math.inf}, "score must be a number from 0 to 1, got inf"),
        ({"score": -math.inf}, "score must be a number from 0 to 1, got -inf"),
        ({"score": 1.5}, "score must be a number from 0 to 1, got 1.5"),
        ({"score": True}, "score must be a number from 0 to 1, got True"),
        ({"score": "0.5"}, "score must be a number from 0 to 1, got '0.5'"),
        ({"score": None}, "score must be a number from 0 to 1, got None"),
        (
            {"segmentations": [LEFT]},
            "must have one entry for each of the video's 3 frames, got 1 entries",
        ),
        (
            {"segmentations": [None] * 4},
            "must have one entry for each of the video's 3 frames, got 4 entries",
        ),
        ({"segmentations": None}, "it has neither segmentations nor bboxes"),
        (
            {"segmentations": [None, {"counts": [23], "size": [4, 6]}, None]},
            "frame 1: .* must add up to 24, got 23",
        ),
        (
            {"segmentations": [{"counts": [9, 99], "size": [4, 6]}] * 3},
            "frame 0: .* must add up to 24, got 108",
        ),
        (
            {"segmentations": [{"counts": [-1, 25], "size": [4, 6]}] * 3},
            "frame 0: the run lengths .* of 0 or more",
        ),
        (
            {"segmentations": [{"counts": [24], "size": [6, 4]}] * 3},
            r"frame 0: the mask's size is \[6, 4\], but",
        ),
        ({"segmentations": [{"counts": "zz~~~zz", "size": [4, 6]}] * 3}, "frame 0: the"),
        (
            {"segmentations": [{"counts": "0", "size": [4, 6]}] * 3},
            "frame 0: the runs .* must add up to 24, got 0",
        ),
        (
            {"segmentations": [[[0, 0, 1, 1, math.nan, 2]], None, None]},
            "frame 0: a polygon's coordinate must be a fin",
        ),
        (
            {"segmentations": [[[0, 0, 1, 1, -math.inf, 2]], None, None]},
            "frame 0: a polygon's coordinate must be a f",
        ),
        ({"segmentations": [[[0, 0, 1, 1, 1e9, 2]], None, None]}, "frame 0: polygon 0 has a coordinate"),
        ({"segmentations": [None, None, 3]}, "frame 2: segmentation must be a list of polygons"),
        (
            {"bboxes": [[0, 0, -1, 2], None, None], "segmentations": None},
            "frame 0: bbox must have a width and height",
        ),
    ],
)
def test_wrong_entries_name_themselves_and_say_what_to_do(tmp_path, fields, message):
    data = [entry(), entry(video_id=2, segmentations=[LEFT]), entry(**fields)]
    with pytest.raises(
        AnnotationError, match=f"results.json: result 2[:,] .*{message}.*; correct the entry or remove it"
    ):
        sequences(tmp_path, data, on_boxes="fill")
    assert len(sequences(tmp_path, data, key=2).sequences) == 1  # the other video is sound


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            [entry(video_id=1)],
            "result 0: video_id 1 is none of the 3 videos of .*truth.json; give the annotations",
        ),
        ([entry(video_id="7")], "result 0: 'video_id' must be a whole number"),
        (
            [entry(category_id=4)],
            r"result 0: category_id 4 is none of the categories \[3, 8\] of .*truth.json; give",
        ),
        (
            [entry(video_id=5, segmentations=[])],
            r"result 0: video 5 \('hollow'\) has no frames in .*; remove the",
        ),
        ([3], r"results\[0\] must be an object, got int"),
        ({"results": []}, "'results' must be a list, got dict"),
        (None, "'results' must be a list, got NoneType"),
    ],
)
def test_wrong_lists(tmp_path, data, message):
    with pytest.raises(AnnotationError, match=f"results.json: {message}"):
        sequences(tmp_path, data)


def test_wrong_companions(tmp_path):
    with pytest.raises(
        AnnotationError, match=r"truth\.json is a list, but the companion of results is the annotation"
    ):
        sequences(tmp_path, [], companion=[entry()])
    twice = COMPANION | {"videos": COMPANION["videos"] * 2}
    with pytest.raises(
        AnnotationError, match=r"truth\.json: video 3: the id 7 is taken by a video before it"
    ):
        sequences(tmp_path, [], companion=twice)
    with pytest.raises(
        AnnotationError, match=r"truth\.json: category 2: the id 3 is taken by a category before it"
    ):
        sequences(tmp_path, [], companion=COMPANION | {"categories": [*CATEGORIES, CATEGORIES[0]]})


def test_an_empty_list_has_no_sequences(tmp_path):
    assert sequences(tmp_path, []).sequences == ()
    assert sequences(tmp_path, [], key=5).sequences == ()


def test_what_is_a_list_of_results(tmp_path):
    for data in ([], [entry()], [{"video_id": 1, "bboxes": []}]):
        assert load_results(save(tmp_path, data)) == data
    for data in ([3], {}, None, [{"image_id": 1, "bbox": []}], [{"video_id": 1}], {"a": [entry()]}):
        assert load_results(save(tmp_path, data)) is None
    assert load_results(tmp_path) is None
    assert load_results(tmp_path / "nothing.json") is None
    (tmp_path / "cut.json").write_text('  [{"video_id": 1')
    with pytest.raises(AnnotationError, match=r"cut\.json is no readable JSON"):
        load_results(tmp_path / "cut.json")


def test_ids_of_entries_do_not_matter(tmp_path):
    """The official evaluation numbers entries itself, whatever ``id`` they have."""
    data = [entry(id=4), entry(id=4, segmentations=[LEFT, None, None])]
    assert len(sequences(tmp_path, data).sequences) == 2


ODD = (
    *(
        None,
        True,
        -1,
        0,
        3,
        2**70,
        10**400,
        1e9,
        0.5,
        math.nan,
        -math.inf,
        "",
        "x",
        "\ud800",
        [],
        {},
        [[]],
        [None],
    ),
    *([[[1, 2]]], [[[0, 0, 1, 0, 1]]], [[[1e9] * 8]], [{"counts": [], "size": [4, 6]}], {"size": [4, 6]}),
)


def places_in(value, path=()):
    """Yield the path to every value inside parsed JSON."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*path, key))


def test_any_odd_value_anywhere_is_read_or_refused_with_the_file_named(tmp_path):
    """Nothing but AnnotationError may leave the reader, whatever stands where."""
    text = Rle.from_coco(LEFT).to_coco()
    sound = [
        entry(),
        entry(category_id=8, segmentations=[text, [[0, 0, 2, 0, 2, 2]], None]),
        entry(segmentations=None, bboxes=[[0, 0, 2, 2], None, None]),
    ]
    counts = {"read": 0, "refused": 0}
    head = read_companion(save(tmp_path, COMPANION, "truth.json"))
    for path in places_in(sound):
        for odd in ODD:
            data = copy.deepcopy(sound)
            if path:
                reach(data, path[:-1])[path[-1]] = odd
            else:
                data = odd
            try:
                sequences_of_results(read_results(tmp_path / "results.json", data, head), 7, on_boxes="fill")
                counts["read"] += 1
            except AnnotationError as error:
                assert "results.json" in str(error), (path, odd)
                counts["refused"] += 1
    assert min(counts.values()) > 50, counts


def reach(data, path):
    for key in path:
        data = data[key]
    return data
