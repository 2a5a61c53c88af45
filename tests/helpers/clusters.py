"""A small Ray cluster on this machine that the tests of one module share."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from unittest import mock

import ray

from evfr.distributed import ExecutionOptions
from evfr.distributed._ray import _cluster


@contextlib.contextmanager
def local_cluster() -> Iterator[None]:
    """Start Ray with 2 CPUs and 2 pretended GPUs as the executor would, and stop it; runs in between use it."""
    with contextlib.ExitStack() as stack:
        with mock.patch.object(ray, "init", functools.partial(ray.init, num_gpus=2)):
            stack.enter_context(_cluster(ray, ExecutionOptions(jobs=2)))
        yield
