"""Run the main job on every real clip and print what it chose, where, and how long it took.

The commands are the ones printed; the reports stay in the folder named at the end, to be looked at.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measure import data_folder
from evfr import Selection


def main() -> None:
    """Select 10 % of each clip of ``video/``, one command a clip, and all of them under one budget."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="evfr-real-clips-"))
    environment = os.environ | {"EVFR_STORE": str(folder / "store")}
    clips = data_folder() / "video"
    sources = sorted(path for path in clips.iterdir() if path.suffix in (".mp4", ".264"))
    for source in [*sources, clips]:
        out = folder / source.name
        command = [sys.executable, "-m", "evfr", "select", str(source), "--ratio", "0.1", "--out", str(out)]
        shown = f"evfr select $EVFR_DATA/{source.relative_to(clips.parent)} --ratio 0.1 --out {source.name}"
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        print(f"$ {shown}\n  exit {done.returncode} after {seconds:.1f} s wall")
        if done.returncode not in (0, 3):
            raise SystemExit(done.stderr)
        chosen = Selection.load(out)
        for entry in chosen.manifest["inputs"]:
            signal = entry["signals"]["flow"]
            print(
                f"  {entry['video_id']:<24}{entry['frame_count']:>6} -> {entry['selected']:>4}"
                f"  {entry['shots']:>3} shots  dynamicity {signal['dynamicity']:.2f}"
                f"  activity {signal['activity']:.3f} px"
            )
        page = (out / "report.html").stat().st_size
        frames = chosen.manifest["summary"]["frames"]
        print(f"  report {page / 1e6:.2f} MB, {page / frames:.0f} B a frame")
    print(f"reports: {shlex.quote(str(folder))}/*/report.html")


if __name__ == "__main__":
    main()
