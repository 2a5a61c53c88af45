"""A small Ray cluster on this machine that the tests of one module share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import ray

from evfr.distributed import ExecutionOptions
from evfr.distributed._ray import _cluster


@contextlib.contextmanager
def local_cluster() -> Iterator[None]:
    """Start Ray with 2 CPUs as the executor would, and stop it; runs in between use it."""
    with _cluster(ray, ExecutionOptions(jobs=2)):
        yield
