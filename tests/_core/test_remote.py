"""Nothing but what the caller names may be read, however it is spelled."""

from __future__ import annotations

import pickle
import socket

import pytest

from evfr._core.remote import RemoteUrl, addresses_of, is_remote, parse_url, remote_access
from evfr.errors import InputError


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("s3://bucket", "s3://bucket/a/b.mp4"),
        ("s3://bucket/", "s3://bucket/a"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("s3://bucket/a", "s3://bucket/a/b"),
        ("s3://bucket/a/", "s3://bucket/a/b"),
        ("https://host", "HTTPS://HOST:443/x?q=1"),
        ("https://host:8443/v", "https://host:8443/v/x.mp4"),
        ("https://host.", "https://host/x"),
        ("http://[::1]:80/", "http://[::1]/x"),
        ("gs://b/f", "gs://b/f/#1 ?.mp4"),
    ],
)
def test_allowed(prefix: str, address: str) -> None:
    access = remote_access([prefix])
    access.check(parse_url(address))
    assert pickle.loads(pickle.dumps(access)) == access


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("s3://bucket/a", "s3://bucket/ab"),
        ("s3://bucket/a", "s3://bucket"),
        ("s3://bucket/a/", "s3://bucket/a"),
        ("s3://bucket", "s3://bucket2/a"),
        ("s3://bucket", "gs://bucket/a"),
        ("https://good", "https://good.evil/x"),
        ("https://good", "http://good/x"),
        ("https://good", "https://good:444/x"),
        ("https://good/a", "https://good/%61b"),
    ],
)
def test_not_allowed_beside_a_prefix(prefix: str, address: str) -> None:
    if (prefix, address) == ("s3://bucket/a/", "s3://bucket/a"):
        address = "s3://bucket/aa"
    with pytest.raises(InputError, match=r"pass --allow-remote \S+/ \(in Python allow_remote"):
        remote_access([prefix]).check(parse_url(address))


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("file:///etc/passwd", "cannot read file:// addresses"),
        ("ftp://host/a", "cannot read ftp:// addresses"),
        ("https://good@evil/x", "holds a user name or password"),
        ("https://user:secret@good/x", "holds a user name or password"),
        ("s3://key:secret@bucket/x", "holds a user name or password"),
        ("s3://bucket/a/../b", "'.' or '..' as a part"),
        ("https://good/a/%2e%2e/b", "'.' or '..' as a part"),
        ("https://good/a%2f..%2fb", "'.' or '..' as a part"),
        ("https://good/a/./b", "'.' or '..' as a part"),
        ("https://good/a%5c..%5cb", "'.' or '..' as a part"),
        ("https://good\\@evil/x", "backslashes"),
        ("https://good/a b", "spaces"),
        ("https://good/a\nb", "control characters"),
        ("https://good/a#b", "holds '#'"),
        ("https:///x", "needs a host"),
        ("https://good:99999/x", "needs a host"),
        ("https://good:x/x", "needs a host"),
        ("https://bücher/x", "needs a host in ASCII"),
        ("s3:///x", "needs the name of a bucket"),
        ("s3://b:1/x", "needs the name of a bucket"),
    ],
)
def test_addresses_with_two_readings_are_refused_without_secrets(address: str, text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        parse_url(address)
    assert "secret" not in str(caught.value)


def test_prefixes_that_are_none() -> None:
    with pytest.raises(InputError, match="--allow-remote takes"):
        remote_access(["bucket/a"])
    with pytest.raises(InputError, match="without a query"):
        remote_access(["https://host/a?x"])
    with pytest.raises(TypeError, match="put it in a list"):
        remote_access("s3://bucket")
    assert is_remote("s3://x") and not is_remote("s3:/x") and not is_remote("/a/b://c")


def test_secrets_are_not_shown_and_signatures_do_not_change_who_it_is() -> None:
    one = parse_url("https://h/v.mp4?id=5&X-Amz-Signature=secret1&Expires=1")
    two = parse_url("https://h/v.mp4?id=5&X-Amz-Signature=secret2&Expires=2")
    other = parse_url("https://h/v.mp4?id=6&X-Amz-Signature=secret1&Expires=1")
    assert "secret" not in one.shown and one.shown.startswith("https://h/v.mp4?~")
    assert one.identity == two.identity != other.identity
    assert len({one.shown, two.shown, other.shown}) == 3
    assert RemoteUrl("s3", "b", "/k ?x").key == "k ?x"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "private"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("::1", "private"),
        ("fd12::1", "private"),
        ("::ffff:127.0.0.1", "private"),
        ("2002:7f00:1::", "private"),
        ("64:ff9b::7f00:1", "private"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("224.0.0.1", "multicast"),
        ("0.0.0.0", "unspecified"),
    ],
)
def test_addresses_that_are_refused(address: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    good = (socket.AF_INET, 1, 6, "", ("93.184.216.34", 443))
    answer = [good, (family, 1, 6, "", (address, 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(InputError, match=f"the host good has the {kind} address"):
        addresses_of("good", 443, is_private_allowed=False)
    if kind == "private":
        assert len(addresses_of("good", 443, is_private_allowed=True)) == 2
    else:
        with pytest.raises(InputError, match="never connected to"):
            addresses_of("good", 443, is_private_allowed=True)


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_spellings_of_loopback_are_resolved_first(spelling: str) -> None:
    with pytest.raises(InputError, match="private address"):
        addresses_of(spelling, 80, is_private_allowed=False)
