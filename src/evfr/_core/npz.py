"""Read files of several arrays whole, with every handle closed whatever is wrong with them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DAMAGED", "read_npz"]

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file that is missing, cut off or another's may raise; a missing name is a ``KeyError``."""


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of `numpy.savez`, by name; objects are refused."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
