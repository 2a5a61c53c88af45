"""One job for every engine of bench_executors.py: thumbnail vectors of one clip, kept in an atomic file.

Each engine is used as its own documentation shows it, with its own settings for retries, on two workers.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Item = tuple[str, str, str]
"""What happens ("ok", "kill" or "hang"), the clip, and the folder of results."""

WORKERS = 2
TRIES = 3


def work(item: Any, heartbeat: Any = None) -> str:
    """Embed every frame of one clip, unless that is done; each start leaves a mark."""
    import numpy as np

    from evfr.embeddings import make_embedder
    from evfr.video import open_video

    what, clip, folder = item
    target = Path(folder, "done", f"{Path(clip).stem}.npy")
    if target.exists():
        return target.name
    with Path(folder, "starts", target.stem).open("a") as file:
        file.write("x")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(3600)
    if heartbeat is not None:
        heartbeat(0, None)
    embed = make_embedder("thumbnail")
    rows = []
    with open_video(clip) as reader:
        for done, frame in enumerate(reader):
            rows.append(embed([frame.rgb()])[0])
            if heartbeat is not None:
                heartbeat(done, None)
    part = target.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, np.stack(rows))
    part.replace(target)
    return target.name


def evfr_executor(name: str) -> Callable[[Sequence[Item]], None]:
    """Return how an executor of evfr does the job."""

    def run(items: Sequence[Item]) -> None:
        from evfr.distributed import map_videos

        map_videos(work, items, executor=name, jobs=WORKERS, timeout_seconds=6.0, tries=TRIES)

    return run


def ray_data(items: Sequence[Item]) -> None:
    """One block per clip; failed blocks are counted instead of raised."""
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    rows = [{"what": what, "clip": clip, "folder": folder} for what, clip, folder in items]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    data.map(lambda row: {"name": work((row["what"], row["clip"], row["folder"]))}).materialize()
    ray.shutdown()


def dask(items: Sequence[Item]) -> None:
    """A future per clip; errors of one are not the others'."""
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        futures = client.map(work, items, pure=False, retries=TRIES - 1)
        client.gather(futures, errors="skip")


def spark(items: Sequence[Item]) -> None:
    """A partition per clip, three attempts at each."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{WORKERS},{TRIES}]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    try:
        session.sparkContext.parallelize(items, len(items)).map(work).collect()
    finally:
        session.stop()


def daft(items: Sequence[Item]) -> None:
    """A row per clip, in processes of its own, errors ignored."""
    import daft as engine

    @engine.udf(return_dtype=engine.DataType.string(), concurrency=WORKERS, use_process=True, batch_size=1)
    def embed(what: Any, clip: Any, folder: Any) -> list[str]:
        rows = zip(what.to_pylist(), clip.to_pylist(), folder.to_pylist(), strict=True)
        return [work(row) for row in rows]

    what, clip, folder = (list(column) for column in zip(*items, strict=True))
    table = engine.from_pydict({"what": what, "clip": clip, "folder": folder})
    table.select(embed(table["what"], table["clip"], table["folder"])).collect()


ENGINES: dict[str, tuple[Callable[[Sequence[Item]], None], str, str]] = {
    "serial": (evfr_executor("serial"), "", ""),
    "processes": (evfr_executor("processes"), "", ""),
    "ray": (evfr_executor("ray"), "ray", "ray"),
    "Ray Data": (ray_data, "ray.data", "ray[data]"),
    "Dask": (dask, "dask.distributed", "dask[distributed]"),
    "Spark": (spark, "pyspark.sql", "pyspark"),
    "Daft": (daft, "daft", "daft"),
}
"""How an engine does the job, the module it is imported as, and what is installed for it."""
