"""The objects below one folder of a bucket: asked for, listed, fetched, put and deleted, each whole."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from evfr._core.atomic import atomic_write_bytes
from evfr._core.cloud import TRY_AGAIN, filesystem, status_of
from evfr._core.remote_store import RemoteRoot
from evfr.errors import EvfrError, MissingExtraError, StoreError

__all__ = ["Bucket"]

TRIES = 5
BACKOFF_SECONDS = 0.5
_MOST_BYTES = 5 << 30  # one PUT, so that an object appears whole or not at all
_ADVICE = {
    401: "credentials are needed; set them in the environment",
    403: "access is denied; check credentials, and that they may read and write there",
    404: "there is no such bucket; make it first",
}

_Result = TypeVar("_Result")


class Bucket:
    """Reach the objects of one store; names are relative to its root.

    Parameters
    ----------
    root : RemoteRoot
        The store.
    """

    def __init__(self, root: RemoteRoot) -> None:
        self._root = root
        self._prefix = root.url.key and root.url.key + "/"

    def address(self, name: str) -> str:
        """Return the address of an object, for messages."""
        return str(self._root).rstrip("/") + "/" + name

    def exists(self, name: str) -> bool:
        """Return whether an object is there."""

        def ask(system: Any) -> bool:
            if self._root.url.scheme == "s3":
                system.call_s3("head_object", Bucket=self._root.url.host, Key=self._prefix + name)
            else:
                system.call("GET", "b/{}/o/{}", self._root.url.host, self._prefix + name, json_out=True)
            return True

        return self._retry("look for", name, ask, missing=False)

    def list(self, folder: str = "") -> dict[str, int]:
        """Return the names and sizes of all objects below a folder (``"embedding/"``), sorted by name."""
        found: dict[str, int] = {}
        token: str | None = None
        while True:
            turn = functools.partial(self._page, folder, token)
            page, token = self._retry("list", folder, turn)
            found.update(page)
            if not token:
                return dict(sorted(found.items()))

    def fetch(self, name: str, path: Path) -> bool:
        """Write an object to a local file, whole or not at all; False if there is no such object."""

        def get(system: Any) -> bytes:
            if self._root.url.scheme == "gs":
                where = system.url(f"{self._root.url.host}/{self._prefix}{name}")
                return bytes(system.call("GET", where)[1])
            return bytes(system.cat_file(f"{self._root.url.host}/{self._prefix}{name}"))

        data = self._retry("fetch", name, get, missing=None)
        if data is None:
            return False
        atomic_write_bytes(path, data, is_durable=False)
        return True

    def put(self, name: str, path: Path) -> None:
        """Upload a local file in one request: the object appears whole or not at all."""
        data = path.read_bytes()
        if len(data) >= _MOST_BYTES:
            raise StoreError(
                f"{self.address(name)} would have {len(data) / 1e9:.3g} GB, more than one upload takes (5 GB); "
                "write to a local store and copy it"
            )

        def send(system: Any) -> None:
            host, key = self._root.url.host, self._prefix + name
            if self._root.url.scheme == "s3":
                system.pipe_file(f"{host}/{key}", data, chunksize=_MOST_BYTES)
            else:
                # Not by `pipe_file`, which first asks a second server, by gRPC, what kind of bucket it is.
                where = f"{system._location}/upload/storage/v1/b/{{}}/o"
                system.call("POST", where, host, uploadType="media", name=key, data=data)

        self._retry("write", name, send)

    def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""

        def remove(system: Any) -> None:
            if self._root.url.scheme == "s3":
                system.call_s3("delete_object", Bucket=self._root.url.host, Key=self._prefix + name)
            else:
                system.call("DELETE", "b/{}/o/{}", self._root.url.host, self._prefix + name)

        self._retry("delete", name, remove, missing=None)

    def _page(self, folder: str, token: str | None, system: Any) -> tuple[dict[str, int], str | None]:
        prefix, host = self._prefix + folder, self._root.url.host
        if self._root.url.scheme == "s3":
            more = {"ContinuationToken": token} if token else {}
            page = system.call_s3("list_objects_v2", Bucket=host, Prefix=prefix, **more)
            items, key, size, following = page.get("Contents", ()), "Key", "Size", "NextContinuationToken"
        else:
            more = {"pageToken": token} if token else {}
            page = system.call("GET", "b/{}/o", host, prefix=prefix, json_out=True, **more)
            items, key, size, following = page.get("items", ()), "name", "size", "nextPageToken"
        names = {str(item[key]).removeprefix(self._prefix): int(item[size]) for item in items}
        return names, page.get(following)

    def _retry(
        self, action: str, name: str, attempt: Callable[[Any], _Result], **missing: Any
    ) -> _Result | Any:
        """Try until it works; ``missing`` is what stands for "no such object", else that is an error."""
        tries = TRIES if self._root.url.scheme == "s3" else 1  # gcsfs tries six times itself
        for trial in range(1, tries + 1):
            try:
                return attempt(filesystem(self._root.url, self._root.access))
            except MissingExtraError:
                raise
            except EvfrError as error:
                raise self._failure(action, name, str(error)) from error
            except Exception as error:  # the clients' errors share no base class; each is told with its cause
                status, refused = _meaning(error)
                if status == 404 and missing and not _is_bucket_gone(error):
                    return missing["missing"]
                text = str(refused or error).strip().splitlines()[:1]
                reason = "".join(c for c in "".join(text)[:200] if c.isprintable()) or type(error).__name__
                if refused is not None or (status and status not in TRY_AGAIN and not 200 <= status < 300):
                    advice = _ADVICE.get(status, "check the address, or try again later")
                    what = reason if refused is not None else f"the server answers {status}: {advice}"
                    raise self._failure(action, name, what) from error
                if trial == tries:
                    reason = f"the server answers {status}" if status else reason
                    what = f"tried {tries if tries > 1 else 6} times: {reason}"
                    raise self._failure(action, name, f"{what}; check the network and run again") from error
            # Many processes that lost one server shall not come back at the same moment.
            time.sleep(BACKOFF_SECONDS * 2 ** (trial - 1) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    def _failure(self, action: str, name: str, reason: str) -> StoreError:
        return StoreError(f"cannot {action} {self.address(name)}: {reason}")


def _meaning(error: BaseException) -> tuple[int, EvfrError | None]:
    """Return the status that an error or one of its causes stands for, and what refused to connect."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, EvfrError):
            return 0, cause
        if status := status_of(cause):
            return status, None
        cause = cause.__cause__ or cause.__context__
    return 0, None


def _is_bucket_gone(error: BaseException | None) -> bool:
    while error is not None:
        reply = getattr(error, "response", None)
        if isinstance(reply, dict) and reply.get("Error", {}).get("Code") == "NoSuchBucket":
            return True
        error = error.__cause__ or error.__context__
    return False
