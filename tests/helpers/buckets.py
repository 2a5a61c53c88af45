"""A bucket on loopback, played by moto, for tests that read and write S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evfr._core import _bucket, _mirror, cloud

BUCKET = "footage"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's server and yield its address."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def s3_bucket(endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make an empty bucket, point the environment to it, and yield a client of boto3."""
    boto3 = pytest.importorskip("boto3")
    for name, value in {
        "EVFR_REMOTE_CACHE": str(folder / "one"),
        "EVFR_ALLOW_PRIVATE": "1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "secretkey",
        "AWS_SECRET_ACCESS_KEY": "topsecret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_bucket, "BACKOFF_SECONDS", 0.001)
    cloud.connected.cache_clear()
    _mirror.forget_listings()
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=BUCKET)
    try:
        yield client
    finally:
        for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=item["Key"])
        client.delete_bucket(Bucket=BUCKET)
        client.close()
        cloud.connected.cache_clear()
        _mirror.forget_listings()


def objects(client: Any) -> dict[str, bytes]:
    """Return everything in the bucket."""
    listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    return {item["Key"]: client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed}
