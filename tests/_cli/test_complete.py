"""Shells complete commands, options of the chosen method, choices and files, fast and without loading numpy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evfr._cli.complete import complete_choices, hint, typed_words
from evfr._core.signature import read_signature
from evfr.verbs.completion import completion
from helpers import fake_verbs

BIN = Path(sys.executable).parent
BASH = """
eval "$(evfr completion bash)"
for line in "$@"; do
    IFS='|' read -ra COMP_WORDS <<< "$line|"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _evfr_completion evfr
    printf '%s\\n' "${COMPREPLY[*]}"
done
"""


def environment(**more: str) -> dict[str, str]:
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **more}


def test_bash(tmp_path: Path) -> None:
    lines = {
        "evfr|se": "select search",
        "evfr|select|--method|farthest|--st": "--stride --strides --store --start",
        "evfr|select|--method|uniform|--power": "",
        "evfr|select|--method|=|fa": "farthest facility",
        "evfr|score|--signals|flow,s": "flow,ssim",
        "evfr|inspect|clip": "",
    }
    done = subprocess.run(
        ["bash", "-c", BASH, "bash", *lines],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        check=True,
    )
    assert dict(zip(lines, done.stdout.split("\n"), strict=False)) == lines, done.stderr
    assert "-o default" in completion("bash").script, "where nothing is offered, bash offers files"


ZSH = """
compdef() { :; }
eval "$(evfr completion zsh)"
_arguments() { print -r -- "$*" }
_files() { print files }
words=(evfr select --method farthest --st); CURRENT=5; _evfr_completion
words=(evfr inspect clip); CURRENT=3; _evfr_completion
"""
FISH = """
evfr completion fish > evfr.fish
source evfr.fish
complete -C 'evfr select --method farthest --st'
complete -C 'evfr inspect cli'
"""


@pytest.mark.parametrize(("shell", "script", "options"), [("zsh", ZSH, "-fc"), ("fish", FISH, "-c")])
def test_other_shells(shell: str, script: str, options: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "clip.mp4").touch()
    done = subprocess.run(
        [shell, options, script],
        capture_output=True,
        text=True,
        env=environment(HOME=str(tmp_path)),
        cwd=tmp_path,
        check=False,
    )
    assert "--start" in done.stdout, done.stderr
    assert "--power" not in done.stdout
    assert ("files" if shell == "zsh" else "clip.mp4") in done.stdout


def test_an_answer_loads_nothing_heavy() -> None:
    script = (
        "import sys, evfr.cli\ntry:\n    evfr.cli.main([])\nexcept SystemExit:\n    pass\n"
        "print(*[m for m in ('numpy', 'av', 'cv2', 'rich.console', 'inspect') if m in sys.modules])"
    )
    variables = environment(
        COMP_WORDS="evfr\nselect\n--method\nfarthest\n--st", COMP_CWORD="4", _EVFR_COMPLETE="complete_bash"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=True
    )
    assert done.stdout.splitlines() == ["--stride", "--strides", "--store", "--start", "inspect"]


def test_words_as_bash_hands_them_over() -> None:
    line = {"COMP_WORDS": "evfr\nselect\n--method\n=\nfar\n--n", "COMP_CWORD": "5"}
    assert typed_words(line) == ["select", "--method", "far"]
    assert line == {"COMP_WORDS": "evfr\nselect\n--method\nfar\n--n", "COMP_CWORD": "4"}
    line = {"COMP_WORDS": "evfr\nselect\n--method\n=", "COMP_CWORD": "3"}
    assert typed_words(line) == ["select", "--method"]
    assert line["COMP_WORDS"].split("\n") == ["evfr", "select", "--method", ""]


def test_words_as_zsh_and_fish_hand_them_over() -> None:
    assert typed_words({"_TYPER_COMPLETE_ARGS": "evfr select 'a b' --me"}) == ["select", "a b"]
    assert typed_words({"_TYPER_COMPLETE_ARGS": "evfr select "}) == ["select"]
    assert typed_words({"_TYPER_COMPLETE_ARGS": "evfr 'select "}) == []
    assert typed_words({"COMP_WORDS": "evfr", "COMP_CWORD": "x"}) == typed_words({}) == []


def test_choices_of_a_value() -> None:
    specs = {spec.name: spec for spec in read_signature(fake_verbs.pick).parameters}
    complete = complete_choices(specs["size"])
    assert complete is not None
    assert complete("") == ["small", "large"]
    assert complete_choices(specs["labels"]) is None


def test_hint_is_one_short_line() -> None:
    assert hint("x" * 99) == "x" * 57 + "..."
    assert hint("a\n\nb") == "a"


def test_script_for_no_shell() -> None:
    with pytest.raises(ValueError, match="shell must be one of bash, zsh, fish, got 'tcsh'"):
        completion("tcsh")  # type: ignore[arg-type]
    assert completion("fish").to_dict()["install"].startswith("evfr completion fish > ")
