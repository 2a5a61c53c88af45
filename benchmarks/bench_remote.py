"""What reading by ranges fetches, against a full download first: bytes and requests, results compared in the same run.

The server is on loopback, so seconds mean nothing here and are not printed; each request costs a round trip
elsewhere. "facts" opens the video and reads what its header says, "10 frames" extracts ten exact frames in one run of
a table that is known, "pass" decodes every frame once, "hash, pass" is what `evfr select` does. "again" repeats the
last with the cache warm.

    python benchmarks/bench_remote.py [VIDEO ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from evfr.video import RemoteFile, content_hash, extract_frames, open_video, remote_file, scan
from helpers.web import serve


def _data() -> Path:
    return Path(os.environ.get("EVFR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def main() -> None:
    """Print one table per video."""
    given = [Path(text) for text in sys.argv[1:]] or [
        _data() / "video" / name
        for name in ("flies_120s.mp4", "driving_highway.mp4", "people_one_by_one.mp4")
    ]
    os.environ["EVFR_ALLOW_PRIVATE"] = "1"
    for path in given:
        table, info, _ = scan(path)
        wanted = np.linspace(len(table) / 3, len(table) / 3 + 9, 10).astype(int).tolist()
        local = [frame.image for frame in extract_frames(path, wanted, table)]

        def facts(source: RemoteFile, info: object = info) -> bool:
            with open_video(source) as video:
                return video.info.codec == info.codec  # type: ignore[attr-defined]

        def ten(
            source: RemoteFile, wanted: list[int] = wanted, local: list[object] = local, table=table
        ) -> bool:  # type: ignore[no-untyped-def]
            pictures = [frame.image for frame in extract_frames(source, wanted, table, plan="seek")]
            return all(np.array_equal(a, b) for a, b in zip(pictures, local, strict=True))

        def one_pass(source: RemoteFile, table=table) -> bool:  # type: ignore[no-untyped-def]
            return bool(np.array_equal(scan(source)[0].luma_hash, table.luma_hash))

        def hash_and_pass(source: RemoteFile, path: Path = path) -> bool:
            return content_hash(source) == content_hash(path) and one_pass(source)

        size = path.stat().st_size
        print(f"\n{path.name}: {size} bytes, {len(table)} frames; a full download is 1 request")
        print(f"{'what':<12}{'bytes':>12}{'share':>8}{'requests':>10}  same as local")
        with serve({"/v": path.read_bytes()}) as site:
            arms: tuple[tuple[str, Callable[[RemoteFile], bool]], ...] = (
                ("facts", facts),
                ("10 frames", ten),
                ("pass", one_pass),
                ("hash, pass", hash_and_pass),
            )
            for name, use in arms:
                with tempfile.TemporaryDirectory() as cache:
                    os.environ["EVFR_REMOTE_CACHE"] = cache
                    for label in (name,) if name != "hash, pass" else (name, "again"):
                        source = remote_file(site.url + "/v", allow_remote=[site.url])
                        is_same = use(source)
                        got = source.traffic
                        share = 100 * got.byte_count / size
                        print(
                            f"{label:<12}{got.byte_count:>12}{share:>7.1f}%{got.request_count:>10}  {is_same}"
                        )


if __name__ == "__main__":
    main()
