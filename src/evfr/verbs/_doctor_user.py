"""What `evfr doctor` says of the user's own places: disk, store, configuration file and shell."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evfr._core.config_file import CONFIG_VARIABLE, find_config, read_config

__all__ = ["Check", "check_completion", "check_config", "check_space", "check_store", "is_writable"]

LEAST_FREE_BYTES = 500_000_000
MOST_FILES_READ = 200
SHELL_FILES = {
    "bash": (".bashrc", ".bash_profile", ".profile", ".bash_aliases"),
    "zsh": (".zshrc", ".zprofile", ".zshenv"),
    "fish": (".config/fish/completions/evfr.fish", ".config/fish/config.fish"),
}
"""Where a user's shell finds the script of `evfr completion`, below the home folder."""


@dataclass(frozen=True, slots=True)
class Check:
    """Hold one finding.

    Attributes
    ----------
    name : str
        What was looked at.
    status : {"ok", "missing", "bad"}
        ``"missing"`` is an optional part that is not there; ``"bad"`` must be mended.
    found : str
        Version or state.
    advice : str
        The line to run or the thing to do; empty when there is nothing to do.
    """

    name: str
    status: Literal["ok", "missing", "bad"]
    found: str
    advice: str = ""


def is_writable(folder: Path) -> bool:
    """Say whether a file can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def check_space(environment: Mapping[str, str] = os.environ) -> Check:
    """Say how much the disk of the store can still take.

    Parameters
    ----------
    environment : mapping of str to str
        Read for the store's place.

    Returns
    -------
    Check
        Bad below half a gigabyte: an hour of video leaves a few megabytes, but runs keep temporary files beside.
    """
    folder = _store_folder(environment)
    if folder is None:
        return Check("disk space", "ok", "the store is remote")
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), Path())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free at {there}"
    if free < LEAST_FREE_BYTES:
        return Check("disk space", "bad", found, "export EVFR_STORE=/a/folder/with/more/space")
    return Check("disk space", "ok", found)


def _store_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder where measurements are kept by default; None where it is an address."""
    given = environment.get("EVFR_STORE", "")
    if "://" in given:
        return None
    cache = environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".cache"
    return Path(given) if given else Path(cache) / "evfr" / "store"


def check_store(environment: Mapping[str, str] = os.environ) -> Check:
    """Say whether the store that is used by default can be written to and read.

    Parameters
    ----------
    environment : mapping of str to str
        Read for the store's place.

    Returns
    -------
    Check
        Bad when its folder is not writable or one of its files is corrupt; a store of many files is not read through.
    """
    from itertools import islice

    from evfr._core.store import Store

    folder = _store_folder(environment)
    if folder is None:
        return Check("store", "ok", f"remote, not looked at: {environment['EVFR_STORE']}")
    if not folder.is_dir():
        if folder.exists():
            return Check("store", "bad", f"{folder} is no folder", "export EVFR_STORE=/some/writable/folder")
        return Check("store", "ok", f"none yet; the first run makes {folder}")
    if not is_writable(folder):
        return Check("store", "bad", f"not writable: {folder}", "export EVFR_STORE=/some/writable/folder")
    count = len(list(islice(Store(folder).files(), MOST_FILES_READ + 1)))
    command = f"evfr verify {shlex.quote(str(folder))}"
    if count > MOST_FILES_READ:
        return Check(
            "store", "ok", f"more than {MOST_FILES_READ} files at {folder}", f"{command}  (reads all)"
        )
    corrupt = [finding for finding in Store(folder).verify() if finding.status == "corrupt"]
    if corrupt:
        return Check(
            "store", "bad", f"{len(corrupt)} of {count} files are corrupt at {folder}", f"{command} --repair"
        )
    return Check("store", "ok", f"{count} sound files at {folder}")


def check_config(environment: Mapping[str, str] = os.environ) -> Check:
    """Say which configuration file the next command here would read.

    Parameters
    ----------
    environment : mapping of str to str
        Read for ``EVFR_CONFIG``.

    Returns
    -------
    Check
        Bad when the file cannot be read; its keys are checked by the command that it is for.
    """
    path, is_found = find_config(None, environment)
    if path is None:
        return Check("configuration", "ok", "no file")
    whose = "of this folder" if is_found else f"named by {CONFIG_VARIABLE}"
    try:
        tables = read_config(path)
    except (ValueError, OSError) as error:
        return Check("configuration", "bad", str(error), f"export {CONFIG_VARIABLE}=none")
    keys = [f"[{key}]" if isinstance(value, dict) else key for key, value in tables.items()]
    return Check("configuration", "ok", f"{path} {whose}: {', '.join(keys) or 'empty'}")


def check_completion(environment: Mapping[str, str] = os.environ) -> Check:
    """Say whether the user's shell completes evfr's command lines.

    Parameters
    ----------
    environment : mapping of str to str
        Read for ``SHELL`` and ``HOME``.

    Returns
    -------
    Check
        ``"missing"`` with the line that installs it, where no start file of the shell names it.
    """
    from evfr.verbs.completion import INSTALL

    shell = Path(environment.get("SHELL", "")).name
    if shell not in SHELL_FILES:
        return Check("completion", "missing", f"shell {shell or 'unknown'}", "evfr completion --help")
    home = Path(environment.get("HOME", "~")).expanduser()
    for name in SHELL_FILES[shell]:
        try:
            text = (home / name).read_text(errors="replace")
        except OSError:
            continue
        if "evfr completion" in text or "complete --command evfr" in text:
            return Check("completion", "ok", f"{shell}, by ~/{name}")
    return Check("completion", "missing", f"not set up for {shell}", INSTALL[shell])
