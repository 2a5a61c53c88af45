"""Connect to buckets: S3 by s3fs, Google Cloud Storage by gcsfs, credentials as these find them."""

from __future__ import annotations

import contextlib
import functools
import socket
from typing import Any
from urllib.parse import urlsplit

from evfr._core.lazy import require
from evfr._core.remote import RemoteAccess, RemoteUrl, addresses_of

__all__ = ["TRY_AGAIN", "connected", "filesystem", "resolver", "status_of"]

TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that a second try may change."""

_STATUS = {"NoSuchKey": 404, "NoSuchBucket": 404, "AccessDenied": 403, "PreconditionFailed": 412}
_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError")


@functools.lru_cache(maxsize=4)
def connected(scheme: str, is_private_allowed: bool) -> Any:
    """Return the file system of ``"s3"`` or ``"gs"``, connected once per process."""
    fsspec = require("fsspec", extra="remote")
    require("s3fs" if scheme == "s3" else "gcsfs", extra="remote")
    if scheme == "gs":
        # What is retried, and how long, is decided in one place for all servers.
        return fsspec.filesystem("gs", skip_instance_cache=True, use_listings_cache=False)
    options = {"connector_args": {"resolver": resolver(is_private_allowed)}, "retries": {"max_attempts": 1}}
    made = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, config_kwargs=options)
    made.retries = 1
    return made


def filesystem(url: RemoteUrl, access: RemoteAccess) -> Any:
    """Return the file system of a bucket, once the address of its server is known to be allowed.

    Parameters
    ----------
    url : RemoteUrl
        ``s3://`` or ``gs://``.
    access : RemoteAccess
        Says whether private addresses are allowed; whether ``url`` is allowed is for the caller to check.

    Returns
    -------
    s3fs.S3FileSystem or gcsfs.GCSFileSystem
        The same for every call in a process.

    Raises
    ------
    InputError
        If the server has an address that is not allowed.
    MissingExtraError
        If the extra ``remote`` is not installed.
    """
    made = connected(url.scheme, access.is_private_allowed)
    if url.scheme == "s3":
        made.connect()
        endpoint = made.s3.meta.endpoint_url
    else:
        endpoint = made._location
    parts = urlsplit(endpoint)
    with contextlib.suppress(socket.gaierror):  # said by the request itself, which may be tried again
        addresses_of(parts.hostname or "", parts.port or 443, is_private_allowed=access.is_private_allowed)
    return made


def resolver(is_private_allowed: bool) -> Any:
    """Return a resolver that hands the client only addresses that were looked at."""
    base = require("aiohttp.abc", extra="remote").AbstractResolver

    class CheckedResolver(base):  # type: ignore[misc, valid-type]
        async def resolve(
            self, host: str, port: int = 0, family: int = socket.AF_INET
        ) -> list[dict[str, Any]]:
            import asyncio

            find = functools.partial(addresses_of, host, port, is_private_allowed=is_private_allowed)
            found = await asyncio.get_running_loop().run_in_executor(None, find)
            return [
                {
                    "hostname": host,
                    "host": address,
                    "port": port,
                    "family": found_family,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for found_family, address in found
                if family in (socket.AF_UNSPEC, found_family)
            ]

        async def close(self) -> None:
            """Hold nothing."""

    return CheckedResolver()


def status_of(error: BaseException) -> int:
    """Return the HTTP status that one error of a client stands for (causes are not looked at); 0 if none."""
    if type(error).__name__ in _CREDENTIALS:
        return 401
    status = 0
    reply = getattr(error, "response", None)
    if isinstance(reply, dict):
        status = int(reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        status = _STATUS.get(str(reply.get("Error", {}).get("Code", "")), status)
    code = str(getattr(error, "code", "") or getattr(error, "status", ""))
    status = status or (int(code) if code.isdecimal() else 0)
    status = status or (404 if isinstance(error, FileNotFoundError) else 0)
    return status or (403 if isinstance(error, PermissionError) else 0)
