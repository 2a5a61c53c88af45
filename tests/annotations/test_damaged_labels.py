"""Whatever is wrong in a label file, it is read or refused by one `AnnotationError`; nothing else comes out."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from evfr._core.annotations import ObjectRow
from evfr.annotations import read, write
from evfr.errors import AnnotationError
from helpers.labels import annotations_of, squares

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2.5, -2.5, 1e308, 10**30, float("nan")),
    *("", "x", "../a", "1", "clip", [], {}, [1], [[1, 2]], {"a": 1}, [None], [[]]),
]
WORDS = (
    b"-1",
    b"0",
    b"1",
    b"nan",
    b"",
    b"1e308",
    b"x",
    b"9" * 20,
    b"2.5",
    b"../a",
    b"a,b;c",
    b"\xff",
    b"\n",
)


def boxes():
    rows = [
        ObjectRow(
            *("clip", frame, 1, track, (frame + 0.5, track, frame + 3.25, track + 2)),
            attributes={"occluded": True, "a": 1.5, "n": "x"},
        )
        for frame in (0, 1, 3)
        for track in (1, 2)
    ]
    return annotations_of(*rows, frames=[0, 1, 2, 3])


CASES = {
    "mot": ("a.txt", boxes, {}, {"width": 8, "height": 6}),
    "mots": ("a.txt", squares, {"renumber": True}, {}),
    "cvat video": ("a.xml", boxes, {}, {}),
    "cvat images": ("a.xml", squares, {"mode": "images"}, {}),
    "bdd100k boxes": ("a.json", boxes, {}, {}),
    "bdd100k masks": ("a.json", squares, {}, {}),
    "label-studio video": ("a.json", boxes, {}, {}),
    "label-studio images": ("a.json", squares, {"mode": "images"}, {}),
}


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """Replace or delete one value anywhere in the tree."""
    tree = json.loads(data)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            walk(node[key])

    walk(tree)
    node, key = rng.choice(places)
    if rng.random() < 0.25:
        del node[key]
    else:
        node[key] = rng.choice(VALUES)
    return json.dumps(tree).encode()


def damaged_text(data: bytes, rng: random.Random) -> bytes:
    """Replace one attribute, text or number."""
    found = [
        match.span(1)
        for match in re.finditer(rb'="([^"]*)"|(?:^|[ ,>])([-0-9.]+)', data)
        if match[1] is not None
    ]
    found += [match.span() for match in re.finditer(rb"[-0-9.]+", data)]
    start, end = rng.choice(found)
    return data[:start] + rng.choice(WORDS) + data[end:]


@pytest.mark.parametrize("case", CASES)
def test_any_damage_is_read_or_refused(tmp_path, case):
    name, make, writing, reading = CASES[case]
    path = write(make(), tmp_path / name, format=case.split()[0], **writing)
    data = path.read_bytes()
    rng = random.Random(case)
    refused = 0
    for _ in range(100):
        if rng.random() < 0.1:
            place = rng.randrange(len(data))
            path.write_bytes(data[:place] + data[place + rng.randrange(1, 40) :])
        else:
            path.write_bytes((damaged_json if path.suffix == ".json" else damaged_text)(data, rng))
        try:
            read(path, format=case.split()[0], **reading)
        except AnnotationError as error:
            assert str(path) in str(error) or "video '" in str(error)
            refused += 1
    assert 10 < refused < 100
