"""JSON, TOML, YAML and XML that break parsers, in every file that evfr reads as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks.guard import bounded, refused
from attacks.makers import DEEP_LIST, DEEP_OBJECT
from evfr.errors import AnnotationError, EvfrError, InputError, SelectionFileError

DIGITS = "9" * 1_000_000
TEXTS: dict[str, bytes] = {
    "lists in lists": DEEP_LIST.encode(),
    "objects in objects": DEEP_OBJECT.encode(),
    "a million digits": b'{"version": ' + DIGITS.encode() + b"}",
    "half a pair": b'{"version": 1, "\\ud800": "\\ud800"}',
    "a list": b"[]",
    "a number": b"1e400",
    "nothing": b"",
    "NaN": b'{"version": NaN, "schema": NaN, "model_type": NaN, "kind": NaN}',
    "Infinity": b'{"version": -Infinity, "schema": 1e400}',
    "UTF-16 of nothing known": '{"a": 1}'.encode("utf-16"),
    "a mark and nothing known": b'\xef\xbb\xbf{"a": 1}',
    "no text": b"\xff\xfe\xfd",
    "keys twice": b'{"version": 1, "version": 2, "format": "a", "format": "b"}',
}


def doors(folder: Path) -> dict[str, tuple[str, object]]:
    """Return every door of one JSON file: the file's name, and what reads it."""
    from evfr._core.selection import read_manifest
    from evfr.annotations import read, read_category_map
    from evfr.embeddings._hub import open_checkpoint
    from evfr.embeddings._processor_config import preprocess_from_folder
    from evfr.experiments._command_results import read_results
    from evfr.experiments._plan import read_plan
    from evfr.models._seq_maskrcnn_files import read_settings
    from evfr.propagation._session_transformers import _model_type
    from evfr.verbs._export_package import EXPORT_FILE, read_export
    from evfr.verbs._manifest import request_from_manifest
    from evfr.verbs._split_value import read_split

    found = {
        "selection": ("selection.json", lambda: read_manifest(folder / "selection.json")),
        "edited selection": ("edited.json", lambda: request_from_manifest(folder / "edited.json")),
        "split": ("split.json", lambda: read_split(folder / "split.json")),
        "plan": ("plan.json", lambda: read_plan(folder)),
        "results of a trainer": ("results.json", lambda: read_results(folder / "results.json", [], [])),
        "model": ("config.json", lambda: open_checkpoint(str(folder))),
        "session": ("config.json", lambda: _model_type(folder)),
        "processor": ("preprocessor_config.json", lambda: preprocess_from_folder(folder)),
        "weights in parts": ("model.safetensors.index.json", lambda: open_checkpoint(str(folder))),
        "network": ("model.json", lambda: read_settings(folder / "model.safetensors")),
        "classes": ("map.json", lambda: read_category_map(folder / "map.json")),
        "export": (EXPORT_FILE, lambda: read_export(folder)),
    }
    for form in ("coco", "ytvis", "bdd100k", "label-studio"):
        found[form] = (f"{form}.json", lambda form=form: read(folder / f"{form}.json", format=form))
    return found


@pytest.mark.parametrize("text", TEXTS)
def test_every_json_file(work, text):
    for name, (file, door) in doors(work).items():
        path = work / file
        if name == "weights in parts":
            (work / "config.json").write_text('{"model_type": "vit"}')
        path.write_bytes(TEXTS[text])
        with bounded(256, 20):
            try:
                door()
            except EvfrError as error:
                assert len(str(error)) < 1500, name
            else:
                # An empty list is a results file without results, and labels of nothing.
                assert text in ("a list", "half a pair") or name in ("results of a trainer", "classes"), name
        path.unlink()


def test_a_selection_says_what_is_wrong(work):
    from evfr._core.selection import read_manifest

    path = work / "selection.json"
    for text in ("lists in lists", "objects in objects", "a million digits"):
        path.write_bytes(TEXTS[text])
        refused(lambda: read_manifest(path), r"selection\.json is no readable JSON", SelectionFileError)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arm = " + "[" * 200_000, "is no readable TOML"),
        ("arm = " + "{a=" * 200_000, "is no readable TOML"),
        ("a = " + DIGITS, "is no readable TOML"),
        ("a = nan", "has no key 'a'"),
        (".".join("a" * 500) + " = 1", "has no key 'a'"),
        ("[[arm]]\nname = 1e400", "must be"),
        ("a = '\udcff'", "is no readable TOML"),
    ],
    ids=range(7),
)
def test_grids_of_experiments(work, text, said):
    from evfr.experiments._grid import read_grid

    path = work / "grid.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(lambda: read_grid(path), said, InputError)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 200_000, "a = " + DIGITS, "a = nan", "a = [1]"], ids=range(4)
)
def test_maps_of_classes(work, text):
    from evfr.annotations import read_category_map

    path = work / "map.toml"
    path.write_text(text)
    refused(lambda: read_category_map(path), r"category map .*map\.toml", AnnotationError)


LAUGHS = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "names: *i\n",
        "names: !!python/object/apply:os.mkdir ['{mark}']\n",
        "names:\n  0: !!python/object/apply:os.mkdir ['{mark}']\n",
        "names: [" * 10_000,
        "names: {" + "0: a, " * 100_000 + "}",
        "names: '" + "a" * 1_000_000,
        "names: [" + "'" * 500_001,
        "path: http://127.0.0.1:{port}/\nnames: []\n---\nnames: [a]\n" + "%TAG ! x\n",
        "names: " + "a " * 200_000,
        "names:\n" + "  - " + "a" * 1_000_000 + " # x\n  - {{",
    ],
    ids=range(10),
)
def test_yaml_of_yolo(work, outside, listener, text):
    from evfr.annotations import read

    (work / "labels").mkdir()
    (work / "labels" / "000001.txt").write_text("0 0 0 1 0 1 1\n")
    filled = text.replace("{mark}", str(outside.mark)).replace("{port}", str(listener.http))
    (work / "data.yaml").write_text(filled)
    refused(lambda: read(work, format="yolo", size=(8, 8)), r"data\.yaml|000001", AnnotationError, seconds=5)


ENTITIES = "".join(
    f'<!ENTITY {b} "&{a};&{a};&{a};&{a};">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE x [<!ENTITY a "aaaa">{ENTITIES}]><annotations>&i;</annotations>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "{secret}">]><annotations><version>&a;</version></annotations>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:{port}/x.dtd"><annotations/>',
        '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:{port}/x"> %a;]><annotations/>',
        '<annotations xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{secret}"/></annotations>',
        '<?xml-stylesheet href="http://127.0.0.1:{port}/"?><annotations/>',
        "<annotations>" + "<a>" * 200_000,
        "<annotations " + "".join(f'a{n}="" ' for n in range(100_000)) + ">",
        '<?xml version="1.0" encoding="rot13"?><annotations/>',
        '<?xml version="1.0" encoding="utf-7"?><annotations/>',
        "<annotations><version>1.1</version><track id='" + DIGITS + "' label='x'/></annotations>",
        "<annotations>\x00</annotations>",
    ],
    ids=range(12),
)
def test_xml_of_cvat(work, outside, listener, text):
    from evfr.annotations import read

    path = work / "a.xml"
    path.write_text(text.replace("{secret}", str(outside.secret)).replace("{port}", str(listener.http)))
    refused(lambda: read(path, format="cvat"), r"a\.xml", AnnotationError, megabytes=256)
