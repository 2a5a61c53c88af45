"""Save what the page selected: one new folder below the one that is viewed, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from evfr.verbs._view_state import SAVE_NAME

if TYPE_CHECKING:
    from evfr._core.selection import Selection

__all__ = ["NameTaken", "save_below"]

_RESERVED = (
    "frames",
    "embedding",
    "pool",
    "selection.json",
    "selection.parquet",
    "report.html",
    "ask.parquet",
)


class NameTaken(Exception):
    """There is something of that name already."""


def save_below(selection: Selection, root: Path, name: str) -> Path:
    """Write a selection into ``root/name``, which must not be there.

    The folder is made by one call that fails if anything of that name is there, also a link; it is then replaced, by
    one rename, with the complete one.

    Parameters
    ----------
    selection : Selection
        What to write.
    root : Path
        The folder that is viewed, links followed.
    name : str
        1 to 64 of A-Z, a-z, 0-9, ``.``, ``_`` and ``-``; no leading dot.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    ValueError
        If the name is not allowed.
    NameTaken
        If it is there.
    StoreError
        If the system refuses.
    """
    from evfr.errors import StoreError

    if not isinstance(name, str) or not SAVE_NAME.fullmatch(name):
        raise ValueError(
            f"a name has 1 to 64 letters, digits, '.', '_' or '-', and no leading dot, got {str(name)[:80]!r}"
        )
    if name.lower() in _RESERVED or name.lower().startswith("signal-"):
        raise ValueError(f"the name {name!r} is evfr's own; give another")
    target = root / name
    hidden = root / f".evfr-{os.getpid()}-{secrets.token_hex(6)}.tmp"
    try:
        # Reserves the name: whatever is there, a link too, is left alone.
        os.mkdir(target)  # noqa: PTH102  (one system call, and no more)
        try:
            selection.save(hidden)
            os.rename(hidden, target)  # noqa: PTH104
        except BaseException:
            with contextlib.suppress(OSError):
                target.rmdir()
            raise
    except FileExistsError as error:
        raise NameTaken(f"{name} is there already; give another name") from error
    except OSError as error:
        raise StoreError(
            f"cannot save {str(target)!r}: {error.strerror}; check the disk and the permissions"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return target
