"""What fuzzing has found stays mended; and the fuzzer finds a defect that is planted for it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from evfr.errors import InputError
from fuzz import mutators, seeds
from fuzz.engine import FINDINGS, Hunt, hunt_alone, kept_name
from fuzz.targets import TARGETS, Kind, kind_of_file, run_file

FOUND = Path(__file__).with_name("found")
KEPT = sorted(path for path in FOUND.rglob("*") if path.is_file())
JSON_KINDS = [
    (target, kind)
    for target, kinds in TARGETS.items()
    for kind in kinds
    if kind.mutate in (mutators.mutate_json, mutators.mutate_page)
]


SOUND = {
    "mutate_parquet": seeds.selection_table(),
    "mutate_png": seeds.picture(np.arange(12).reshape(3, 4)),
    "mutate_zip": seeds.archive({"a.json": b'{"a": 1}', "b.png": seeds.picture(np.eye(3))}),
    "mutate_page": b'<script type="application/json" id="evfr-report">{"a": [1]}</script>',
    "mutate_tensors": seeds.tensors(),
}


def refuse(error: BaseException | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_stays_mended(tmp_path, path):
    refuse(run_file(kind_of_file(path), tmp_path, path.read_bytes()))


@pytest.mark.parametrize(("target", "kind"), JSON_KINDS, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize(
    "text", [b"[" * 200_000, b'{"version": ' + b"9" * 100_000 + b"}"], ids=["levels", "digits"]
)
def test_json_of_many_levels_or_digits_is_refused(tmp_path, target, kind, text):
    if kind.mutate is mutators.mutate_page:
        text = b'<script type="application/json" id="evfr-report">' + text + b"</script>"
    refuse(run_file(kind, tmp_path, text))


def hunted(
    tmp_path: Path, kinds: tuple[Kind, ...], seed: int = 3, runs: int = 150
) -> tuple[Hunt, list[dict[str, str]]]:
    hunt = Hunt(kinds, tmp_path)
    hunt_alone(hunt, seed, 60.0, runs)
    path = tmp_path / FINDINGS
    return hunt, [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def planted(read) -> tuple[Kind, ...]:
    return (
        Kind("planted", "a.json", lambda _: b'{"frames": [1, 2], "name": "x"}', mutators.mutate_json, read),
    )


def test_a_planted_defect_is_found_once_and_kept(tmp_path):
    def read(path: Path) -> None:
        try:
            data = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise InputError("no JSON") from error
        if not isinstance(data, dict):
            raise InputError("no object")
        data["name"].upper() if "name" in data else None  # the defect: a name need not be text

    (tmp_path / "a").mkdir()
    hunt, found = hunted(tmp_path / "a", planted(read))
    assert [note["what"] for note in found] == ["AttributeError"]
    assert "has no attribute 'upper'" in found[0]["text"]
    assert hunt.runs == 150
    data = bytes.fromhex(found[0]["data"])
    error = run_file(planted(read)[0], tmp_path / "again", data)
    assert isinstance(error, AttributeError)
    name = kept_name(planted(read)[0], data, found[0]["what"])
    assert name.startswith("planted.AttributeError-")
    assert name.endswith(".json")
    (tmp_path / "b").mkdir()
    again, found_again = hunted(tmp_path / "b", planted(read))
    assert [note["data"] for note in found_again] == [note["data"] for note in found]
    assert (again.runs, again.accepted) == (hunt.runs, hunt.accepted)


def test_errors_of_evfr_and_documented_ones_are_no_findings(tmp_path):
    def read(path: Path) -> None:
        raise (InputError if len(path.read_bytes()) % 2 else ValueError)("refused")

    (kind,) = planted(read)
    kind = Kind(kind.name, kind.file_name, kind.seed, kind.mutate, kind.run, also=(ValueError,))
    hunt, found = hunted(tmp_path, (kind,), runs=40)
    assert (hunt.accepted, found) == (0, [])


@pytest.mark.parametrize("name", [name for name in mutators.__all__ if name.startswith("mutate_")])
def test_mutants_follow_from_the_seed_and_differ(name):
    mutate = getattr(mutators, name)
    data = SOUND.get(name, b'{"a": [1, 2, {"b": "x"}], "c": null}')
    made = [mutate(data, random.Random(seed)) for seed in range(40)]
    assert made == [mutate(data, random.Random(seed)) for seed in range(40)]
    assert len({mutant for mutant in made if mutant != data}) > 20


def test_no_kind_is_unknown(tmp_path):
    with pytest.raises(SystemExit, match="no kind of file 'nothing' in target 'store'"):
        kind_of_file(tmp_path / "store" / "nothing.x-12345678.json")
