"""Each exit code that is documented, from a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from test_cli import SCRIPT

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parent), "LC_ALL": "C.UTF-8"}


def start(*words: str, **options: int) -> subprocess.Popen[bytes]:
    """Start a command line over verbs without video."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        env=ENVIRONMENT,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, ["pick"]),
        (1, ["fail", "os"]),
        (2, ["pick", "--nope"]),
        (2, ["fail", "value"]),
        (3, ["fail", "bad-input"]),
    ],
)
def test_code(code: int, words: list[str]) -> None:
    process = start(*words, "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert isinstance(json.loads(out), dict)
    assert (b"evfr: " in err or b"Error: " in err) == (code != 0)


def test_interrupt_is_130() -> None:
    process = start("fail", "wait", "--json")
    assert process.stdout is not None
    assert process.stdout.readline() == b"waiting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"evfr: interrupted: finished work is kept; the same command goes on from there\n"
    assert json.loads(out)["error"]["kind"] == "interrupted"


@pytest.mark.parametrize("words", [["pick", "--json"], ["--version"], []])
def test_closed_output_is_1_and_silent(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*words, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"")


def test_the_page_lists_the_codes_that_the_code_has() -> None:
    from evfr._cli import output

    codes = {value for name, value in vars(output).items() if name.startswith("EXIT_")} | {0}
    page = (ROOT / "docs" / "how-to" / "exit-codes.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == codes
