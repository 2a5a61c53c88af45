"""Run command lines in this process over verbs without video, or over the real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from evfr import cli
from evfr._cli import printers
from helpers import fake_verbs

Run = Callable[..., tuple[int, str, str]]


def use_fake_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``pick`` and ``fail`` of `helpers.fake_verbs` the only commands."""
    commands = {"pick": "helpers.fake_verbs:pick", "fail": "helpers.fake_verbs:fail"}
    monkeypatch.setattr(cli, "COMMANDS", commands)
    family = cli.MethodFamily("method", "method_options", "helpers.fake_verbs:METHODS", ("seed", "cuts"))
    monkeypatch.setattr(cli, "METHODS", {"pick": family})
    monkeypatch.setattr(printers, "PRINTERS", dict.fromkeys(commands, printers.print_summary))
    fake_verbs.CALLS.clear()


def make_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line in this process: (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("EVFR_CONFIG", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            cli.main(words)
        out, err = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, out, err

    return call
