"""Encrypted connections: the certificate must be the host's, though the address was looked up before."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest

from evfr.errors import VideoError
from evfr.video import _remote as remote_module
from evfr.video import content_hash, remote_file
from helpers.web import serve

x509 = pytest.importorskip("cryptography.x509")


def certificate(folder: Path, name: str) -> Path:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("name", ["localhost", "other.example"])
def test_https_reads_ranges_from_the_host_that_the_certificate_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVFR_REMOTE_CACHE", str(tmp_path / "remote"))
    monkeypatch.setenv("EVFR_ALLOW_PRIVATE", "1")
    monkeypatch.setattr(remote_module, "BACKOFF_SECONDS", 0.001)
    pem = certificate(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serve({"/v": b"x" * 100_000}, context=context) as site:
        address = site.url.replace("127.0.0.1", "localhost")
        assert address.startswith("https://")
        source = remote_file(f"{address}/v", allow_remote=[address])
        if name == "localhost":
            assert len(content_hash(source)) == 32
            assert source.traffic.byte_count == 100_000
        else:
            with pytest.raises(VideoError, match="its certificate is refused"):
                content_hash(source)
