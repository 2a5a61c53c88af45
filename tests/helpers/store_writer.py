"""A process that writes to a store for ever, for tests that kill it."""

from __future__ import annotations

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evfr._core.store import Store, StoreKey


def key_of(store: Store, number: int) -> StoreKey:
    return store.key(f"video{number:04d}", "signals", {"width": 320, "version": 1})


def table_of(number: int) -> pa.Table:
    rng = np.random.default_rng(number)
    return pa.table({"frame_index": np.arange(3000), "flow": rng.random(3000)})


def main() -> None:
    root, begin, end, is_endless = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "endless"
    store = Store(root)
    pq.write_table(table_of(0), io.BytesIO())  # what the first write loads shall not count as writing
    print("started", flush=True)
    while True:
        keys = [key_of(store, number) for number in range(begin, end)]
        for number, key in zip(range(begin, end), keys, strict=True):
            if is_endless or not store.has(key):
                store.write(key, table_of(number), {"video_id": f"{number}.mp4"})
        if not is_endless:
            return


if __name__ == "__main__":
    main()
