"""Help of every command and method: 80 columns, sections in order, commands by job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evfr import cli
from evfr._cli.commands import JOBS
from evfr._cli.methods import method_options
from helpers.command_line import make_run

PAIRS = [
    (command, method)
    for command in cli.COMMANDS
    for method in (method_options(cli.METHODS[command]) if command in cli.METHODS else [""])
]


@pytest.mark.parametrize(("command", "method"), PAIRS)
def test_help_of_each_method(
    command: str, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    family = cli.METHODS.get(command)
    words = [] if family is None else [method] if family.is_argument else [f"--{family.parameter}", method]
    code, out, _ = make_run(monkeypatch, capsys)(command, *words, "-h")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    titles = re.findall(r"^(\S.*):$", out, re.MULTILINE)
    order = ["Arguments", "Options", "More options", "Common options"]
    if family is not None and method_options(family)[method]:
        order.insert(3, f"Options of {family.words(method)}")
    # A method without options of its own has no section.
    assert titles == [title for title in order if title in titles]
    assert titles[-1] == "Common options"
    assert not re.search(r"\bNone\b|``|\[default: \]", out)


def test_commands_are_listed_by_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    out = make_run(monkeypatch, capsys)("--help")[1]
    places = [out.index(f"\n{title}:\n") for title in JOBS]
    assert places == sorted(places)
    for title, commands in JOBS.items():
        section = out[out.index(f"\n{title}:\n") + len(title) + 3 :].split("\n\n")[0]
        assert re.findall(r"^  (\S+)", section, re.MULTILINE) == list(commands)
    assert max(map(len, out.splitlines())) <= 80
    assert sum(map(len, JOBS.values())) == len(cli.COMMANDS), "a command stands in one job"
