"""Read ranges of objects in buckets: S3 by s3fs, Google Cloud Storage by gcsfs, credentials as these find them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evfr._core.cloud import TRY_AGAIN, filesystem, status_of
from evfr._core.lazy import require
from evfr._core.remote import RemoteAccess, RemoteUrl
from evfr.errors import EvfrError, InputError, ProblemCode, VideoError
from evfr.video._container import fail, printable
from evfr.video._remote_transport import Dropped, Identity, Sink, Transport, changed, refused

__all__ = ["cloud_transport", "list_objects"]

_PIECE_BYTES = 1 << 16


def cloud_transport(url: RemoteUrl, access: RemoteAccess) -> Transport:
    """Return the way to reach one object.

    Raises
    ------
    MissingExtraError
        If the extra ``remote`` is not installed.
    """
    return (S3Transport if url.scheme == "s3" else GcsTransport)(url, _filesystem(url, access))


def list_objects(
    url: RemoteUrl, access: RemoteAccess, *, is_recursive: bool
) -> Iterator[tuple[RemoteUrl, Identity | None]]:
    """Yield the objects whose address begins with ``url``, in the server's order.

    Parameters
    ----------
    url : RemoteUrl
        A folder, or a folder and the beginning of a name.
    access : RemoteAccess
        Says whether private addresses are allowed; what is listed is not checked.
    is_recursive : bool
        Whether to go below folders.

    Yields
    ------
    tuple of (RemoteUrl, Identity or None)
        The object, and which bytes it has where the listing tells.

    Raises
    ------
    VideoError
        If the bucket cannot be listed.
    """
    filesystem = _filesystem(url, access)
    lister = _list_s3 if url.scheme == "s3" else _list_gcs
    token: str | None = None
    while True:
        try:
            found, token = lister(filesystem, url, "" if is_recursive else "/", token)
        except Exception as error:  # of botocore, aiohttp or gcsfs, which share no base class
            raise _translated(error, url) from error
        yield from found
        if not token:
            return


class S3Transport:
    """Reach one object of S3, or of a server that speaks its language.

    Parameters
    ----------
    url : RemoteUrl
        The object.
    filesystem : s3fs.S3FileSystem
        Connected with the user's credentials.
    """

    def __init__(self, url: RemoteUrl, filesystem: Any) -> None:
        self._url, self._filesystem = url, filesystem
        self._name = {"Bucket": url.host, "Key": url.key}

    def close(self) -> None:
        """Do nothing: connections belong to the file system."""

    def identify(self) -> Identity:
        """Ask for size, entity tag and version."""
        try:
            head = self._filesystem.call_s3("head_object", **self._name)
        except Exception as error:  # of botocore, aiohttp or gcsfs, which share no base class
            raise _translated(error, self._url) from error
        version = head.get("VersionId") or ""
        entity = head.get("ETag") or ""
        modified = str(head.get("LastModified", ""))
        version = "" if version == "null" else version
        return Identity(int(head["ContentLength"]), f"{entity} {version} {modified}", entity, version)

    def fetch(self, start: int, stop: int, identity: Identity, sink: Sink) -> None:
        """Hand out the bytes of one range."""
        asyn = require("fsspec.asyn", extra="remote")
        try:
            asyn.sync(self._filesystem.loop, self._get, start, stop, identity, sink)
        except EvfrError:
            raise
        except Exception as error:  # of botocore, aiohttp or gcsfs, which share no base class
            raise _translated(error, self._url) from error

    async def _get(self, start: int, stop: int, identity: Identity, sink: Sink) -> None:
        wanted = {
            "Range": f"bytes={start}-{stop - 1}",
            "IfMatch": identity.entity_tag,
            "VersionId": identity.version,
        }
        reply = await self._filesystem._call_s3(
            "get_object", **self._name, **{name: value for name, value in wanted.items() if value}
        )
        if reply.get("ETag", "") != identity.entity_tag:
            raise changed(self._url)
        left = stop - start
        async with reply["Body"] as body:
            while left and (piece := await body.read(min(_PIECE_BYTES, left))):
                left -= len(piece)
                sink(piece)
        if left:
            raise OSError(f"the connection ended {left} bytes early")


class GcsTransport:
    """Reach one object of Google Cloud Storage.

    Parameters
    ----------
    url : RemoteUrl
        The object.
    filesystem : gcsfs.GCSFileSystem
        Connected with the user's credentials.
    """

    def __init__(self, url: RemoteUrl, filesystem: Any) -> None:
        self._url, self._filesystem = url, filesystem

    def close(self) -> None:
        """Do nothing: connections belong to the file system."""

    def identify(self) -> Identity:
        """Ask for size and generation: a generation never changes its bytes."""
        try:
            found = self._filesystem.call("GET", "b/{}/o/{}", self._url.host, self._url.key, json_out=True)
        except Exception as error:  # of botocore, aiohttp or gcsfs, which share no base class
            raise _translated(error, self._url) from error
        return _gcs_identity(found)

    def fetch(self, start: int, stop: int, identity: Identity, sink: Sink) -> None:
        """Hand out the bytes of one range."""
        address = self._filesystem.url(f"{self._url.host}/{self._url.key}", generation=identity.version)
        try:
            _, data = self._filesystem.call("GET", address, headers={"Range": f"bytes={start}-{stop - 1}"})
        except Exception as error:  # of botocore, aiohttp or gcsfs, which share no base class
            raise _translated(error, self._url, is_pinned=True) from error
        sink(data[: stop - start])
        if len(data) < stop - start:
            raise Dropped(f"the connection ended {stop - start - len(data)} bytes early")


def _filesystem(url: RemoteUrl, access: RemoteAccess) -> Any:
    """Return the file system, once the address of its server is known to be allowed."""
    try:
        return filesystem(url, access)
    except InputError as error:
        raise fail(ProblemCode.E_UNREADABLE, f"not connected: {error}", url.shown) from error


def _list_s3(
    filesystem: Any, url: RemoteUrl, delimiter: str, token: str | None
) -> tuple[list[tuple[RemoteUrl, Identity | None]], str | None]:
    more = {"ContinuationToken": token} if token else {}
    page = filesystem.call_s3("list_objects_v2", Bucket=url.host, Prefix=url.key, Delimiter=delimiter, **more)
    # A listing tells no versions, so the identity is asked for when the object is read.
    found = [(RemoteUrl(url.scheme, url.host, f"/{item['Key']}"), None) for item in page.get("Contents", ())]
    return list(found), page.get("NextContinuationToken")


def _list_gcs(
    filesystem: Any, url: RemoteUrl, delimiter: str, token: str | None
) -> tuple[list[tuple[RemoteUrl, Identity | None]], str | None]:
    more = {name: value for name, value in (("delimiter", delimiter), ("pageToken", token)) if value}
    page = filesystem.call("GET", "b/{}/o", url.host, prefix=url.key, json_out=True, **more)
    found: list[tuple[RemoteUrl, Identity | None]] = [
        (RemoteUrl(url.scheme, url.host, f"/{item['name']}"), _gcs_identity(item))
        for item in page.get("items", ())
    ]
    return found, page.get("nextPageToken")


def _gcs_identity(found: dict[str, Any]) -> Identity:
    generation = str(found["generation"])
    return Identity(int(found["size"]), f"generation {generation}", "", generation)


def _translated(error: BaseException, url: RemoteUrl, *, is_pinned: bool = False) -> VideoError | Dropped:
    """Return what a client's error means: try again, or not."""
    status = 0
    cause: BaseException | None = error
    while cause is not None and not status:
        if isinstance(cause, VideoError | Dropped):
            return cause
        if isinstance(cause, InputError):
            return fail(ProblemCode.E_UNREADABLE, f"not connected: {cause}", url.shown)
        status = status_of(cause)
        cause = cause.__cause__ or cause.__context__
    if status == 412 or (status == 404 and is_pinned):
        return changed(url)
    if status and status not in TRY_AGAIN and not 200 <= status < 300:
        return refused(url, status)
    text = printable(str(error)).strip() or type(error).__name__
    return Dropped(f"the server answers {status}" if status else text[:200])
