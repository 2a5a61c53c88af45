"""`evfr verify`: is everything in the store what was written?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evfr._core.remote_store import StoreRoot
    from evfr._core.store import StoreFinding

__all__ = ["VerifyResult", "verify"]


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """Hold what `verify` found.

    Attributes
    ----------
    store : Path or RemoteRoot
        The folder that was looked at.
    file_count : int
        How many files of the store are sound.
    size_bytes : int
        Their size.
    findings : tuple of StoreFinding
        The files that are not: ``corrupt``, ``temporary`` (left by a process that died) or ``foreign``.
    """

    store: StoreRoot
    file_count: int
    size_bytes: int
    findings: tuple[StoreFinding, ...]

    @property
    def failed_count(self) -> int:
        """How many corrupt files are still there."""
        return sum(finding.status == "corrupt" and not finding.is_removed for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        findings = [
            {
                "path": str(finding.path),
                "status": finding.status,
                "message": finding.message,
                "size_bytes": finding.size_bytes,
                "is_removed": finding.is_removed,
            }
            for finding in self.findings
        ]
        return {
            "store": str(self.store),
            "file_count": self.file_count,
            "size_bytes": self.size_bytes,
            "findings": findings,
        }

    def __str__(self) -> str:
        lines = [
            f"{'removed ' if finding.is_removed else ''}{finding.status} {finding.path}: {finding.message}"
            for finding in self.findings
        ]
        lines.append(f"{self.store}: {self.file_count} sound files, {self.size_bytes / 1e6:.1f} MB")
        if any(finding.status != "foreign" and not finding.is_removed for finding in self.findings):
            lines.append("evfr verify --repair deletes corrupt and left-over files; they are computed again")
        return "\n".join(lines)


def verify(
    store: str | Path | None = None, *, repair: bool = False, allow_remote: Sequence[str] = ()
) -> VerifyResult:
    """Check every file of a store: readable, named by its content, checksums right, nothing left behind.

    Exit code 3 says that corrupt files are there (and were not repaired).

    Parameters
    ----------
    store : path or None
        Folder of the store, also ``s3://bucket/folder``, which is fetched whole; None is the user's cache folder,
        or ``EVFR_STORE``.
    repair : bool
        Delete corrupt files, which are then computed again when needed, and temporary files older than an
        hour. Files that evfr did not make are never touched.
    allow_remote : sequence of str
        Use a remote store below these prefixes, for example ``s3://bucket/folder``; without it none is used.

    Returns
    -------
    VerifyResult
        What is sound and what is not.

    Raises
    ------
    StoreError
        If there is no such folder, or a file cannot be deleted.

    Examples
    --------
    >>> import tempfile
    >>> from evfr.verbs.verify import verify
    >>> verify(tempfile.mkdtemp()).file_count
    0
    """
    from evfr._core.remote_store import store_root
    from evfr._core.store import Store
    from evfr.verbs._measure import default_store

    root = store_root(default_store() if store is None else store, allow_remote)
    findings = Store(root).verify(repair=repair)
    sound = [finding for finding in findings if finding.status == "ok"]
    return VerifyResult(
        root,
        len(sound),
        sum(finding.size_bytes for finding in sound),
        tuple(finding for finding in findings if finding.status != "ok"),
    )
