"""doctor: sound here, and every defect it is for is seen."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from evfr.verbs import _doctor_user as user
from evfr.verbs import doctor as module
from evfr.verbs._doctor_user import check_completion, check_config, check_space, check_store
from evfr.verbs.doctor import (
    check_extra,
    check_numba_cache,
    check_opencv,
    check_torch_pair,
    doctor,
    installed_versions,
)

HEADLESS = {"opencv-contrib-python-headless": "5.0.0.93"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty home folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_this_installation(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVFR_STORE", str(home / "store"))
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
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {
        "all",
        "test",
        "dev",
        "bench",
        "docs",
        "fuzz",
    }


def test_disk_space(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_space({"HOME": str(home)}).status == "ok"
    assert check_space({"EVFR_STORE": "s3://bucket/store"}).found == "the store is remote"
    monkeypatch.setattr(user, "LEAST_FREE_BYTES", 1 << 80)
    check = check_space({"EVFR_STORE": str(home / "a" / "b")})
    assert (check.status, check.found.endswith(f"GB free at {home}")) == ("bad", True)
    assert check.advice == "export EVFR_STORE=/a/folder/with/more/space"


def test_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from evfr._core.store import Store

    folder = home / ".cache" / "evfr" / "store"
    here = {"HOME": str(home)}
    assert check_store(here).found == f"none yet; the first run makes {folder}"
    store = Store(folder)
    key = store.key("ab" * 16, "signal-flow", {})
    store.write(key, pa.table({"a": [1]}))
    assert check_store(here).found == f"1 sound files at {folder}"
    store.path(key).write_bytes(b"no parquet")
    check = check_store(here)
    assert (check.status, check.found) == ("bad", f"1 of 1 files are corrupt at {folder}")
    assert check.advice == f"evfr verify {folder} --repair"
    monkeypatch.setattr(user, "MOST_FILES_READ", 0)
    assert check_store(here).advice == f"evfr verify {folder}  (reads all)"
    monkeypatch.setattr(user, "is_writable", lambda folder: False)
    assert check_store(here).found == f"not writable: {folder}"
    (home / "file").touch()
    assert check_store({"EVFR_STORE": str(home / "file")}).found == f"{home / 'file'} is no folder"
    assert check_store({"EVFR_STORE": "s3://b/s"}).found == "remote, not looked at: s3://b/s"


def test_configuration_file(home: Path) -> None:
    assert check_config({}).found == "no file"
    Path("evfr.toml").write_text("json = true\n[select]\nn = 3\n")
    assert check_config({}).found == "evfr.toml of this folder: json, [select]"
    Path("mine.toml").write_text("")
    assert check_config({"EVFR_CONFIG": "mine.toml"}).found == "mine.toml named by EVFR_CONFIG: empty"
    assert check_config({"EVFR_CONFIG": "none"}).found == "no file"
    check = check_config({"EVFR_CONFIG": "nope.toml"})
    assert (check.status, check.advice) == ("bad", "export EVFR_CONFIG=none")
    assert "there is no such configuration file" in check.found


@pytest.mark.parametrize(
    ("shell", "name", "text"),
    [
        ("bash", ".bashrc", 'eval "$(evfr completion bash)"'),
        ("zsh", ".zshrc", 'eval "$(evfr completion zsh)"'),
        ("fish", ".config/fish/completions/evfr.fish", None),
    ],
)
def test_completion(home: Path, shell: str, name: str, text: str | None) -> None:
    from evfr.verbs.completion import INSTALL, SCRIPTS

    here = {"SHELL": f"/usr/bin/{shell}", "HOME": str(home)}
    assert check_completion(here).advice == INSTALL[shell]
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text or SCRIPTS[shell])
    assert check_completion(here).found == f"{shell}, by ~/{name}"


def test_completion_of_another_shell(home: Path) -> None:
    check = check_completion({"SHELL": "/bin/tcsh", "HOME": str(home)})
    assert (check.status, check.found) == ("missing", "shell tcsh")
    assert check_completion({"HOME": str(home)}).found == "shell unknown"


def test_a_bad_finding_is_exit_code_3_and_a_bad_configuration_file_does_not_stop_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from evfr import cli

    Path("evfr.toml").write_text("[")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (exit_.value.code, document["is_healthy"]) == (3, False)
    assert [check["name"] for check in document["checks"] if check["status"] == "bad"] == ["configuration"]
