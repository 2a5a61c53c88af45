"""A store at a remote address is refused aloud: no local folder of that name appears."""

from __future__ import annotations

from pathlib import Path

import pytest

import evfr
from evfr._core.atomic import atomic_write_bytes
from evfr._core.store import Store
from evfr.errors import StoreError


@pytest.mark.parametrize("address", ["s3://bucket/store", "gs://bucket", "https://host/x"])
def test_results_are_written_to_local_folders_only(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="written to local folders only"):
        Store(address)
    with pytest.raises(StoreError, match="aws s3 sync"):
        atomic_write_bytes(Path(address) / "selection.json", b"{}")
    with pytest.raises(StoreError, match="written to local folders only"):
        evfr.score("clip.mp4", out=Path(address), executor="serial")
    assert list(tmp_path.iterdir()) == []
