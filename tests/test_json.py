"""Every command prints one JSON document on standard output with ``--json``, whatever becomes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evfr import cli
from evfr._cli.printers import PRINTERS
from evfr._core.signature import ParameterSpec, read_signature
from helpers.command_line import Run, make_run, use_fake_verbs


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVFR_STORE", str(tmp_path / "store"))
    return make_run(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["fail", "os"], 1, {"kind": "error", "message": "it broke", "code": None, "exit_code": 1}),
        (["fail", "value"], 2, {"kind": "usage", "message": "it broke", "code": None, "exit_code": 2}),
        (["fail", "video"], 1, {"kind": "error", "message": "v.mp4: E_EMPTY: it broke", "code": "E_EMPTY"}),
        (["fail", "interrupt"], 130, {"kind": "interrupted", "exit_code": 130}),
        (["fail"], 2, {"kind": "usage", "message": "Missing argument 'KIND'."}),
        (["pick", "--nope"], 2, {"kind": "usage", "code": None}),
        (["nope"], 2, {"kind": "usage"}),
        (["pick", "--method", "x"], 2, {"kind": "usage", "exit_code": 2}),
        (["pick", "--config", "nope.toml"], 2, {"kind": "usage"}),
    ],
)
def test_errors(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, error: dict[str, Any]
) -> None:
    use_fake_verbs(monkeypatch)
    plain = run(*words)
    assert plain[:2] == (code, "")
    got, out, err = run(*words, "--json")
    document = json.loads(out)
    assert (got, list(document), err) == (code, ["error"], plain[2]), "standard error stays as it is"
    assert list(document["error"]) == ["kind", "message", "code", "exit_code"]
    assert document["error"] | error == document["error"]
    assert run("pick", "--", "--json")[1].startswith("paths = ")


def test_help_and_version_stay_text(run: Run) -> None:
    assert run("inspect", "--json", "--help")[1].startswith("Usage: evfr inspect ")
    assert run("--version")[1].startswith("evfr ")


def word_for(spec: ParameterSpec) -> list[str]:
    """Return words that give a required parameter something that is not there."""
    words = [spec.choices[0] if spec.choices else "1" if spec.types == ("int",) else "nope"]
    return words if spec.is_argument else [spec.option, *words]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_fails_as_one_document(run: Run, command: str) -> None:
    family = cli.METHODS.get(command)
    signature = read_signature(cli.load(cli.COMMANDS[command]), skip=[family.options] if family else [])
    if family:
        signature = cli.offer_methods(family, signature)
    code, out, err = run(
        command, *[w for s in signature.parameters if s.is_required for w in word_for(s)], "--nope", "--json"
    )
    assert (code, json.loads(out)["error"]["kind"]) == (2, "usage")
    assert "--nope" in err


NOT_THERE = [name for name in cli.COMMANDS if name not in ("synth", "demo", "doctor", "completion")]


@pytest.mark.slow
@pytest.mark.parametrize("command", NOT_THERE)
def test_inputs_that_are_not_there(run: Run, command: str) -> None:
    family = cli.METHODS.get(command)
    signature = read_signature(cli.load(cli.COMMANDS[command]), skip=[family.options] if family else [])
    if family:
        signature = cli.offer_methods(family, signature)
    words = [word for spec in signature.parameters if spec.is_required for word in word_for(spec)]
    words = words or ["nope"]
    if any(spec.name == "executor" and "serial" in spec.choices for spec in signature.parameters):
        words += ["--executor", "serial"]
    code, out, err = run(command, *words, "--json")
    document = json.loads(out)
    assert code in (1, 2, 3)
    assert err
    assert (code == 3) == ("error" not in document)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a clip of half a second."""
    from evfr.video import draw_clip

    return str(draw_clip(tmp_path_factory.mktemp("json") / "clip.mp4", seconds=0.5, size=(96, 64)))


SERIAL = ("inspect", "score", "select", "extract")
ROUND = (
    "inspect CLIP",
    "score CLIP",
    "select CLIP --n 3 --out out --no-frames --no-report",
    "select CLIP --n 3 --dry-run",
    "extract out --out again",
    "embed CLIP --model hsv --out vectors",
    "dedup vectors --threshold 0",
    "search vectors clip.mp4:2 --k 2",
    "verify vectors",
    "compact vectors",
    "doctor",
    "completion zsh",
    "synth drawn --clips 2 --test-clips 1 --frames 4 --width 32 --height 32",
    "split drawn/labels.parquet --val 0.5 --out parts.json",
    "overlay drawn/train/train_000.mkv --labels drawn/labels.parquet --label-video train/train_000.mkv --out seen.mp4 "
    "--executor serial",
)


def test_results_of_one_round(run: Run, clip: str, tmp_path: Path) -> None:
    documents = {}
    for line in ROUND:
        words = line.replace("CLIP", clip).split()
        options = ["--executor", "serial"] if words[0] in SERIAL else []
        code, out, err = run(*words, *options, "--json", "--quiet")
        assert code == 0, f"{words}: {err}"
        assert out.endswith("\n")
        documents[words[0]] = json.loads(out)
    assert documents["inspect"]["videos"][0]["frame_count"] == 12
    assert documents["completion"]["shell"] == "zsh"
    assert documents["doctor"]["is_healthy"] is True


def test_bad_inputs_are_in_the_document(run: Run, clip: str) -> None:
    code, out, _ = run("score", clip, "nope.mp4", "--json", "--executor", "serial")
    assert code == 3
    assert [problem["code"] for problem in json.loads(out)["problems"]] == ["E_NOT_FOUND"]


def test_every_command_has_its_printer_and_the_option() -> None:
    assert set(PRINTERS) == set(cli.COMMANDS)
