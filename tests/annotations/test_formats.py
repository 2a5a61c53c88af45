"""One way in and out of every format, and what each keeps; places and names that are not safe."""

from __future__ import annotations

import inspect
import math
import os
import random
import shutil
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from evfr._core.annotations import NO_TRACK, Category, ObjectRow
from evfr._core.masks import Rle
from evfr.annotations import FACTS, FORMATS, lost, read, write
from evfr.annotations._paths import ZipPlace, open_place, read_bytes, safe_name
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, squares


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_its_contract(name):
    item = FORMATS[name]
    assert item.name == name
    assert item.keeps <= set(FACTS)
    assert item.suffixes
    assert all(suffix == "" or suffix.startswith(".") for suffix in item.suffixes)
    assert item.summary
    for function, n in ((item.read, 1), (item.write, 2)):
        kinds = [p.kind for p in inspect.signature(function).parameters.values()]
        assert kinds[:n] == [inspect.Parameter.POSITIONAL_OR_KEYWORD] * n
        assert set(kinds[n:]) <= {inspect.Parameter.KEYWORD_ONLY}


def test_a_format_is_told_from_its_content(tmp_path):
    paths = {
        "evfr": write(squares(2), tmp_path / "a.parquet", format="evfr"),
        "coco": write(squares(2), tmp_path / "b.json", format="coco"),
        "ytvis": write(squares(2), tmp_path / "c.json", format="ytvis"),
        "davis": write(squares(2), tmp_path / "d", format="davis"),
    }
    for name, path in paths.items():
        back = read(path)
        assert back.masks == squares(2).masks, name
        assert back.equals(read(path, format=name)), name
    zipped = write(squares(2), tmp_path / "d.zip", format="davis")
    assert read(zipped).masks == squares(2).masks


def test_what_cannot_be_told_is_asked(tmp_path):
    with pytest.raises(AnnotationError, match=r"does not exist; check the path"):
        read(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(
        AnnotationError, match=r"cannot be told from its ending and content; say which with format=.*coco"
    ):
        read(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(AnnotationError, match=r"cannot be told"):
        read(tmp_path / "a.json")
    (tmp_path / "a.bin").write_bytes(b"x")
    with pytest.raises(AnnotationError, match=r"one of: evfr, coco"):
        read(tmp_path / "a.bin")
    (tmp_path / "m").mkdir()
    (tmp_path / "m/00000.png").write_bytes(b"x")
    with pytest.raises(AnnotationError, match=r"masks"):
        read(tmp_path / "m")
    both = tmp_path / "both"
    write(squares(1), both, format="yolo")
    shutil.move(write(squares(1), tmp_path / "d", format="davis") / "Annotations", both)
    with pytest.raises(
        AnnotationError, match=r"several formats fit; say which with format=, one of: .*davis.*yolo"
    ):
        read(both)


def test_wrong_names_and_options(tmp_path):
    path = write(squares(1), tmp_path / "a.parquet", format="evfr")
    with pytest.raises(ValueError, match=r"format must be one of evfr, coco.* got 'voc'"):
        read(path, format="voc")
    with pytest.raises(ValueError, match=r"got 'auto'"):
        write(squares(1), path, format="auto")
    with pytest.raises(TypeError, match=r"the reader of 'evfr' has no option 'start'; it has: none"):
        read(path, format="evfr", start=1)
    with pytest.raises(
        TypeError, match=r"the writer of 'davis' has no option 'palette'; it has: resolution, priority"
    ):
        write(squares(1), path, format="davis", palette=1)


def test_what_is_lost():
    assert lost(squares(2), "davis") == ()  # tight boxes follow from the masks
    box = (0.0, 0.0, 1.0, 1.0)
    rich = annotations_of(
        ObjectRow("clip", 0, 1, 2, box, Rle.from_mask(np.ones((6, 8))), 0.5, "carried", 0.9, True, {"a": 1}),
        ObjectRow("clip", 2, 2, NO_TRACK, box),
        frames=[0, 1, 2],
        categories=(Category(1, "a"), Category(2, "b")),
        pts=np.array([3, 4, 5]),
        time_base=Fraction(1, 30),
        content_hash="ab",
        file_names=("a", "b", "c"),
    )
    assert lost(rich, "evfr") == ()
    assert lost(rich, "davis") == tuple(f for f in FACTS if f not in FORMATS["davis"].keeps)
    assert "trust" in lost(rich, "yolo")
    assert lost(annotations_of(ObjectRow("clip", 0, 1, 1, box, score=math.nan)), "mot") == ()
    with pytest.raises(ValueError, match="format must be one of"):
        lost(rich, "voc")


@pytest.mark.parametrize(
    "name",
    ["../a", "a/../../b", "/etc/passwd", "C:/a", "c:a", "a\\b", "a\0b", "", ".", "./", "//", 5, None, ["a"]],
)
def test_names_that_leave_their_root(name):
    with pytest.raises(AnnotationError, match=r"x.json: entry 3: .*file name"):
        safe_name(name, "x.json: entry 3")


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "a..b.png", "...", "a/./b", "ä b/漢.png"])
def test_names_that_stay(name):
    assert safe_name(name, "x") == name


def test_links_and_special_files(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "out.png").symlink_to(secret)
    (folder / "in.png").symlink_to(folder / "below/real.png")
    (folder / "below/real.png").write_bytes(b"real")
    (folder / ".hidden.png").write_bytes(b"")
    with open_place(folder) as place:
        assert place.names == ("below/real.png", "in.png", "out.png")
        assert place.read("in.png") == b"real"
        with pytest.raises(AnnotationError, match=r"out.png is a link that leads out of"):
            place.read("out.png")
        with pytest.raises(AnnotationError, match=r"leads out of its folder"):
            place.read("../secret.png")
    os.mkfifo(folder / "pipe.png")
    with open_place(folder) as place, pytest.raises(AnnotationError, match=r"pipe.png is no file"):
        place.read("pipe.png")
    with pytest.raises(AnnotationError, match=r"has 4 bytes, more than 3"):
        read_bytes(folder / "below/real.png", most=3)
    with pytest.raises(AnnotationError, match=r"cannot read"):
        read_bytes(folder / "a\0b")
    with pytest.raises(AnnotationError, match=r"is neither a folder nor a zip"):
        open_place(secret)
    with pytest.raises(AnnotationError, match=r"does not exist; give the folder"):
        open_place(tmp_path / "none")


def test_folders_that_cannot_be_looked_into_or_written(tmp_path, monkeypatch):
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(AnnotationError, match=r"cannot write .*out: "):
        write(squares(1), tmp_path / "out", format="davis")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]

    def refuse(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(AnnotationError, match=r"cannot look into .*: \[Errno 5\]"):
        open_place(tmp_path)


def zipped(path, *members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def test_zips(tmp_path):
    path = zipped(tmp_path / "a.zip", ("b.png", b"1"), ("__MACOSX/b.png", b"2"), ("c/", b""), (".x.png", b""))
    with open_place(path) as place:
        assert place.names == ("b.png",)
        assert place.read("b.png") == b"1"
        with pytest.raises(AnnotationError, match=r"has no member 'c.png'"):
            place.read("c.png")
    for name in ("../x.png", "/x.png", "a\\b.png"):
        with pytest.raises(AnnotationError, match=r"leads out of its folder"):
            open_place(zipped(tmp_path / "b.zip", (name, b"")))
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(tmp_path / "c.zip", ("a.png", b"1"), ("a.png", b"2"))
    with pytest.raises(AnnotationError, match=r"has two members 'a.png'"):
        open_place(tmp_path / "c.zip")
    (tmp_path / "d.zip").write_bytes(b"PK no")
    with pytest.raises(AnnotationError, match=r"is a broken zip"):
        open_place(tmp_path / "d.zip")
    with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * (1 << 25))
    with pytest.raises(AnnotationError, match=r"member 'a.png' unpacks to far more than it takes"):
        open_place(tmp_path / "e.zip")
    data = bytearray(zipped(tmp_path / "f.zip", ("a.png", b"payload")).read_bytes())
    data[data.index(b"payload")] ^= 1
    (tmp_path / "f.zip").write_bytes(data)
    with (
        open_place(tmp_path / "f.zip") as place,
        pytest.raises(AnnotationError, match=r"member 'a.png' is broken: Bad CRC"),
    ):
        place.read("a.png")
    data = bytearray(zipped(tmp_path / "g.zip", ("a.png", b"payload")).read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "g.zip").write_bytes(data)
    with pytest.raises(AnnotationError, match=r"is encrypted; unpack it and give the folder"):
        open_place(tmp_path / "g.zip")


def test_limits_of_zips(tmp_path, monkeypatch):
    monkeypatch.setattr("evfr.annotations._paths._MEMBERS_MOST", 1)
    with pytest.raises(AnnotationError, match=r"has 2 members, more than 1"):
        open_place(zipped(tmp_path / "a.zip", ("a", b""), ("b", b"")))
    place = ZipPlace(zipped(tmp_path / "b.zip", ("a.png", b"12345")))
    place._members["a.png"].file_size = 9
    with place, pytest.raises(AnnotationError, match=r"member 'a.png' is broken"):
        place.read("a.png")


TOKENS = (b"NaN", b"-1", b"1e999", b"null", b"[]", b"{}", b'"x"', b"true", b"9" * 25, b"\xff", b"0.5")


@pytest.mark.parametrize("n", [60, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "suffix", "options"),
    [
        ("evfr", ".parquet", {}),
        ("coco", ".json", {}),
        ("ytvis", ".json", {}),
        ("davis", ".zip", {}),
        ("yolo", ".zip", {"size": (16, 12)}),
    ],
)
def test_damaged_files_give_labels_or_one_error(tmp_path, name, suffix, options, n):
    """Bytes are flipped, cut out and put in; no other exception may pass, and no library may end the process."""
    data = write(squares(3), tmp_path / f"a{suffix}", format=name).read_bytes()
    rng = random.Random(n)
    path = tmp_path / f"b{suffix}"
    refused = 0
    for _ in range(n):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 5])):
            place, kind = rng.randrange(len(damaged)), rng.random()
            if kind < 0.5:
                damaged[place] = rng.randrange(256)
            elif kind < 0.75:
                damaged[place : place + rng.randrange(1, 6)] = rng.choice(TOKENS)
            else:
                del damaged[place : place + rng.randrange(1, 30)]
        path.write_bytes(damaged)
        try:
            read(path, format=name, **options)
        except AnnotationError as error:
            assert "b" + suffix in str(error)
            refused += 1
    assert refused > n // 2


def test_damaged_statistics_of_a_column(tmp_path):
    """pyarrow ends the process when asked for such a column's facts; every byte of the footer is tried."""
    data = write(squares(2), tmp_path / "a.parquet", format="evfr").read_bytes()
    footer = int.from_bytes(data[-8:-4], "little")
    for place in range(len(data) - 8 - footer, len(data) - 8, 11):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        (tmp_path / "b.parquet").write_bytes(damaged)
        try:
            read(tmp_path / "b.parquet", format="evfr")
        except AnnotationError as error:
            assert "b.parquet" in str(error)


def test_a_zip_member_without_a_name(tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", ("a", b"1")).read_bytes())
    head, entry = 0, data.index(b"PK\1\2")
    for start, width in ((entry + 28, 46), (head + 26, 30)):
        data[start] = 0
        del data[(entry if width == 46 else head) + width]
    end = data.index(b"PK\5\6")
    data[end + 12] -= 1
    data[end + 16] -= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(AnnotationError, match=r"a file name must be a text that is not empty"):
        open_place(tmp_path / "a.zip")


def test_the_page_says_what_each_format_keeps():
    page = (Path(__file__).parents[2] / "docs/how-to/labels.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    head = next(row for row in rows if row[0] == "" and "`evfr`" in row)
    names = [cell.strip("`") for cell in head[1:]]
    assert set(names) == set(FORMATS)
    told = {row[0]: row[1:] for row in rows if row[0] in FACTS}
    assert list(told) == list(FACTS)
    for fact, cells in told.items():
        assert {n for n, cell in zip(names, cells, strict=True) if cell} == {
            n for n in FORMATS if fact in FORMATS[n].keeps
        }
