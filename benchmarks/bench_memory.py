"""Peak memory of one pass over a video of any length: a real clip looped to 20 minutes and to 2 hours.

The packets of a real H.264 clip with B-frames are repeated with shifted time stamps, nothing is encoded. Each length
is measured by `evfr.score` in a process of its own, whose peak resident size the kernel reports. The number of frames
and the duration found are checked in the same run.

    python benchmarks/bench_memory.py [--minutes 20 120] [--signals difference] [--clip basketball.mp4]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import av

LIMIT_MB = 500
FLAT_RATIO = 1.15

SCORE = """
import json, sys
from pathlib import Path
import evfr
result = evfr.score(sys.argv[1], signals=sys.argv[3].split(","), profile=sys.argv[4], out=Path(sys.argv[2]),
                    executor="serial")
(video,) = result.videos
print(json.dumps({"frames": len(video.frames), "seconds": video.frames.duration_seconds,
                  "problems": [str(p) for p in result.problems]}))
"""


def data_folder() -> Path:
    """Return the folder of real clips: EVFR_DATA, or shared/data beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EVFR_DATA", default))
    if not folder.is_dir():
        raise SystemExit(f"EVFR_DATA not found: {folder}; set EVFR_DATA to the folder of real clips")
    return folder


def loop_clip(source: Path, target: Path, seconds: float) -> tuple[int, float]:
    """Repeat the packets of ``source`` until ``seconds`` are full; return frames and seconds written."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.video[0]
        out = writing.add_stream_from_template(stream)
        packets = [packet for packet in reading.demux(stream) if packet.pts is not None]
        step = min(p.duration for p in packets if p.duration)
        period = step * len(packets)
        once = float(period * stream.time_base)
        first = [(packet.pts, packet.dts) for packet in packets]
        time_base = stream.time_base
        loops = max(1, round(seconds / once))
        for loop in range(loops):
            for packet, (pts, dts) in zip(packets, first, strict=True):
                # Muxing rescales a packet in place: say again in which unit the numbers are.
                packet.time_base = time_base
                packet.pts, packet.dts, packet.duration = pts + loop * period, dts + loop * period, step
                packet.stream = out
                writing.mux(packet)
    return loops * len(packets), loops * once


def measure(clip: Path, store: Path, signals: str, profile: str) -> tuple[dict[str, object], float, float]:
    """Score ``clip`` in a new process; return what it found, its peak in MB and its CPU seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCORE, str(clip), str(store), signals, profile], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    found = process.stdout.read()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"evfr.score failed with exit status {process.returncode}")
    return json.loads(found), usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table and say whether the requirement holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="+", default=[20, 120])
    parser.add_argument("--signals", default="difference")
    parser.add_argument("--profile", default="fast")
    parser.add_argument("--clip", default="basketball.mp4")
    options = parser.parse_args()
    source = data_folder() / "video" / options.clip
    print(f"machine: {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"clip: {options.clip}, looped; signals: {options.signals}, profile: {options.profile}\n")
    print(f"{'minutes':>8} {'frames':>8} {'file MB':>8} {'peak MB':>8} {'CPU s':>8}")
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in options.minutes:
            clip = Path(folder) / f"{minutes:g}.mp4"
            frames, seconds = loop_clip(source, clip, minutes * 60)
            found, peak, cpu = measure(clip, Path(folder) / "store", options.signals, options.profile)
            if found["frames"] != frames or abs(float(str(found["seconds"])) - seconds) > 0.1:
                raise SystemExit(f"expected {frames} frames in {seconds:.2f} s, found {found}")
            if found["problems"]:
                raise SystemExit(f"problems: {found['problems']}")
            size = clip.stat().st_size / 1e6
            print(f"{minutes:8g} {frames:8d} {size:8.1f} {peak:8.0f} {cpu:8.0f}", flush=True)
            peaks.append(peak)
            clip.unlink()
    ratio = peaks[-1] / peaks[0]
    print(f"\npeak below {LIMIT_MB} MB: {'yes' if max(peaks) < LIMIT_MB else 'NO'} ({max(peaks):.0f} MB)")
    print(
        f"flat, longest / shortest at most {FLAT_RATIO}: {'yes' if ratio <= FLAT_RATIO else 'NO'} ({ratio:.2f})"
    )
    if max(peaks) >= LIMIT_MB or ratio > FLAT_RATIO:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
