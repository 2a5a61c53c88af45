"""Time `import evfr` and `evfr --help` above bare Python: user and system CPU time of fresh processes.

Prints the median of 15 runs each, and fails when a limit of the README does not hold.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

RUNS = 15
CASES = {
    "import evfr": (["-c", "import evfr"], 0.050),
    "evfr --help": (["-m", "evfr", "--help"], 0.250),
}


def cpu_seconds(arguments: list[str]) -> float:
    """Return the CPU time of one fresh interpreter, in seconds."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def main() -> None:
    """Measure in turns, so that a busy machine burdens all cases alike."""
    arguments = {"bare python": ["-c", "pass"], **{name: case[0] for name, case in CASES.items()}}
    times: dict[str, list[float]] = {name: [] for name in arguments}
    for _ in range(RUNS + 1):
        for name, words in arguments.items():
            times[name].append(cpu_seconds(words))
    median = {name: statistics.median(values[1:]) for name, values in times.items()}
    bad = []
    for name, (_, limit) in CASES.items():
        above = median[name] - median["bare python"]
        print(f"{name}: {above * 1000:.0f} ms above bare python (must stay below {limit * 1000:.0f} ms)")
        if above >= limit:
            bad.append(name)
    if bad:
        raise SystemExit(f"too slow: {', '.join(bad)}")


if __name__ == "__main__":
    main()
