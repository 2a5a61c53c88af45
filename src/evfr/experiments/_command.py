"""Bring your own trainer: a command gets the frames as files, trains, and leaves what it finds as files."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from evfr._core.atomic import atomic_write_bytes, make_folder
from evfr.errors import InputError, WorkerError
from evfr.experiments._command_files import export_clips
from evfr.experiments._command_results import MASKS, RESULTS, read_masks, read_results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.labelled import FrameObjects, LabelledClip

__all__ = ["LOG", "NAMES", "command_words", "run_command"]

NAMES = {
    "train": "the folder of the training frames",
    "val": "the folder of the frames to predict",
    "iters": "how many iterations to train, which makes runs comparable",
    "seed": "the seed, without which repeated runs would be one",
    "out": f"where {RESULTS} or {MASKS}/ is looked for",
}
"""What a command must name in braces."""

LOG, NOTE = "log.txt", "command.json"
_PLACEHOLDER = re.compile(r"\{(\{[A-Za-z_]+\})\}|\{([A-Za-z_]+)\}")
_GRACE_SECONDS = 10.0
_TAIL = 8


def command_words(command: str, values: dict[str, str]) -> list[str]:
    """Split a command as a shell does, and put values in afterwards, so that they need no quotes.

    Parameters
    ----------
    command : str
        A program and its arguments with ``{train}``, ``{val}``, ``{iters}``, ``{seed}`` and ``{out}``, each at least
        once, in quotes or not. ``{{name}}`` stands for the word ``{name}`` itself; other braces are left as they are.
    values : dict of str to str
        For each of `NAMES`.

    Returns
    -------
    list of str
        The words.

    Raises
    ------
    ValueError
        If quotes do not close, nothing is left, or a name is unknown or missing.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"the command cannot be split into words ({error}): {command}") from error
    if not words:
        raise ValueError("the command is empty; give a program and its arguments")
    seen = set()

    def filled(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        if match[2] not in NAMES:
            raise ValueError(
                f"the command has {{{match[2]}}}, which means nothing; there are "
                f"{', '.join(f'{{{name}}}' for name in NAMES)}, and {{{{{match[2]}}}}} for the word itself"
            )
        seen.add(match[2])
        return values[match[2]]

    found = [_PLACEHOLDER.sub(filled, word) for word in words]
    for name, meaning in NAMES.items():
        if name not in seen:
            raise ValueError(f"the command lacks {{{name}}}, {meaning}: {command}")
    return found


def run_command(
    command: str,
    *,
    train: Sequence[LabelledClip],
    val: Sequence[LabelledClip],
    kind: Literal["instances", "pixels"],
    iterations: int,
    seed: int,
    out: Path,
    timeout_seconds: float | None = None,
) -> list[list[FrameObjects]] | list[NDArray[np.uint8]]:
    """Train and predict by a command of the user.

    Parameters
    ----------
    command : str
        See `command_words`. No shell runs it, it is started in the current folder, and it reads nothing from the
        keyboard.
    train, val : sequence of LabelledClip
        Frames to learn from, with labels, and frames to predict, whose labels the command does not get to see.
    kind : {"instances", "pixels"}
        Whether it leaves ``results.json``, a list of COCO results, or ``masks/``, one PNG a frame.
    iterations : int
        Put in for ``{iters}``, 1 or more.
    seed : int
        Put in for ``{seed}``, and seeds the noise of noised copies; 0 or more.
    out : Path
        Folder for what the command gets and leaves, for all that it prints (``log.txt``) and for how it ended
        (``command.json``).
    timeout_seconds : float or None
        The command is ended after this; None waits.

    Returns
    -------
    list
        For each clip of ``val`` a list of F `FrameObjects` with scores, or (F, H, W) uint8: 0 for background,
        1 + class.

    Raises
    ------
    WorkerError
        If the command fails or takes too long; the text has the end of its log.
    InputError
        If there is no such program, or what it leaves is missing or wrong.
    StoreError
        If ``out`` cannot be written.
    ValueError
        If the command or a number is wrong.
    """
    if kind not in ("instances", "pixels"):
        raise ValueError(f"kind must be 'instances' or 'pixels', got {kind!r}")
    if iterations < 1 or seed < 0:
        raise ValueError(f"iterations must be 1 or more and seed 0 or more, got {iterations} and {seed}")
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise ValueError(f"timeout_seconds must be above 0, got {timeout_seconds}")
    # The command may change its folder, so it gets whole paths.
    out = Path(out).absolute()
    values = {
        "train": str(out / "train"),
        "val": str(out / "val"),
        "iters": str(iterations),
        "seed": str(seed),
        "out": str(out),
    }
    words = command_words(command, values)
    make_folder(out / MASKS)
    _forget(out)
    export_clips(train, out / "train", seed=seed)
    shown = export_clips(val, out / "val", is_labelled=False)
    _run(words, out, timeout_seconds)
    if kind == "instances":
        return read_results(out / RESULTS, shown, val)
    return read_masks(out / MASKS, shown, val)


def _forget(out: Path) -> None:
    """Remove what an earlier run left, or it would pass for what this one found."""
    for path in (out / RESULTS, out / NOTE, *(out / MASKS).glob("*.png")):
        path.unlink(missing_ok=True)


def _run(words: list[str], out: Path, timeout_seconds: float | None) -> None:
    """Run the command to its end, and keep its log and how it ended."""
    log = out / LOG
    begin = time.monotonic()
    code: int | None = None
    is_late = False
    try:
        with log.open("wb") as sink:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        raise InputError(f"the command cannot be started: {words[0]}: {error.strerror}") from error
    try:
        code = process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        is_late = True
    finally:
        # Also what it has started itself, and when this process is interrupted.
        _end(process)
        seconds = round(time.monotonic() - begin, 3)
        note = {"command": words, "exit_code": code, "is_timed_out": is_late, "seconds": seconds}
        atomic_write_bytes(out / NOTE, json.dumps(note, indent=1).encode())
    if is_late:
        raise WorkerError(f"the command was ended after {timeout_seconds:g} s: {_told(words, log)}")
    if code:
        ended = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        raise WorkerError(f"the command failed with {ended}: {_told(words, log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the command and all that is in its session, gently first."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _told(words: list[str], log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").replace("\r", "\n").splitlines()
    tail = [line.strip() for line in lines if line.strip()][-_TAIL:]
    end = f"it printed at last: {' | '.join(tail)}" if tail else "it printed nothing"
    return f"{shlex.join(words)}; {end}; all of it is in {log}"
