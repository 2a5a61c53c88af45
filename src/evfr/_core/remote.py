"""Which remote files may be read, under which names they are shown, and which machines may be asked for them.

Nothing is read from the network unless the caller names a prefix. The rules are in one place, so that inputs,
redirects and stores obey the same ones.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from evfr.errors import InputError

__all__ = [
    "CACHE_VARIABLE",
    "PRIVATE_VARIABLE",
    "RemoteAccess",
    "RemoteUrl",
    "addresses_of",
    "is_remote",
    "parse_url",
    "remote_access",
    "remote_cache_folder",
]

PRIVATE_VARIABLE = "EVFR_ALLOW_PRIVATE"
"""Environment variable: 1 lets an allowed prefix lead to a private or loopback address."""

CACHE_VARIABLE = "EVFR_REMOTE_CACHE"
"""Environment variable: the folder for what comes from remote places."""

_SCHEMES = ("s3", "gs", "https", "http")
_WEB = ("https", "http")
_PORTS = {"https": 443, "http": 80}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WEB_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIGNATURE = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|signature|expires|key-pair-id|policy", re.IGNORECASE
)
# Addresses that the tables of private networks do not list, and that answer with credentials all the same.
_METADATA = frozenset(map(ipaddress.ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """One remote file or folder, taken apart.

    Attributes
    ----------
    scheme : {"s3", "gs", "https", "http"}
        How it is reached.
    host : str
        The bucket, or the host with its port where that is not the usual one; lower case.
    path : str
        Begins with ``/``; as written.
    query : str
        What follows ``?`` of a web address; it may hold a signature, so it is never shown.
    """

    scheme: str
    host: str
    path: str
    query: str = ""

    @property
    def is_web(self) -> bool:
        """Whether it is a web address, not an object in a bucket."""
        return self.scheme in _WEB

    @property
    def key(self) -> str:
        """Name of the object in its bucket."""
        return self.path[1:]

    @property
    def text(self) -> str:
        """The whole address, secrets included: to connect with, never to print."""
        return f"{self.scheme}://{self.host}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def shown(self) -> str:
        """The address without its query, in whose place stands what tells two queries apart; for messages."""
        mark = f"?~{hashlib.blake2b(self.query.encode(), digest_size=4).hexdigest()}" if self.query else ""
        return f"{self.scheme}://{self.host}{self.path}{mark}"

    @property
    def identity(self) -> str:
        """Digest of the address without the parameters of a signature, which differ each time it is signed."""
        kept = [
            pair
            for pair in parse_qsl(self.query, keep_blank_values=True)
            if not _SIGNATURE.fullmatch(pair[0])
        ]
        plain = RemoteUrl(self.scheme, self.host, self.path, urlencode(kept)).text
        return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where to connect to, of a web address."""
        parts = urlsplit(f"//{self.host}")
        return parts.hostname or "", parts.port or _PORTS[self.scheme]


def remote_cache_folder() -> Path:
    """Return where local copies lie: ``EVFR_REMOTE_CACHE``, else ``evfr/remote`` in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE_VARIABLE) or Path(base) / "evfr" / "remote")


def is_remote(text: str) -> bool:
    """Whether ``text`` is an address such as ``s3://bucket/key``, of whatever scheme, and not a local path."""
    return _URL.match(text) is not None


def parse_url(text: str) -> RemoteUrl:
    """Take an address apart, refusing whatever two programs could read in two ways.

    Parameters
    ----------
    text : str
        ``s3://bucket/key``, ``gs://bucket/key``, ``https://host/path`` or ``http://host/path``.

    Returns
    -------
    RemoteUrl

    Raises
    ------
    InputError
        If the scheme is another, or the address holds user names, passwords, control characters, backslashes,
        ``.`` or ``..`` as parts of the path (also as percent escapes), a fragment, or no proper host.
    """
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in _SCHEMES:
        raise InputError(f"cannot read {scheme}:// addresses; give s3://, gs:// or https://, or a local path")
    if not rest.isprintable() or "\\" in rest or (scheme in _WEB and " " in rest):
        raise InputError(
            f"a {scheme}:// address holds spaces, control characters or backslashes; escape them"
        )
    query = ""
    if scheme in _WEB:
        if "#" in rest:
            raise InputError(f"a {scheme}:// address holds '#', which no server sees; escape it as %23")
        rest, _, query = rest.partition("?")
    host, slash, path = rest.partition("/")
    host = _checked_host(scheme, host)
    decoded = unquote(path) if scheme in _WEB else path
    if (
        "\\" in decoded
        or not decoded.isprintable()
        or any(part in (".", "..") for part in decoded.split("/"))
    ):
        raise InputError(
            f"the path of {scheme}://{host} holds '.' or '..' as a part, or unprintable characters; write it plainly"
        )
    return RemoteUrl(scheme, host, f"/{path}" if slash else "/", query)


def _checked_host(scheme: str, host: str) -> str:
    if "@" in host:
        raise InputError(
            f"a {scheme}:// address holds a user name or password; remove it: credentials come from the environment"
        )
    if scheme not in _WEB:
        if not _BUCKET.fullmatch(host):
            raise InputError(f"{scheme}:// needs the name of a bucket, got {host!r}")
        return host
    name, port = host.lower(), ""
    if found := re.fullmatch(r"(.*?):([0-9]{1,5})", name):
        name, port = found.groups()
    name = name.removesuffix(".")
    if not _WEB_HOST.fullmatch(name) or (port and not 0 < int(port) < 65536):
        raise InputError(f"{scheme}:// needs a host in ASCII letters (xn-- for others), got {host!r}")
    return name if not port or int(port) == _PORTS[scheme] else f"{name}:{int(port)}"


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """What the caller allows to be read; travels to worker processes.

    Attributes
    ----------
    prefixes : tuple of RemoteUrl
        Addresses below which everything may be read.
    is_private_allowed : bool
        Whether a private or loopback address may be connected to.
    """

    prefixes: tuple[RemoteUrl, ...] = ()
    is_private_allowed: bool = False

    def allows(self, url: RemoteUrl) -> bool:
        """Whether an address is one of the prefixes or lies below one, at the border of a path's part."""
        return any(
            (url.scheme, url.host) == (prefix.scheme, prefix.host)
            and (url.path == prefix.path or url.path.startswith(prefix.path.rstrip("/") + "/"))
            for prefix in self.prefixes
        )

    def check(self, url: RemoteUrl) -> None:
        """Raise `InputError`, naming the flag, if an address may not be read."""
        if self.allows(url):
            return
        folder = url.shown.split("?")[0].rpartition("/")[0] + "/"
        raise InputError(
            f"reading {url.shown} is not allowed: remote files are read only where you name them; "
            f"pass --allow-remote {folder} (in Python allow_remote=[...]) if that is meant"
        )


def remote_access(allow_remote: Sequence[str] = ()) -> RemoteAccess:
    """Read the prefixes that a caller allows.

    Parameters
    ----------
    allow_remote : sequence of str
        Such as ``"s3://bucket/folder"`` or ``"https://host/videos/"``; ``http://`` only where it is written so.

    Returns
    -------
    RemoteAccess
        With private addresses allowed if the environment variable ``EVFR_ALLOW_PRIVATE`` is 1.

    Raises
    ------
    InputError
        If a prefix is no address.
    TypeError
        If a single string is given.
    """
    if isinstance(allow_remote, str):
        raise TypeError(
            f"allow_remote must be a sequence of prefixes, got {allow_remote!r}; put it in a list"
        )
    prefixes = []
    for text in allow_remote:
        if not is_remote(text):
            raise InputError(
                f"--allow-remote takes s3://bucket/folder, gs://... or https://host/..., got {text!r}"
            )
        url = parse_url(text)
        if url.query:
            raise InputError(f"--allow-remote takes a prefix without a query ('?'), got {url.shown}")
        prefixes.append(url)
    return RemoteAccess(tuple(prefixes), os.environ.get(PRIVATE_VARIABLE) == "1")


def addresses_of(host: str, port: int, *, is_private_allowed: bool) -> list[tuple[int, str]]:
    """Resolve a host once, and refuse it if any of its addresses is not a public one.

    Connect to what this returns, not to the name: the name may mean another address the next time.

    Parameters
    ----------
    host : str
        A name or an address.
    port : int
        Where to connect to.
    is_private_allowed : bool
        Let private and loopback addresses pass. Link-local, multicast and metadata addresses never do.

    Returns
    -------
    list of (int, str)
        Address family and address, at least one.

    Raises
    ------
    InputError
        If an address is refused.
    OSError
        If the name does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((int(family), str(place[0])) for family, _, _, _, place in found))
    for _, address in addresses:
        kind = _refused(address.partition("%")[0], is_private_allowed)
        if kind:
            advice = (
                f"set {PRIVATE_VARIABLE}=1 if that is meant"
                if kind == "private"
                else "it is never connected to"
            )
            raise InputError(f"the host {host} has the {kind} address {address}; {advice}")
    return addresses


def _refused(text: str, is_private_allowed: bool) -> str:
    """Return what is wrong with an address, empty if nothing is."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _refused(str(inner), is_private_allowed)
    if address in _METADATA:
        return "metadata"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast or address.is_unspecified:
        return "multicast" if address.is_multicast else "unspecified"
    return "" if address.is_global or is_private_allowed else "private"
