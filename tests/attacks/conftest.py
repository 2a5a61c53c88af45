"""Guard every attack: see `attacks.guard`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks.guard import Listener, Outside
from evfr._core.masks import Rle


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    """Ports that must see no connection."""
    made = Listener()
    yield made
    made.close()


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    """Load what is compiled before memory is limited: a library that loads with too little may wait for ever."""
    mask = Rle.from_polygons([[0, 0, 4, 0, 4, 4], [5, 5, 7, 5, 7, 7]], 8, 8)
    assert Rle.from_coco(mask.to_coco()).to_mask().sum() == mask.area
    assert mask.box_xyxy[0] >= 0


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    """Files that must stay as they are."""
    return Outside(tmp_path / "outside")


@pytest.fixture(autouse=True)
def work(
    tmp_path: Path, outside: Outside, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The folder that the attack lies in and where it may write; nothing else may change, nobody may be called."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setenv("EVFR_STORE", str(folder / "store"))
    monkeypatch.setenv("PATH", str(outside.folder / "bin"), prepend=":")
    before = outside.state()
    listener.count()
    yield folder
    assert listener.count() == 0, "somebody connected"
    assert outside.state() == before, "something outside changed"
