"""doctor: sound here, and every defect it is for is seen."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from evfr.verbs import doctor as module
from evfr.verbs.doctor import (
    check_extra,
    check_numba_cache,
    check_opencv,
    check_torch_pair,
    doctor,
    installed_versions,
)

HEADLESS = {"opencv-contrib-python-headless": "5.0.0.93"}


def test_this_installation() -> None:
    result = doctor()
    found = {check.name: check for check in result.checks}
    assert result.failed_count == 0, result
    assert result.to_dict()["is_healthy"] is True
    assert found["numpy"].found == installed_versions()["numpy"]
    assert found["opencv"].found.startswith("opencv-contrib-python-headless ")
    assert "libavcodec" in found["ffmpeg"].found


def test_two_opencv_wheels_fight() -> None:
    check = check_opencv({**HEADLESS, "opencv-python": "4.11.0.86"})
    assert check.status == "bad"
    assert check.found == "opencv-python 4.11.0.86 and opencv-contrib-python-headless 5.0.0.93 fight over cv2"
    assert check.advice == (
        "python -m pip uninstall -y opencv-python opencv-contrib-python-headless && "
        "python -m pip install --force-reinstall --no-deps opencv-contrib-python-headless"
    )


def test_one_opencv_wheel_and_none() -> None:
    assert check_opencv(HEADLESS).status == "ok"
    assert check_opencv({}).found.endswith("not from a wheel")


def refuse(name: str, real: object = importlib.import_module) -> object:
    raise ImportError(f"no {name} here")


def test_core_part_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib, "import_module", refuse)
    check = module._check_core("pillow", {})
    assert (check.status, check.found) == ("bad", "does not import: no PIL here")
    assert check.advice == "python -m pip install --force-reinstall pillow"
    check = check_opencv(HEADLESS)
    assert (check.status, check.found) == ("bad", "cv2 does not import: no cv2 here")


def test_numba_cache(tmp_path: Path) -> None:
    assert check_numba_cache({"NUMBA_CACHE_DIR": str(tmp_path / "new")}).status == "ok"
    (tmp_path / "file").touch()
    check = check_numba_cache({"NUMBA_CACHE_DIR": str(tmp_path / "file" / "folder")})
    assert check.status == "bad"
    assert "NUMBA_CACHE_DIR" in check.advice


def test_missing_extra_names_the_install_line() -> None:
    check = check_extra("onnx", ["no_such_module_of_evfr"], {})
    assert (check.status, check.advice) == ("missing", "python -m pip install 'evfr[onnx]'")
    assert check_extra("plot", ["json"], {"json": "1.0"}).found == "json 1.0"


@pytest.mark.parametrize(
    ("torch", "vision", "status"),
    [("2.13.0+cpu", "0.28.0", "ok"), ("2.4.1", "0.19.1", "ok"), ("2.13.0", "0.27.0", "bad")],
)
def test_torch_pair(torch: str, vision: str, status: str) -> None:
    check = check_torch_pair({"torch": torch, "torchvision": vision})
    assert check is not None
    assert check.status == status


def test_torch_pair_needs_both() -> None:
    assert check_torch_pair({"torch": "2.4.0"}) is None


def test_every_extra_that_brings_a_package_is_looked_at() -> None:
    import tomllib
    from pathlib import Path

    from evfr.verbs.doctor import EXTRAS

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"all", "test", "dev", "bench"}
