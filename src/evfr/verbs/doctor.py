"""`evfr doctor`: is this installation sound?"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evfr.verbs._doctor_user import (
    Check,
    check_completion,
    check_config,
    check_space,
    check_store,
    is_writable,
)

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
TORCH_TO_TORCHVISION_MINOR = 15
"""torch 2.N is built with torchvision 0.(N + 15), since torch 2.0."""


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
        if is_writable(folder):
            return Check("numba cache", "ok", str(folder))
    return Check("numba cache", "bad", f"not writable: {folders[-1]}", advice)


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
