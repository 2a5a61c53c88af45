"""Exact extraction against one sequential pass, in CPU time, results compared in the same run.

All arms hand out the same frames as upright RGB, convert only those, and stop at the last wanted frame. "bare" is
PyAV alone: demux, decode, convert; it checks nothing. "reader" is evfr's own sequential pass, which like extraction
knows every frame by its hash. Hashing costs about 10 us and 0.1 ns a byte a frame: where every small frame is wanted,
extraction is slower than bare decoding by that much.

Must: 1 frame in 30 (GOP 250, B-frames) >= 1.5x and 1 in 150 (GOP 30) >= 7x of bare; never slower than 0.95x of the
reader's pass.

    python benchmarks/bench_extract.py [--turns 5]
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

import _measure
from evfr._core.types import FrameTable
from evfr.video import extract_frames, open_video, plan_extraction, scan
from evfr.video._container import open_container, prepare_decoder, video_streams
from evfr.video._luma import rgb_of

FRAMES = 481
MOST_PIXELS = 100_000_000  # of wanted pictures, so that colour conversion does not take all day
WIDE, SMALL = (1280, 720), (640, 360)
B_RUNS = "bframes=3:b-adapt=0:scenecut=0"
FORMS = {
    "720p gop 250, B": ("mp4", WIDE, f"keyint=250:{B_RUNS}"),
    "720p gop 30, B": ("mp4", WIDE, f"keyint=30:{B_RUNS}"),
    "360p gop 250, no B": ("mp4", SMALL, "keyint=250:bframes=0"),
    "360p gop 48, B, open": ("mkv", SMALL, f"keyint=48:open-gop=1:{B_RUNS}"),
    "360p gop 60, B, raw": ("264", SMALL, f"keyint=60:{B_RUNS}"),
    "360p gop 60, B, ts": ("ts", SMALL, f"keyint=60:{B_RUNS}"),
    "360p gop 12, B": ("mp4", SMALL, f"keyint=12:{B_RUNS}"),
}
REAL = (
    "video/bottles.mp4",
    "video/people_one_by_one.mp4",
    "video/flies_clip.mp4",
    "video/basketball.mp4",
    "video/bikes_cuts.mp4",
    "video/driving_highway.mp4",
    "video/cars_topdown.mp4",
    "video/interleaved_scenes.264",
    "codec/bear_vp9.webm",
    "codec/ucf_mpeg4asp.avi",
    "research/highway_asp.avi",
    "research/traffic_mjpeg.avi",
)
STRIDES = (1, 2, 5, 10, 30, 150)


def encode(source: Path, target: Path, size: tuple[int, int], params: str) -> None:
    """Encode the first frames of a real clip as H.264 in another size and form."""
    options = {"preset": "faster", "crf": "23", "x264-params": params}
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = writing.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index, frame in enumerate(reading.decode(video=0)):
            if index == FRAMES:
                break
            scaled = frame.reformat(*size, format="yuv420p")
            scaled.pts, scaled.time_base, scaled.pict_type = index, Fraction(1, 25), 0
            writing.mux(stream.encode(scaled))
        writing.mux(stream.encode(None))


def sequential(path: Path, wanted: list[int]) -> Iterator[NDArray[np.uint8]]:
    """Decode from the first frame to the last wanted one; yield the wanted as RGB."""
    chosen, last, index = set(wanted), wanted[-1], 0
    with open_container(path) as container:
        stream = video_streams(container)[0]
        prepare_decoder(stream)
        for packet in container.demux(stream):
            for frame in stream.codec_context.decode(packet if packet.size else None):
                if index in chosen:
                    yield rgb_of(frame)
                if index == last:
                    return
                index += 1


def reader_pass(path: Path, wanted: list[int]) -> Iterator[NDArray[np.uint8]]:
    """Do the same with evfr's sequential reader."""
    chosen, last = set(wanted), wanted[-1]
    with open_video(path) as reader:
        for frame in reader:
            if frame.frame_index in chosen:
                yield frame.rgb()
            if frame.frame_index == last:
                return


def check(path: Path, wanted: list[int], table: FrameTable) -> None:
    """Stop unless both arms hand out the same pixels."""
    count = 0
    for image, frame in zip(sequential(path, wanted), extract_frames(path, wanted, table), strict=True):
        if not np.array_equal(image, frame.image):
            raise SystemExit(f"{path.name}: frame {frame.frame_index} differs between the arms")
        count += 1
    if count != len(wanted):
        raise SystemExit(f"{path.name}: {count} frames of {len(wanted)}")


def keep_memory() -> None:
    """Ask glibc to keep freed pictures: else either arm pays now and then for getting pages back (+-10 %)."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def drain(frames: Callable[[], Iterator[object]]) -> Callable[[], None]:
    """Return a case that goes through all frames and keeps none."""

    def run() -> None:
        for _ in frames():
            pass

    return run


def ratios_of(path: Path, table: FrameTable, stride: int, turns: int) -> tuple[float, float, str]:
    """Return the bare and the reader's time over extraction's (the least of all turns each), and the plan."""
    wanted = list(range(stride // 2, len(table), stride))[: MOST_PIXELS // (table.width * table.height)]
    check(path, wanted, table)
    cases = (
        drain(lambda: sequential(path, wanted)),
        drain(lambda: reader_pass(path, wanted)),
        drain(lambda: extract_frames(path, wanted, table)),
    )
    best = [float("inf")] * len(cases)
    # Short cases are repeated; the arms take turns in going first.
    repeats = max(1, min(20, 200 // (wanted[-1] + 1)))
    for turn in range(turns):
        for arm in (0, 1, 2) if turn % 2 else (2, 1, 0):
            begin = time.process_time()
            for _ in range(repeats):
                cases[arm]()
            best[arm] = min(best[arm], time.process_time() - begin)
    plan = plan_extraction(path, wanted, table)
    text = f"{plan.strategy}, {plan.frames_to_decode} of {wanted[-1] + 1}, estimate {1 / plan.relative_cost:.2f}x"
    return best[0] / best[2], best[1] / best[2], text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", default="", help="clips whose name holds this text")
    arguments = parser.parse_args()
    turns = arguments.turns
    keep_memory()
    data = _measure.data_folder()
    _measure.print_header(
        "Exact extraction against a sequential pass",
        f"video/people_one_by_one.mp4, {FRAMES} frames re-encoded; {len(REAL)} real clips as they are",
        of_turns="least",
    )
    ratios: dict[tuple[str, int], tuple[float, float]] = {}
    print(f"{'':28} {'':9}   bare  reader")
    with tempfile.TemporaryDirectory() as folder:
        clips = {}
        for number, (name, (suffix, size, params)) in enumerate(FORMS.items()):
            if arguments.only not in name:
                continue
            clips[name] = Path(folder) / f"{number}.{suffix}"
            encode(data / "video/people_one_by_one.mp4", clips[name], size, params)
        clips |= {name: data / name for name in REAL}
        for name, path in clips.items():
            if arguments.only not in name:
                continue
            table, _, _ = scan(path)
            for stride in STRIDES:
                if stride // 2 >= len(table):
                    continue
                bare, reader, plan = ratios_of(path, table, stride, turns)
                ratios[name, stride] = (bare, reader)
                print(f"{name:28} 1 in {stride:<4} {bare:6.2f}x {reader:6.2f}x   {plan}", flush=True)
    if arguments.only:
        return
    musts = (
        ("1 in 30, GOP 250, B-frames", ratios["720p gop 250, B", 30][0], 1.5),
        ("1 in 150, GOP 30", ratios["720p gop 30, B", 150][0], 7.0),
        ("the slowest of all, against the reader", min(reader for _, reader in ratios.values()), 0.95),
    )
    print()
    for name, value, least in musts:
        print(f"{name}: {value:.2f}x (must: >= {least}x) {'met' if value >= least else 'MISSED'}")
    if any(value < least for _, value, least in musts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
