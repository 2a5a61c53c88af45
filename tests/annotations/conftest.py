"""Label files are small and many here: syncing each to the disk would cost more than everything else."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True, scope="package")
def no_fsync():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield
