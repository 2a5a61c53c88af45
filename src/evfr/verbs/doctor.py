"""`evfr doctor`: is this installation sound?"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from evfr._core.config_file import CONFIG_VARIABLE, find_config, read_config

__all__ = ["Check", "DoctorResult", "doctor"]

CORE = ("numpy", "av", "pyarrow", "pillow", "numba", "typer", "rich")
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
WANTED_OPENCV = "opencv-contrib-python-headless"
EXTRAS = {
    "onnx": ("onnxruntime",),
    "torch": ("torch", "transformers", "safetensors"),
    "train": ("torch", "torchvision", "timm", "sklearn", "scipy"),
    "search": ("faiss",),
    "ray": ("ray",),
    "remote": ("fsspec", "s3fs", "gcsfs"),
    "plot": ("matplotlib",),
    "metrics": ("motrics", "scipy"),
    "view": ("starlette", "uvicorn"),
}
LEAST_FREE_BYTES = 500_000_000
MOST_FILES_READ = 200
SHELL_FILES = {
    "bash": (".bashrc", ".bash_profile", ".profile", ".bash_aliases"),
    "zsh": (".zshrc", ".zprofile", ".zshenv"),
    "fish": (".config/fish/completions/evfr.fish", ".config/fish/config.fish"),
}
"""Where a user's shell finds the script of `evfr completion`, below the home folder."""
TORCH_TO_TORCHVISION_MINOR = 15
"""torch 2.N is built with torchvision 0.(N + 15), since torch 2.0."""


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


@dataclass(frozen=True, slots=True)
class DoctorResult:
    """Hold all findings.

    Attributes
    ----------
    checks : tuple of Check
        In the order looked at.
    """

    checks: tuple[Check, ...]

    @property
    def failed_count(self) -> int:
        """How many findings must be mended."""
        return sum(check.status == "bad" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict with the list ``checks`` and the bool ``is_healthy``."""
        return {"is_healthy": self.failed_count == 0, "checks": [asdict(check) for check in self.checks]}


def doctor() -> DoctorResult:
    """Look at this installation: versions, codecs, OpenCV wheels that fight, caches, store, optional parts.

    Exit code 3 says that something must be mended; the advice says how.

    Returns
    -------
    DoctorResult
        One `Check` per thing looked at.

    Examples
    --------
    >>> import evfr
    >>> evfr.verbs.doctor.doctor().checks[0].name
    'python'
    """
    versions = installed_versions()
    checks = [Check("python", "ok", sys.version.split()[0])]
    checks += [_check_core(name, versions) for name in CORE]
    checks.append(check_opencv(versions))
    checks += [_check_ffmpeg(), _check_x264(), check_numba_cache()]
    checks += [check_space(), check_store(), check_config(), check_completion()]
    checks += [check_extra(extra, modules, versions) for extra, modules in EXTRAS.items()]
    pair = check_torch_pair(versions)
    return DoctorResult(tuple([*checks, pair] if pair else checks))


def installed_versions() -> dict[str, str]:
    """Return distribution name (normalised, lower case) to version for everything installed."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(name.lower().replace("_", "-"), distribution.version)
    return found


def _check_core(name: str, versions: Mapping[str, str]) -> Check:
    module = {"pillow": "PIL"}.get(name, name)
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Check(
            name, "bad", f"does not import: {error}", f"python -m pip install --force-reinstall {name}"
        )
    return Check(name, "ok", versions.get(name, "version unknown"))


def check_opencv(versions: Mapping[str, str]) -> Check:
    """Say whether exactly one OpenCV wheel owns the module ``cv2``.

    Parameters
    ----------
    versions : mapping of str to str
        Distribution name to version, as `installed_versions` returns.

    Returns
    -------
    Check
        Bad when several wheels are installed (the last one installed overwrote the files of the others), when
        none is, or when the one there does not import.
    """
    wheels = [f"{name} {versions[name]}" for name in OPENCV_WHEELS if name in versions]
    mend = f"python -m pip install --force-reinstall --no-deps {WANTED_OPENCV}"
    if len(wheels) > 1:
        remove = "python -m pip uninstall -y " + " ".join(name for name in OPENCV_WHEELS if name in versions)
        return Check("opencv", "bad", f"{' and '.join(wheels)} fight over cv2", f"{remove} && {mend}")
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        return Check("opencv", "bad", f"cv2 does not import: {error}", mend)
    if not wheels:
        return Check("opencv", "ok", f"cv2 {cv2.__version__}, not from a wheel")
    return Check("opencv", "ok", wheels[0])


def _check_ffmpeg() -> Check:
    import av

    libraries = av.library_versions
    text = ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in sorted(libraries.items()))
    return Check("ffmpeg", "ok", f"{getattr(av, 'ffmpeg_version_info', '')} ({text})".strip())


def _check_x264() -> Check:
    import av

    if "libx264" in av.codecs_available:
        return Check("libx264", "ok", "encoder present")
    return Check(
        "libx264",
        "missing",
        "no encoder",
        "evfr demo draws its clip with another encoder; evfr propagate needs --step dis, or --method flow",
    )


def check_numba_cache(environment: Mapping[str, str] = os.environ) -> Check:
    """Say where numba keeps compiled kernels, and whether it can.

    Parameters
    ----------
    environment : mapping of str to str
        Read for ``NUMBA_CACHE_DIR``.

    Returns
    -------
    Check
        Bad when no place is writable: every run would compile again, or fail.
    """
    import evfr

    advice = "export NUMBA_CACHE_DIR=/some/writable/folder"
    home = Path(environment.get("HOME", "~")).expanduser()
    given = environment.get("NUMBA_CACHE_DIR")
    beside = Path(evfr.__file__).parent / "signals" / "__pycache__"
    folders = [Path(given)] if given else [beside, home / ".cache" / "numba"]
    for folder in folders:
        if _is_writable(folder):
            return Check("numba cache", "ok", str(folder))
    return Check("numba cache", "bad", f"not writable: {folders[-1]}", advice)


def _is_writable(folder: Path) -> bool:
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
    if not _is_writable(folder):
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


def check_extra(extra: str, modules: Iterable[str], versions: Mapping[str, str]) -> Check:
    """Say whether an optional part is installed, without importing it.

    Parameters
    ----------
    extra : str
        Name of the extra.
    modules : iterable of str
        What it brings.
    versions : mapping of str to str
        Distribution name to version.

    Returns
    -------
    Check
        ``"missing"`` with the install line, or ``"ok"``.
    """
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        return Check(
            f"extra {extra}",
            "missing",
            f"{', '.join(absent)} not installed",
            f"python -m pip install 'evfr[{extra}]'",
        )
    named = {name: versions.get(name) or versions.get(f"{name}-cpu", "") for name in modules}
    return Check(
        f"extra {extra}", "ok", ", ".join(f"{name} {found}".strip() for name, found in named.items())
    )


def check_torch_pair(versions: Mapping[str, str]) -> Check | None:
    """Say whether torch and torchvision were built for each other.

    Parameters
    ----------
    versions : mapping of str to str
        Distribution name to version.

    Returns
    -------
    Check or None
        None unless both are installed.
    """
    if "torch" not in versions or "torchvision" not in versions:
        return None
    torch, vision = (versions[name].split("+")[0].split(".") for name in ("torch", "torchvision"))
    found = f"torch {versions['torch']}, torchvision {versions['torchvision']}"
    wanted = int(torch[1]) + TORCH_TO_TORCHVISION_MINOR
    if torch[0] == "2" and vision[0] == "0" and int(vision[1]) != wanted:
        advice = f"python -m pip install 'torchvision==0.{wanted}.*'"
        return Check("torch pair", "bad", f"{found} are not a pair", advice)
    return Check("torch pair", "ok", found)
