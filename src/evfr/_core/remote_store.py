"""Where a store lies when it lies in a bucket: the address with the permission to use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evfr._core.remote import (
    RemoteAccess,
    RemoteUrl,
    is_remote,
    parse_url,
    remote_access,
    remote_cache_folder,
)
from evfr.errors import StoreError

__all__ = ["RemoteRoot", "StoreRoot", "address_of", "store_root"]

_SCHEMES = ("s3:", "gs:", "https:", "http:")


@dataclass(frozen=True, slots=True)
class RemoteRoot:
    """The root of a store in a bucket; travels to worker processes with its permission.

    Attributes
    ----------
    url : RemoteUrl
        The folder; its path does not end with ``/``, except for a whole bucket.
    access : RemoteAccess
        What may be used.

    Raises
    ------
    StoreError
        If it is not in a bucket, or not allowed.
    """

    url: RemoteUrl
    access: RemoteAccess

    def __post_init__(self) -> None:
        shown = self.url.shown
        if self.url.is_web:
            raise StoreError(
                f"a store lies in a local folder, s3://bucket/... or gs://bucket/..., got {shown}"
            )
        # As a folder: a prefix is often written with the last slash.
        folder = RemoteUrl(self.url.scheme, self.url.host, self.url.path.rstrip("/") + "/")
        if not self.access.allows(folder):
            raise StoreError(
                f"the store {shown} is not allowed: remote stores are read and written only where you name them; "
                f"pass --allow-remote {shown} (in Python allow_remote=[...]) if that is meant"
            )

    def __str__(self) -> str:
        return self.url.shown

    @property
    def mirror(self) -> Path:
        """Local folder with copies of the files, on the machine that asks."""
        return remote_cache_folder() / "stores" / self.url.identity


StoreRoot = Path | RemoteRoot
"""What a store can be opened by: a local folder, or a folder of a bucket with its permission."""


def address_of(root: str | Path) -> str | None:
    """Return the address that a text or path is, None for a local one; ``Path("s3://b/x")`` is ``s3:/b/x``."""
    if isinstance(root, Path):
        if not root.parts or root.parts[0] not in _SCHEMES:
            return None
        return root.parts[0] + "//" + "/".join(root.parts[1:])
    return root if is_remote(root) else address_of(Path(root))


def store_root(root: str | Path | RemoteRoot, allow_remote: Sequence[str] = ()) -> StoreRoot:
    """Return what a user names as a store as a value that `evfr._core.store.Store` opens.

    Parameters
    ----------
    root : str, Path or RemoteRoot
        A local folder, ``s3://bucket/folder`` or ``gs://bucket/folder``.
    allow_remote : sequence of str
        Prefixes below which a store may lie.

    Returns
    -------
    Path or RemoteRoot
        Nothing has been connected to.

    Raises
    ------
    StoreError
        If an address is not allowed, or no bucket's.
    InputError
        If it cannot be read as an address.
    """
    if isinstance(root, RemoteRoot):
        return root
    address = address_of(root)
    if address is None:
        return Path(root)
    url = parse_url(address)
    parts = [part for part in url.path.split("/") if part]
    return RemoteRoot(RemoteUrl(url.scheme, url.host, "/" + "/".join(parts)), remote_access(allow_remote))
