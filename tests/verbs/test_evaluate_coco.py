"""`evfr evaluate coco`: files in, COCO's figures out; parts are the whole; what does not count is said."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from evfr._core.annotations import (
    NO_TRACK,
    AnnotatedVideo,
    Category,
    ObjectRow,
    VideoAnnotations,
    concatenate,
)
from evfr._core.masks import Rle
from evfr.annotations import read, write
from evfr.errors import AnnotationError
from evfr.metrics import VIS_FIGURES, CocoScores, coco_scores, summarise_coco
from evfr.verbs._evaluate_coco import is_coco_results
from evfr.verbs.evaluate import EvaluateResult, evaluate
from helpers.coco_scenes import SIZE, draw, entries, frame

KINDS = 3


def save(path, data) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def save_coco(folder, truth, found, *, on, ids, images=None, areas=None) -> tuple[str, str]:
    """Write instances and results; ``ids`` are those of the images, which the file lists in that order."""
    heads = [
        {"id": number, "file_name": f"{number:05d}.jpg", "width": SIZE[1], "height": SIZE[0], **extra}
        for number, extra in zip(ids, images or [{}] * len(ids), strict=True)
    ]
    data = {
        "info": {},
        "images": heads,
        "annotations": entries(truth, KINDS, areas=areas),
        "categories": [{"id": k + 1, "name": f"class {k}"} for k in range(KINDS)],
    }
    results = entries(found, KINDS, on=on)
    for entry in (*data["annotations"], *results):
        entry["image_id"] = ids[entry["image_id"] - 1]
    names = {"annotations": "instances", "results": "results"}
    return save(folder / f"{names['annotations']}.json", data), save(
        folder / f"{names['results']}.json", results
    )


def by_pycocotools(truth: str, results: str, on: str) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO(truth)
        run = COCOeval(data, data.loadRes(results), {"boxes": "bbox", "masks": "segm"}[on])
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


def agree(result: EvaluateResult, stats) -> None:
    found = result.overall()
    assert list(found) == list(VIS_FIGURES)
    values = np.array(list(found.values()))
    np.testing.assert_allclose(np.where(np.isnan(values), -1, values), stats, rtol=0, atol=1e-12)


def drawn(seed, **options):
    truth, found = draw(np.random.default_rng(seed), classes=KINDS, **options)
    # A file's crowd of every class is one of each; boxes alone say so too.
    truth = [
        dataclasses.replace(item, category=np.where(item.category < 0, 1, item.category)) for item in truth
    ]
    return truth, found


@pytest.mark.parametrize("on", ["boxes", "masks"])
@pytest.mark.parametrize("seed", range(3))
def test_a_set_of_images(tmp_path, seed, on):
    """Images are no frames, their ids are not in order, which equal scores feel; areas are stated, and other ones."""
    rng = np.random.default_rng(seed)
    truth, found = drawn(seed, images=12, ties=True)
    areas = [np.round(np.exp(rng.uniform(4, 10, len(item)))) for item in truth]
    ids = rng.permutation(100)[:12].tolist()
    files = save_coco(tmp_path, truth, found, on=on, ids=ids, areas=areas)
    result = evaluate("coco", files[1], truth=files[0], on=on)
    agree(result, by_pycocotools(*files, on))
    assert len(result.videos()) == 12
    again = evaluate("coco", files[1], truth=files[0], on=on, category_map="by-name")
    assert again.rows() == result.rows()


def test_frames_of_videos(tmp_path):
    """Frames of two videos in turn: equal scores go by the ids of the images; by_order numbers frames itself."""
    truth, found = drawn(5, images=10, ties=True)
    ids = list(range(1, 11))
    for images, options in (
        ([{"video_id": 1 + n % 2, "frame_id": n} for n in range(10)], {}),
        ([{"video_id": 1 + n % 2} for n in range(10)], {"by_order": 1}),
    ):
        files = save_coco(tmp_path, truth, found, on="masks", ids=ids, images=images)
        data = json.loads((tmp_path / "instances.json").read_text())
        save(
            tmp_path / "instances.json",
            data | {"videos": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]},
        )
        result = evaluate("coco", files[1], truth=files[0], truth_options=options)
        agree(result, by_pycocotools(*files, "masks"))
        assert [item["video_id"] for item in result.videos()] == ["one", "two"]
        assert result.scores.video_row.tolist() == [0, 1] * 5


def labelled(truth, found, names=("a", "b", "c")):
    """Make videos out of pictures, in turn, without any COCO file; also what each video is alone."""
    kinds = [Category(7 + k, f"class {k}") for k in range(KINDS)]
    sides = []
    for pictures in (truth, found):
        rows, heads = [], {name: [] for name in names}
        for number, objects in enumerate(pictures):
            name = names[number * len(names) // len(pictures)]
            heads[name].append(number * 3)
            rows += [
                ObjectRow(
                    name,
                    number * 3,
                    7 + int(objects.category[k]),
                    NO_TRACK,
                    tuple(objects.boxes_xyxy[k].tolist()),
                    objects.masks[k],
                    float(objects.score[k]),
                    is_crowd=bool(objects.is_crowd[k]),
                )
                for k in range(len(objects))
            ]
        videos = [AnnotatedVideo(name, SIZE[1], SIZE[0], np.array(there)) for name, there in heads.items()]
        sides.append(VideoAnnotations.build(videos, kinds, rows))
    return sides


@pytest.mark.parametrize("on", ["boxes", "masks"])
def test_parts_are_the_whole(tmp_path, on):
    """Videos of our own format: the figures of the pictures; each video alone; parts in any order, bit for bit."""
    pictures = drawn(6, images=12, ties=True)
    truth, found = labelled(*pictures)
    files = [
        str(write(side, tmp_path / f"{name}.parquet", format="evfr"))
        for side, name in ((truth, "t"), (found, "f"))
    ]
    whole = evaluate("coco", files[1], truth=files[0], on=on)
    coco = save_coco(tmp_path, *pictures, on=on, ids=list(range(1, 13)))
    agree(whole, by_pycocotools(*coco, on))
    parts = {video.video_id: coco_scores(truth, found, video.video_id, on=on) for video in truth.videos}
    for order in ("abc", "cab"):
        merged = CocoScores.merge([parts[name] for name in order])
        result = EvaluateResult("coco", merged, variant=on)
        assert result.to_dict() == whole.to_dict()
        for item in dataclasses.fields(merged.matches):
            one, other = getattr(merged.matches, item.name), getattr(whole.scores.matches, item.name)
            np.testing.assert_array_equal(one, other)
    pieces = [EvaluateResult("coco", part, variant=on) for part in parts.values()]
    assert EvaluateResult.merge(pieces[::-1]).to_dict() == whole.to_dict()
    for row, (name, part) in enumerate(parts.items()):
        alone = evaluate_alone(truth, found, name, tmp_path, on)
        assert (
            whole.videos()[row]["ap"]
            == alone.to_dict()["overall"]["ap"]
            == pytest.approx(summarise_coco(part.matches).ap)
        )
    rows = whole.rows()
    assert [(item["category_id"], item["category"]) for item in rows] == [
        (7 + k, f"class {k}") for k in range(KINDS)
    ]
    assert rows[0]["truth_count"] == sum(((t.category == 0) & ~t.is_crowd).sum() for t in pictures[0])


def evaluate_alone(truth, found, name, folder, on):
    files = [
        str(write(side.of_video(name), folder / f"{name}{number}.parquet", format="evfr"))
        for number, side in enumerate((truth, found))
    ]
    return evaluate("coco", files[1], truth=files[0], on=on)


def test_what_is_said(tmp_path):
    truth, found = labelled(*drawn(6, images=12))
    files = [
        str(write(side, tmp_path / f"{name}.parquet", format="evfr"))
        for side, name in ((truth, "t"), (found, "f"))
    ]
    result = evaluate("coco", files[1], truth=files[0], on="boxes")
    lines = str(result).splitlines()
    assert lines[0].split() == ["ap", "ap50", "ap75", "ar1", "ar10", "ar100"]
    assert [line[:7].strip() for line in lines[1:5]] == ["class 0", "class 1", "class 2", "coco"]
    assert lines[4].split()[1] == format(result.overall()["ap"], ".3f")
    assert lines[5].startswith("AP by area: small ") and lines[6].startswith("AR by area: small ")
    assert lines[7].split() == lines[0].split()
    assert [line.split()[0] for line in lines[8:11]] == ["a", "b", "c"]
    assert lines[8].split()[1] == format(result.videos()[0]["ap"], ".3f")
    assert lines[11:] == ["left out: nothing", "protocol: boxes"]
    assert repr(result).startswith("EvaluateResult(coco: ap ")
    data = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (data["what"], data["variant"], len(data["categories"]), len(data["videos"])) == (
        "coco",
        "boxes",
        3,
        3,
    )
    many = [f"v{n:02d}" for n in range(24)]
    both = labelled(*drawn(6, images=48), many)
    files = [str(write(side, tmp_path / f"{n}.parquet", format="evfr")) for n, side in enumerate(both)]
    assert str(evaluate("coco", files[1], truth=files[0])).splitlines()[-2:] == [
        "... and 4 more videos, all in --json",
        "left out: nothing",
    ]


def test_what_does_not_count(tmp_path):
    """Classes that the truth does not list, the 101st detection, videos and frames of one side, are told."""
    pictures = drawn(6, images=6)
    truth, found = labelled(*pictures, names=("a", "b"))
    extra = [
        ObjectRow("b", 15, 3, NO_TRACK, (0.0, 0.0, 9.0, 9.0), None, 0.5),
        *[ObjectRow("b", 15, 7, NO_TRACK, (50.0, 50.0, 59.0, 59.0), None, 0.001)] * 101,
    ]
    kinds = [*found.categories, Category(3, "other")]
    found = VideoAnnotations.build(found.videos, kinds, [*found.objects(), *extra])
    more = labelled(*drawn(6, images=6), names=("x", "y"))[1]
    both = concatenate([found, more.of_video("x")])

    def run(labels, **options):
        files = [
            str(write(side, tmp_path / f"{n}.parquet", format="evfr"))
            for n, side in enumerate((truth, labels))
        ]
        return evaluate("coco", files[1], truth=files[0], on="boxes", **options)

    result = run(both)
    notes = "\n".join(str(result).splitlines()[-3:])
    assert "not scored: 1 detections of classes that the truth does not list" in notes
    count = 101 + (pictures[1][5].category == 0).sum() - 100
    assert f"not scored: {count} detections beyond the best 100 of their picture and class" in notes
    assert "not scored: 1 videos that the truth lacks, the first is x" in notes
    head = found.videos[1]
    short = dataclasses.replace(head, frame_index=head.frame_index[:-1], pts=head.pts[:-1])
    cut = found.take((found.video_row == 0) | (found.frame_index != 15))
    cut = dataclasses.replace(cut, videos=(cut.videos[0], short))
    with pytest.raises(AnnotationError, match="the prediction says nothing about 1 of 3 frames"):
        run(cut)
    skipped, empty = run(cut, missing="skip"), run(cut, missing="empty")
    assert (skipped.skipped_count, empty.skipped_count) == (1, 0)
    assert (len(skipped.scores.matches), len(empty.scores.matches)) == (5, 6)
    assert skipped.scores.image_place.tolist() == [0, 1, 2, 3, 4]
    without = run(cut.of_video("a"), missing="empty")
    assert without.scores.frame_index.tolist() == [0, 3, 6, 9, 12, 15]


def test_void(tmp_path):
    """What nobody labelled, a crowd of the class void, takes detections of every class, by its mask."""
    border = np.ones(SIZE, bool)
    border[30:, :] = False
    head = [AnnotatedVideo("a", SIZE[1], SIZE[0], np.array([0]))]
    kinds = [Category(1, "cat"), Category(255, "void")]
    void = ObjectRow("a", 0, 255, NO_TRACK, None, Rle.from_mask(border), is_crowd=True)
    there = [100.0, 60.0, 140.0, 100.0]
    cat = ObjectRow("a", 0, 1, NO_TRACK, tuple(there), Rle.from_box(there, *SIZE))
    spots = ((0.0, 0.0, 20.0, 20.0), tuple(there))
    found = [
        ObjectRow("a", 0, 1, NO_TRACK, box, Rle.from_box(box, *SIZE), score)
        for box, score in zip(spots, (0.9, 0.5), strict=True)
    ]
    truth = VideoAnnotations.build(head, kinds, [void, cat])
    for on in ("boxes", "masks"):
        part = coco_scores(truth, VideoAnnotations.build(head, kinds[:1], found), "a", on=on)
        assert summarise_coco(part.matches).ap == pytest.approx(1.0)
        assert part.matches.outcome[0, 0].tolist() == [2, 1]
    # A crowd of another class is one of that class.
    named = VideoAnnotations.build(head, [kinds[0], Category(255, "sky")], [void, cat])
    part = coco_scores(named, VideoAnnotations.build(head, kinds[:1], found), "a")
    assert part.matches.outcome[0, 0].tolist() == [0, 1]


def test_a_list_needs_its_images(tmp_path):
    truth, found = drawn(6, images=4)
    files = save_coco(tmp_path, truth, found, on="masks", ids=[4, 2, 9, 1])
    ours = str(write(read(files[0], stills=True), tmp_path / "ours.parquet", format="evfr"))
    with pytest.raises(
        AnnotationError, match=r"results\.json is a list of results, which knows its pictures by ids"
    ):
        evaluate("coco", files[1], truth=ours)
    result = evaluate("coco", files[1], truth=ours, predicted_options={"companion": files[0]})
    stated = evaluate("coco", files[1], truth=files[0])
    assert result.overall()["ap50"] == pytest.approx(stated.overall()["ap50"], abs=1e-12)
    # The same detections as a COCO file of their own.
    labels = read(files[1], format="coco", companion=files[0], stills=True)
    own = str(write(labels, tmp_path / "own.json", format="coco"))
    data = json.loads((tmp_path / "own.json").read_text())
    assert evaluate("coco", own, truth=files[0]).rows() == stated.rows()
    for image in data["images"]:
        del image["frame_id"], image["video_id"]
    del data["videos"]
    assert evaluate("coco", save(tmp_path / "own.json", data), truth=files[0]).rows() == stated.rows()
    nothing = evaluate("coco", save(tmp_path / "none.json", []), truth=files[0])
    assert nothing.overall()["ap"] == 0.0


def test_which_lists_are_results(tmp_path):
    for number, (text, is_it) in enumerate(
        (
            ("[]", True),
            ('[{"image_id": 1}]', True),
            ('[{"video_id": 1}]', False),
            ("{}", False),
            ("[1, 2", False),
        )
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        assert is_coco_results(path) is is_it
    assert not is_coco_results(tmp_path) and not is_coco_results(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("change", "on", "text"),
    [
        (
            {"mask": None},
            "masks",
            r"video 'a', frame 0: an object of the prediction has no mask; give it one, or compare",
        ),
        ({"mask": None, "box_xyxy": None}, "boxes", "an object of the prediction has neither box nor mask"),
        ({"score": float("nan")}, "boxes", r"a detection has no finite score; .* \(1 such in this video\)"),
    ],
)
def test_wrong_detections(change, on, text):
    head, box = [AnnotatedVideo("a", SIZE[1], SIZE[0], np.array([0]))], (0.0, 0.0, 9.0, 9.0)
    row = ObjectRow("a", 0, 1, NO_TRACK, box, Rle.from_box(box, *SIZE), 0.5)
    truth = VideoAnnotations.build(head, [Category(1, "cat")], [row])
    with pytest.raises(AnnotationError, match=text):
        coco_scores(
            truth,
            VideoAnnotations.build(head, truth.categories, [dataclasses.replace(row, **change)]),
            "a",
            on=on,
        )


def test_masks_without_boxes(tmp_path):
    """Boxes of results that are masks are theirs; an empty mask is a wrong detection, as in pycocotools."""
    truth, found = drawn(4, images=5)
    found[0] = frame([[0, 0, 0, 0]] * 2, [0, 1], score=[1.0, 0.99], masks=[Rle.empty(*SIZE)] * 2)
    files = save_coco(tmp_path, truth, found, on="masks", ids=[1, 2, 3, 4, 5])
    agree(evaluate("coco", files[1], truth=files[0], on="boxes"), by_pycocotools(*files, "boxes"))


def test_pictures_of_two_sizes():
    """The larger video comes first in the truth: each frame keeps its own detections."""
    kinds, sizes = [Category(1, "cat")], {"a": (60, 90), "b": (40, 50)}
    heads = [AnnotatedVideo(name, width, height, np.arange(2)) for name, (height, width) in sizes.items()]

    def row(name, frame, left, score=float("nan")):
        return ObjectRow(
            name, frame, 1, NO_TRACK, None, Rle.from_box((left, 5, left + 20, 25), *sizes[name]), score
        )

    truth = VideoAnnotations.build(heads, kinds, [row("a", 0, 3), row("b", 0, 3), row("b", 1, 9)])
    found = [row("a", 0, 3, 0.9), row("a", 1, 3, 0.8), row("b", 1, 9, 0.7)]
    both = VideoAnnotations.build(heads, kinds, found)
    scores = coco_scores(truth, both, ["a", "b"])
    assert scores.matches.image_row.tolist() == [0, 1, 3]
    assert scores.matches.outcome[0, 0].tolist() == [1, 0, 1]
    parts = CocoScores.merge([coco_scores(truth, both, name) for name in "ba"])
    assert parts.matches.image_row.tolist() == [0, 1, 3]
    with pytest.raises(AnnotationError, match=r"the prediction has no video 'b'; it has \['a'\]"):
        coco_scores(truth, both.of_video("a"), ["a", "b"])


def test_wrong_sides():
    head = [AnnotatedVideo("a", SIZE[1], SIZE[0], np.array([0]))]
    truth = VideoAnnotations.build(head, [Category(1, "cat")], [])
    with pytest.raises(AnnotationError, match="the truth lists no class, so that there is nothing to find"):
        coco_scores(VideoAnnotations.build(head, [], []), truth, "a")
    with pytest.raises(AnnotationError, match="category 1 is 'cat' in the truth and 'dog' in the prediction"):
        coco_scores(truth, VideoAnnotations.build(head, [Category(1, "dog")], []), "a")
    with pytest.raises(ValueError, match="on must be 'masks' or 'boxes', got 'both'"):
        coco_scores(truth, truth, "a", on="both")
    part = coco_scores(truth, truth, "a")
    assert repr(part) == "CocoScores(1 videos, CocoMatches(1 pictures, 0 detections, 0 true objects))"
    with pytest.raises(ValueError, match="there is nothing to merge"):
        CocoScores.merge([])
    with pytest.raises(ValueError, match="1 videos are in several of the parts"):
        CocoScores.merge([part, part])
    with pytest.raises(ValueError, match="a video is named twice; give repeats as weights"):
        part.of_videos([0, 0])
    other = dataclasses.replace(part, video_ids=("b",), categories=(Category(1, "dog"),))
    with pytest.raises(AnnotationError, match="parts that are merged need one list of classes"):
        CocoScores.merge([part, other])
    with pytest.raises(
        ValueError, match=r"the columns must be equally long, got \[1, 0, 1, 1\] frames and \[1, 1, 1\]"
    ):
        dataclasses.replace(part, video_row=np.zeros(0, np.int64))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"keys": "labels"}, "keys name frames that a person labelled; coco has none"),
        ({"all_frames": True}, "coco counts every annotated frame; leave all_frames out"),
        ({"tracking": True}, "tracking belongs to boxes and vos, not to coco"),
        ({"strict_official": True}, "strict_official belongs to vis, not to coco"),
        ({"unsupervised": True}, "unsupervised belongs to vos, not to coco"),
        ({"unseen": ("cat",)}, "unseen classes belong to vos, not to coco"),
        ({"on": "pixels"}, "on must be masks or boxes, got 'pixels'"),
    ],
)
def test_options_of_others(options, text):
    with pytest.raises(ValueError, match=text):
        evaluate("coco", "found.json", truth="truth.json", **options)
