"""Names that are markup, escape sequences, formulas or pages: shown and written as text."""

from __future__ import annotations

import json
import os

import pytest

from attacks.guard import cli
from torture.coding import encode

NAMES = {
    "markup": "[bold red]x[link=file:x]y[blink].mp4",
    "colours": "\x1b[31mred\x1b[0m.mp4",
    "title": "\x1b]0;owned\x07.mp4",
    "link": "\x1b]8;;file:x\x1b\\click.mp4",
    "clear": "\x9b2J\x9bH.mp4",
    "lines": "a\nevfr: error: forged\r\tb.mp4",
    "other way": "\u202egnp.\u2066exe\u2069.mp4",
    "formula": "=cmd|'calc'!A1.mp4",
    "page": "<img src=x onerror=alert(1)>.mp4",
    "no UTF-8": os.fsdecode(b"caf\xff\xfe.mp4"),
    "255 bytes": "x" * 251 + ".mp4",
    "emoji codes": ":bomb: :warning:.mp4",
}


@pytest.mark.slow
def test_commands_show_names_as_text(work, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # a narrow table folds names
    sound, broken = work / "clips", work / "broken"
    sound.mkdir()
    broken.mkdir()
    encode(work / "clip.mp4", "libx264", count=4, size=(64, 64))
    for name in NAMES.values():
        (sound / name).write_bytes((work / "clip.mp4").read_bytes())
        (broken / name).write_bytes(b"no video")
    clips = [*sorted(sound.iterdir()), *sorted(broken.iterdir())]
    for words in (
        ("inspect", *clips),
        ("score", *clips, "--signals", "difference", "--executor", "serial"),
        (
            "select",
            *clips,
            "--n",
            "12",
            "--signal",
            "difference",
            "--executor",
            "serial",
            "--out",
            work / "out",
        ),
    ):
        assert cli(*words) == 3
        shown = capsys.readouterr()
        for text in (shown.out, shown.err):
            lines = text.split("\n")
            assert all(line.isprintable() for line in lines), [
                line for line in lines if not line.isprintable()
            ]
        assert shown.err.count("evfr: bad input: ") == len(NAMES)
        assert not any(line.startswith("evfr: error: forged") for line in shown.err.split("\n"))
        for kind in ("markup", "formula", "page", "emoji codes"):
            assert NAMES[kind] in shown.out, shown.out
            assert NAMES[kind] in shown.err, shown.err
    assert cli(*words, "--json") == 3
    out = capsys.readouterr().out
    assert out.isascii()
    json.loads(out)
    page = (work / "out" / "report.html").read_bytes()
    assert page.isascii()
    assert b"<img src=x" not in page and b"\x1b" not in page


@pytest.mark.parametrize("name", ["=cmd|'calc'!A1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "\rx"])
def test_a_table_for_spreadsheets_holds_no_formula(name):
    import csv
    import io

    from evfr.experiments._report_text import csv_text
    from evfr.experiments._table import ArmSummary

    numbers = dict.fromkeys(("mean", "low", "high", "blind", "n_frames", "n_objects"), -1.0)
    summary = ArmSummary.__new__(ArmSummary)
    for field in ArmSummary.__slots__:
        object.__setattr__(summary, field, numbers.get(field, 1))
    for field, value in (("test", name), ("arm", name), ("figures", {"score": -0.5})):
        object.__setattr__(summary, field, value)
    head, row = list(csv.reader(io.StringIO(csv_text([summary]), newline="")))
    found = dict(zip(head, row, strict=True))
    assert found["arm"] == found["test"] == (f"'{name}" if name.isprintable() else repr(name)[1:-1])
    assert found["mean"] == "-1.0" and found["score"] == "-0.5"


@pytest.mark.slow
def test_labels_with_names_of_terminals(work, capsys):
    """A class, a file and a track are called like escape sequences; the error that names them is one plain line."""
    path = work / "a.json"
    esc = "\x1b]0;x\x07\u202e\n\x9b"
    labels = {
        "images": [{"id": 1, "file_name": f"../{esc}.png", "width": 8, "height": 8, "frame_index": 0}],
        "annotations": [],
        "categories": [{"id": 1, "name": esc}],
    }
    path.write_text(json.dumps(labels))
    encode(work / "clip.mp4", "libx264", count=2, size=(8, 8))
    assert (
        cli("overlay", work / "clip.mp4", "--labels", path, "--label-format", "coco", "--out", work / "o.mp4")
        == 1
    )
    lines = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[-1].startswith("evfr: error: ") and "leads out of its folder" in lines[-1]


def test_xml_and_yaml_hold_names_as_text(work):
    """What is written for other tools comes back as it was: nothing in a name ends a field or opens another."""
    from evfr._core.annotations import Category, ObjectRow
    from evfr.annotations import read, write
    from helpers.labels import annotations_of

    names = ('a"><evil/>', "b'&lt;", "c: !!python/object:x", "d # e", "- f", "[g]", "{h}", "*i", "%j", "=k")
    categories = tuple(Category(place, name) for place, name in enumerate(names, 1))
    rows = [ObjectRow("clip", 0, place, place, (1.0, 1.0, 4.0, 4.0)) for place in range(1, len(names) + 1)]
    labels = annotations_of(*rows, frames=[0], categories=categories, size=(8, 8))
    cvat = read(write(labels, work / "a.xml", format="cvat"), format="cvat")
    assert sorted(category.name for category in cvat.categories) == sorted(names)
    yolo = read(write(labels, work / "yolo", format="yolo"), format="yolo", size=(8, 8))
    assert sorted(category.name for category in yolo.categories) == sorted(names)
