"""Trainers of the user: what they get, what they may leave, and how their failures are told."""

from __future__ import annotations

import json
import shlex
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evfr._core.labelled import IGNORE_ID, LabelledClip
from evfr._core.masks import Rle
from evfr.errors import InputError, WorkerError
from evfr.experiments._command import command_words, run_command
from evfr.experiments._command_files import export_clips

VALUES = {"train": "/t r", "val": "/v", "iters": "7", "seed": "3", "out": "/o"}
ALL = "{train} {val} {iters} {seed} {out}"


def drawn(name="a", frames=3, seed=0, **more):
    """Return a clip of a noisy ground with one object of class 0 on each frame, one of class 1, and ignored pixels."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((frames, 12, 16), np.uint8)
    ids[:, 2:6, 3:8] = 1
    ids[0, 8:11, 10:15] = 2
    ids[1:2, :, 15] = IGNORE_ID
    category = np.full((frames, 2), -1, np.int16)
    category[:, 0], category[0, 1] = 0, 1
    images = rng.integers(0, 256, (*ids.shape, 3), dtype=np.uint8)
    return LabelledClip(
        name, np.arange(frames) * 10 + seed, images, ids, category, ("cat", "big dog"), **more
    )


def script(folder: Path, text: str) -> str:
    """Return the command that runs a Python program with all five values."""
    path = folder / "my trainer.py"
    path.write_text("import json, pathlib, sys\ntrain, val, iters, seed, out = sys.argv[1:]\n" + text)
    return f"{shlex.quote(sys.executable)} -I {shlex.quote(str(path))} {ALL}"


def run(folder, text, kind="instances", **more):
    return run_command(
        script(folder, text),
        train=[drawn()],
        val=[drawn("b", 2, 1), drawn("c", 1, 2)],
        kind=kind,
        iterations=7,
        seed=3,
        out=folder / "out",
        **more,
    )


def test_words_are_split_before_values_are_put_in():
    words = command_words(
        'run "{train}" --it={iters} \'{val}\' {seed} {out}/x {{seed}} {"a":{}} "a b"', VALUES
    )
    assert words == ["run", "/t r", "--it=7", "/v", "3", "/o/x", "{seed}", "{a:{}}", "a b"]


def test_values_are_never_read_as_commands():
    evil = {**VALUES, "train": "$(rm -rf x); {out} 'q"}
    assert command_words(f"run {ALL}", evil)[1] == evil["train"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("run 'x", r"cannot be split into words \(No closing quotation\): run 'x"),
        ("  ", "the command is empty"),
        (
            f"run {ALL} {{epochs}}",
            r"has \{epochs\}, which means nothing; there are \{train\}, .*\{\{epochs\}\}",
        ),
        (
            "run {train} {val} {iters} {out}",
            r"lacks \{seed\}, the seed, without which repeated runs would be one",
        ),
        ("run {train} {val} {seed} {out}", r"lacks \{iters\}, how many iterations"),
    ],
)
def test_commands_that_cannot_be_meant(command, message):
    with pytest.raises(ValueError, match=message):
        command_words(command, VALUES)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools
def test_what_is_written_reads_back_as_the_clips(tmp_path):
    from pycocotools.coco import COCO

    clips = [drawn(), drawn("b", 2, 1)]
    frames = export_clips(clips, tmp_path / "train")
    assert [frame.image_id for frame in frames] == [1, 2, 3, 4, 5]
    assert frames[4].name == "0001_000000011.png"
    coco = COCO(str(tmp_path / "train" / "instances.json"))
    assert [c["name"] for c in coco.loadCats([1, 2])] == ["cat", "big dog"]
    for frame in frames:
        clip = clips[frame.clip]
        entry = coco.loadImgs(frame.image_id)[0]
        assert (entry["width"], entry["height"]) == (16, 12)
        assert entry["frame_id"] == clip.frame_index[frame.place]
        image = np.asarray(Image.open(tmp_path / "train" / "images" / entry["file_name"]))
        assert (image == clip.images[frame.place]).all()
        labels = np.asarray(Image.open(tmp_path / "train" / "labels" / entry["file_name"]))
        assert (labels == clip.label_map(frame.place)).all()
        found = coco.loadAnns(coco.getAnnIds(frame.image_id))
        own = [a for a in found if not a["iscrowd"]]
        truth = clip.objects(frame.place)
        rows = np.flatnonzero(~truth.is_crowd)
        assert [a["category_id"] - 1 for a in own] == truth.category[rows].tolist()
        for a, row in zip(own, rows, strict=True):
            assert (coco.annToMask(a).astype(bool) == truth.masks[row].to_mask()).all()
            x, y, w, h = a["bbox"]
            assert [x, y, x + w, y + h] == truth.boxes_xyxy[row].tolist()
            assert a["area"] == truth.masks[row].area
        crowd = [a for a in found if a["iscrowd"]]
        assert sorted(a["category_id"] for a in crowd) == ([1, 2] if frame.place == 1 else [])
        for a in crowd:
            assert (coco.annToMask(a) == (clip.ids[frame.place] == IGNORE_ID)).all()


def test_noised_copies_become_pictures_of_their_own(tmp_path):
    std = np.full((3, 12, 16, 3), 4.0, np.float32)
    clip = drawn(noise_std=std, copies=4)
    frames = export_clips([clip], tmp_path / "a", seed=1)
    assert len(frames) == 12
    pictures = [np.asarray(Image.open(tmp_path / "a" / "images" / f.name)).astype(int) for f in frames[:4]]
    assert all((a != b).any() for a, b in pairwise(pictures))
    assert all(2 < np.abs(p - clip.images[0]).mean() < 5 for p in pictures)
    export_clips([clip], tmp_path / "b", seed=1)
    export_clips([clip], tmp_path / "c", seed=2)
    name = frames[5].name
    assert (tmp_path / "a/images" / name).read_bytes() == (tmp_path / "b/images" / name).read_bytes()
    assert (tmp_path / "a/images" / name).read_bytes() != (tmp_path / "c/images" / name).read_bytes()
    # Written again with fewer frames, nothing of before is left over.
    export_clips([drawn(frames=1)], tmp_path / "a")
    assert len(list((tmp_path / "a" / "images").iterdir())) == 1


def test_clips_that_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="there is no frame to write in 0 clips"):
        export_clips([], tmp_path)
    other = drawn("b")
    other = LabelledClip("b", other.frame_index, other.images, other.ids, other.category, ("cat", "cow"))
    with pytest.raises(ValueError, match="must share classes, got cat, big dog of a and cat, cow of b"):
        export_clips([drawn(), other], tmp_path)


INSTANCES = """
assert (iters, seed) == ("7", "3")
data = json.loads((pathlib.Path(val) / "instances.json").read_text())
assert "annotations" not in data and not list((pathlib.Path(val) / "labels").iterdir())
truth = json.loads((pathlib.Path(train) / "instances.json").read_text())["annotations"][0]
print("learnt from", len(list((pathlib.Path(train) / "images").iterdir())))
found = [
    {"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4.5], "segmentation": truth["segmentation"]},
    {"image_id": 3, "category_id": 1, "score": 1, "segmentation": [[2, 3, 6, 3, 6, 8, 2, 8]]},
]
(pathlib.Path(out) / "results.json").write_text(json.dumps(found))
"""


def test_instances_come_back(tmp_path):
    first, second = run(tmp_path, INSTANCES)
    assert [len(frame) for frame in first] == [1, 0]
    assert first[0].category.tolist() == [1]
    assert first[0].boxes_xyxy.tolist() == [[1, 2, 4, 6.5]]
    assert first[0].score.tolist() == [0.5]
    assert first[0].masks[0] == Rle.from_mask(drawn().ids[0] == 1)
    assert second[0].boxes_xyxy.tolist() == [[2, 3, 6, 8]]
    assert not second[0].is_crowd.any()
    assert (tmp_path / "out" / "log.txt").read_text() == "learnt from 3\n"
    note = json.loads((tmp_path / "out" / "command.json").read_text())
    assert (note["exit_code"], note["is_timed_out"]) == (0, False)
    assert note["command"][3:] == [str(tmp_path / "out" / part) for part in ("train", "val")] + [
        "7",
        "3",
        str(tmp_path / "out"),
    ]
    # What an earlier run left does not pass for what this one found.
    with pytest.raises(InputError, match=r"left no .*results\.json: No such file"):
        run(tmp_path, "")


PIXELS = """
from PIL import Image
folder = pathlib.Path(out) / "masks"
for number, path in enumerate(sorted((pathlib.Path(val) / "images").iterdir())):
    plane = Image.new("P" if number else "L", (16, 12), number)
    plane.putpalette([9, 8, 7] * 3) if number else None
    plane.save(folder / path.name)
"""


def test_maps_come_back_grey_or_with_a_palette(tmp_path):
    first, second = run(tmp_path, PIXELS, "pixels")
    assert first.shape == (2, 12, 16)
    assert first.dtype == np.uint8
    assert [int(m.max()) for m in (*first, *second)] == [0, 1, 2]


def entry(**changes):
    full = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [0, 0, 2, 2], **changes}
    return json.dumps([{k: v for k, v in full.items() if v is not None}])


RLE = {"size": [12, 16], "counts": [10, 182]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("{}", "must be a list of COCO results, got dict"),
        ("[3]", "entry 0 must be a JSON object, got int"),
        (entry(image_id=None), "entry 0: image_id must be a whole number, got None"),
        (entry(image_id=4), r"entry 0: image_id 4 is unknown; val/instances\.json has 1 to 3"),
        (entry(category_id=0), "category_id 0 is unknown; .* has 1 to 2"),
        (entry(category_id=True), "category_id must be a whole number, got True"),
        (entry(score=None), "entry 0: score must be a finite number, got None"),
        (entry(score=float("nan")), "score must be a finite number, got nan"),
        (entry(bbox=None), "bbox must be x, y, width, height, got None"),
        (entry(bbox=[1, 2, 3]), "bbox must be x, y, width, height"),
        (entry(bbox=[1, 2, -3, 4]), "width and height of 0 or more"),
        (entry(bbox=[1, 2, "3", 4]), "bbox must be a finite number, got '3'"),
        (entry(segmentation={"size": [12, 16]}), "segmentation cannot be read: a mask in COCO form needs"),
        (entry(segmentation=[[1, 2]]), "segmentation cannot be read: polygon 0"),
        (entry(segmentation={"size": [12, 1], "counts": [12]}), "segmentation is 1x12, its image 16x12"),
        (
            entry()[:-1] + "," + entry(segmentation=RLE)[1:],
            "entry 1 has a segmentation, unlike those before it",
        ),
        (
            entry(segmentation=RLE)[:-1] + "," + entry()[1:],
            "entry 1 has no segmentation, unlike those before it",
        ),
    ],
)
def test_results_that_cannot_be_meant(tmp_path, text, message):
    from evfr.experiments._command_results import read_results

    clips = [drawn("b", 2, 1), drawn("c", 1, 2)]
    frames = export_clips(clips, tmp_path / "val", is_labelled=False)
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(tmp_path / "results.json", frames, clips)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: None,
            r"lacks 0001_000000002\.png, .* \(it has 2 others, for example 0000_000000001\.png\)",
        ),
        (lambda p: p.write_bytes(b"x"), "cannot be read"),
        (lambda p: Image.new("RGB", (16, 12)).save(p), "8 bit grey or palette, .* got mode RGB"),
        (lambda p: Image.new("L", (12, 16)).save(p), "is 12x16, its image 16x12"),
        (lambda p: Image.new("L", (16, 12), 3).save(p), "has the value 3; .* 1 to 2 for classes"),
    ],
)
def test_masks_that_cannot_be_meant(tmp_path, make, message):
    from evfr.experiments._command_results import read_masks

    clips = [drawn("b", 2, 1), drawn("c", 1, 2)]
    frames = export_clips(clips, tmp_path / "val", is_labelled=False)
    folder = tmp_path / "masks"
    folder.mkdir()
    with pytest.raises(InputError, match=r"lacks 0000_000000001\.png, .* \(it has none\)"):
        read_masks(folder, frames, clips)
    for frame in frames[:-1]:
        Image.new("L", (16, 12)).save(folder / frame.name)
    make(folder / frames[-1].name)
    with pytest.raises(InputError, match=message):
        read_masks(folder, frames, clips)


def test_a_failure_is_told_with_the_end_of_the_log(tmp_path):
    text = "print('loading'); print('50 %\\r100 %')\nraise SystemExit('no GPU here')"
    with pytest.raises(
        WorkerError, match=r"exit code 1: .*loading \| 50 % \| 100 % \| no GPU here; all of it is in"
    ):
        run(tmp_path, text)
    assert json.loads((tmp_path / "out" / "command.json").read_text())["exit_code"] == 1
    with pytest.raises(WorkerError, match=r"failed with signal SIGKILL: .*it printed nothing"):
        run(tmp_path, "import os; os.kill(os.getpid(), 9)")


def test_a_late_command_is_ended_with_all_that_it_started(tmp_path):
    text = (
        "import subprocess, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path(out, 'pid').write_text(str(child.pid)); print('busy', flush=True); time.sleep(60)"
    )
    begin = time.monotonic()
    with pytest.raises(WorkerError, match=r"was ended after 1\.5 s: .*it printed at last: busy"):
        run(tmp_path, text, timeout_seconds=1.5)
    assert time.monotonic() - begin < 30
    child = Path("/proc") / (tmp_path / "out" / "pid").read_text() / "stat"
    for _ in range(100):
        if not child.exists() or child.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child of the command still runs")
    assert json.loads((tmp_path / "out" / "command.json").read_text())["is_timed_out"]


def test_programs_that_are_not_there_and_wrong_numbers(tmp_path):
    given = {"train": [drawn()], "val": [drawn("b")], "out": tmp_path, "iterations": 1, "seed": 0}
    with pytest.raises(InputError, match="cannot be started: no-such-program-of-ours: No such file"):
        run_command(f"no-such-program-of-ours {ALL}", kind="pixels", **given)
    with pytest.raises(ValueError, match="kind must be 'instances' or 'pixels', got 'boxes'"):
        run_command(f"x {ALL}", kind="boxes", **given)
    with pytest.raises(ValueError, match="iterations must be 1 or more and seed 0 or more, got 0 and 0"):
        run_command(f"x {ALL}", kind="pixels", **{**given, "iterations": 0})
    with pytest.raises(ValueError, match="timeout_seconds must be above 0, got 0"):
        run_command(f"x {ALL}", kind="pixels", timeout_seconds=0, **given)
