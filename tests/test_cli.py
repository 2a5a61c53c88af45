"""The command line over verbs without video: parsing, exit codes, names that bite, progress."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import evfr
from helpers import fake_verbs
from helpers.command_line import Run, make_run, use_fake_verbs


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line over verbs without video."""
    use_fake_verbs(monkeypatch)
    return make_run(monkeypatch, capsys)


def test_no_command_prints_help(run: Run) -> None:
    code, out, _ = run()
    assert code == 0
    assert "Pick things: the summary line." in out
    assert "Exit codes:" in out
    assert (run("--help")[1], run("-h")[1]) == (out, out)


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"evfr {evfr.__version__}\n", "")


def test_defaults_reach_the_verb_unchanged(run: Run) -> None:
    assert run("pick")[0] == 0
    (call,) = fake_verbs.CALLS
    assert call.pop("method_options") == {}
    fake_verbs.pick(method_options={})
    expected = fake_verbs.CALLS[-1]
    expected.pop("method_options")
    assert call == expected


def test_every_kind_of_option(run: Run) -> None:
    code, _, err = run(
        *("pick", "a.mp4", "b.mp4", "--n", "3", "--signals", "flow", "--signals", "motion,ssim"),
        *("--strides", "1,2", "--size", "large", "--jobs", "2", "--minimum", "a=1", "--minimum", "b=2"),
        *(
            "--labels",
            "x.json",
            "--from",
            "old.json",
            "--is-dry",
            "--no-thumbnails",
            "--min-gap-seconds",
            ".25",
        ),
        *("--limit", "none"),
        *("--method", "odd", "--strength", "0.75"),
    )
    assert (code, err) == (0, "")
    (call,) = fake_verbs.CALLS
    assert call == {
        "paths": ("a.mp4", "b.mp4"),
        "n": 3,
        "ratio": None,
        "method": "odd",
        "method_options": {"strength": 0.75},
        "signals": ("flow", "motion", "ssim"),
        "strides": (1, 2),
        "include": (),
        "size": "large",
        "jobs": 2,
        "minimum": {"a": 1, "b": 2},
        "labels": Path("x.json"),
        "from_": "old.json",
        "is_dry": True,
        "thumbnails": False,
        "min_gap_seconds": 0.25,
        "limit": None,
    }


def test_help_shows_options_of_the_chosen_method_only(run: Run) -> None:
    code, out, _ = run("pick", "--method", "odd", "--help")
    assert code == 0
    assert "Options of --method odd:" in out
    assert "--strength FLOAT" in out
    assert "[default: 0.5]" in out
    assert "--start" not in out
    assert "--start" in run("pick", "-h")[1]


def test_help_fits_80_columns_and_shows_markup_as_it_is(run: Run) -> None:
    out = run("pick", "-h")[1]
    assert max(map(len, out.splitlines())) <= 80
    assert "with code and [/x] in it" in out
    assert "[default: flow,ssim]" in " ".join(out.split())
    assert "  PATHS  What to pick from." in out
    assert "More options:" in out
    assert "--thumbnails / --no-thumbnails" in out
    assert run("fail", "-h")[1].startswith("Usage: evfr fail [OPTIONS] KIND\n")


@pytest.mark.parametrize(
    "words", [("--strength", "1"), ("--strength=1",), ("--method", "even", "--strength", "1")]
)
def test_option_of_another_method_names_it(run: Run, words: tuple[str, ...]) -> None:
    code, out, err = run("pick", "x", *words)
    assert (code, out) == (2, "")
    assert err == (
        "evfr: error: --strength is an option of --method odd, not of --method even; "
        "add --method odd or leave it out\n"
    )


def test_option_like_word_after_two_dashes_is_a_path(run: Run) -> None:
    assert run("pick", "--", "--strength", "-x.mp4", "--debug")[0] == 0
    assert fake_verbs.CALLS[0]["paths"] == ("--strength", "-x.mp4", "--debug")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pick", "--method", "evn"), "--method 'evn' is unknown; give one of even, odd"),
        (("pick", "--n", "x"), "'x' is not allowed; give a whole number"),
        (("pick", "--size", "x"), "'x' is not allowed; give small, large"),
        (("pick", "--method", "odd", "--strength", "x"), "'x' is not allowed; give a number"),
        (("pick", "--nope"), "No such option"),
        (("fail",), "Missing argument"),
        (("nope",), "No such command"),
        (("fail", "value", "--text", "n must be 1 or more"), "evfr: error: n must be 1 or more\n"),
    ],
)
def test_usage_errors_exit_2(run: Run, words: tuple[str, ...], message: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize("kind", ["constraint", "os"])
def test_errors_are_one_line_and_exit_1(run: Run, kind: str) -> None:
    assert run("fail", kind, "--text", "no\nway \x1b[31m") == (1, "", "evfr: error: no way \\x1b[31m\n")


@pytest.mark.parametrize("words", [("--debug", "fail", "os"), ("fail", "os", "--debug")])
def test_debug_shows_the_trace(run: Run, words: tuple[str, ...]) -> None:
    code, _, err = run(*words)
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert err.endswith("evfr: error: it broke\n")


def test_bad_inputs_exit_3_and_are_listed_on_one_line_each(run: Run) -> None:
    code, out, err = run("fail", "bad-input", "--json")
    assert code == 3
    assert json.loads(out) == {"x": None}
    assert err == "evfr: bad input: a b.mp4: E_CONTAINER: no container\n"


def test_warnings_exit_0(run: Run) -> None:
    code, out, err = run("fail", "warning")
    assert (code, out) == (0, "x = 1.0\n")
    assert err == "evfr: warning: c.mp4: W_CORRUPT: two packets (frame 7)\n"
    assert run("fail", "warning", "--quiet") == (0, "x = 1.0\n", "")


def test_interrupt_exits_130_and_says_that_work_is_kept(run: Run) -> None:
    code, _, err = run("fail", "interrupt")
    assert code == 130
    assert err == "evfr: interrupted: finished work is kept; the same command goes on from there\n"


SCRIPT = """
import sys
from evfr import cli
from evfr._cli import printers
cli.COMMANDS = {"pick": "helpers.fake_verbs:pick", "fail": "helpers.fake_verbs:fail"}
cli.METHODS = {}
printers.PRINTERS = dict.fromkeys(cli.COMMANDS, printers.print_summary)
cli.main()
"""


def run_process(*words: str | bytes, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    environment = {
        "PYTHONPATH": str(Path(__file__).parent),
        "PYTHONIOENCODING": encoding,
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, *words],
        capture_output=True,
        env=environment,
        check=False,
    )


def test_defect_is_one_line_unless_debug() -> None:
    done = run_process("fail", "internal")
    assert done.returncode == 1
    assert done.stderr == (
        b"evfr: error: internal error (ZeroDivisionError: it broke); "
        b"run it again with --debug for the trace\n"
    )
    assert b"Traceback" in run_process("fail", "internal", "--debug").stderr


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_any_file_name_passes_through_and_prints(encoding: str) -> None:
    name = b"\xff [/x] \n\x1b[31m%04d \xc3\xa9<b>.mp4"
    done = run_process("fail", "os", "--text", name, encoding=encoding)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert rb"\udcff [/x]  \x1b[31m%04d" in done.stderr
    done = run_process("pick", name, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
