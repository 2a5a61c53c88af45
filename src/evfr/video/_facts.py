"""Weigh what a pass found: the facts about a video, and the problems to report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from evfr._core.types import PTS_NONE, FrameTable, Problem
from evfr.errors import ProblemCode

if TYPE_CHECKING:
    from typing import Protocol

    from evfr.video._info import VideoInfo
    from evfr.video._pass import Pass

    class _Report(Protocol):
        def __call__(
            self, code: ProblemCode, message: str, index: int | None = None, count: int = 1
        ) -> None: ...


__all__ = ["Outcome", "final_facts", "gop_lengths", "is_variable_rate", "pass_problems"]

_PARTIAL = frozenset(
    {ProblemCode.W_TRUNCATED, ProblemCode.W_CORRUPT, ProblemCode.W_PTS_GAP, ProblemCode.W_IMAGE}
)
_NO_CLAIM = frozenset(
    {"mpegts", "mpeg", "h264", "hevc", "m4v", "mpegvideo", "vvc", "obu", "mjpeg", "av1", "vc1"}
)
"""Containers whose durations FFmpeg guesses from time stamps or bit rates: no claim to hold them to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a pass counted, beside its table: suspects are counted whatever the policy about them is."""

    run: Pass
    suspect_count: int
    first_suspect: int | None
    lacking_bytes: int
    is_alone: bool


def gop_lengths(is_iframe: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[int, float]:
    """Return the most and the mean number of frames from one key frame up to the next, the last one's included."""
    starts = np.flatnonzero(is_iframe)
    n = len(is_iframe)
    if len(starts) == 0:
        return n, float(n)
    lengths = np.diff(np.append(starts, n))
    return int(lengths.max()), float(lengths.mean())


def is_variable_rate(table: FrameTable) -> bool:
    """Whether more than 1 % of the steps between frames differ from the usual one by more than rounding."""
    if table.is_time_estimated or len(table) < 3:
        return False
    known = table.pts[table.pts != PTS_NONE]
    steps = np.diff(known)
    usual = float(np.median(steps))
    off = np.abs(steps - usual) > max(1.01, 0.05 * abs(usual))
    return bool(off.sum() > 0.01 * len(steps))


def pass_problems(name: str, info: VideoInfo, table: FrameTable, outcome: Outcome) -> list[Problem]:
    """Return the problems of a finished pass, in a fixed order."""
    run = outcome.run
    problems: list[Problem] = []

    def report(code: ProblemCode, message: str, index: int | None = None, count: int = 1) -> None:
        problems.append(Problem(code, message, name, index, count))

    if outcome.lacking_bytes:
        report(
            ProblemCode.W_TRUNCATED,
            f"the file ends too early: at least {outcome.lacking_bytes} bytes are missing; copy it again if you can",
        )
    if run.is_damaged or outcome.suspect_count:
        parts = []
        if run.error_count:
            parts.append(f"{run.error_count} packets failed")
        if run.corrupt_count:
            parts.append(f"{run.corrupt_count} were flagged corrupt")
        if run.unplaced_count:
            parts.append(f"{run.unplaced_count} of them have no place in time")
        missing = len(table) - int(table.is_decoded.sum())
        parts.append(f"{outcome.suspect_count} frames are suspect ({missing} did not decode)")
        report(
            ProblemCode.W_CORRUPT,
            ", ".join(parts) + "; suspect frames are not selected unless damaged frames are kept",
            outcome.first_suspect,
            max(outcome.suspect_count, run.error_count, 1),
        )
    if run.gap_count:
        report(
            ProblemCode.W_PTS_GAP,
            f"holes in the time stamps: {run.gap_count} frames are missing; true times are used",
            run.first_gap,
            run.gap_count,
        )
    _report_times(report, table)
    _report_claims(report, info, table, outcome)
    if run.interlaced_count:
        report(
            ProblemCode.W_INTERLACED,
            f"{run.interlaced_count} frames are interlaced and show two moments each; deinterlace to avoid combing",
            None,
            run.interlaced_count,
        )
    return problems


def _report_times(report: _Report, table: FrameTable) -> None:
    known = table.pts != PTS_NONE
    missing = int((~known).sum())
    if missing:
        how = "all times are estimated" if table.is_time_estimated else "their times are estimated"
        report(
            ProblemCode.W_PTS_MISSING,
            f"{missing} of {len(table)} frames have no time stamp; {how} from the frame rate",
            int(np.flatnonzero(~known)[0]),
            missing,
        )
    places = np.flatnonzero(known)
    steps = np.diff(table.pts[known])
    for code, bad, text in (
        (ProblemCode.W_PTS_DUPLICATE, steps == 0, "repeat the time stamp before"),
        (ProblemCode.W_PTS_ORDER, steps < 0, "are stamped earlier than the one before"),
    ):
        count = int(bad.sum())
        if count:
            first = int(places[np.flatnonzero(bad)[0] + 1])
            report(code, f"{count} frames {text}; their order is the decoder's", first, count)


def _report_claims(report: _Report, info: VideoInfo, table: FrameTable, outcome: Outcome) -> None:
    run = outcome.run
    claimed = info.claimed_frame_count
    if claimed is not None and claimed not in (
        len(table),
        len(table) + run.discarded_count + run.hidden_count,
        run.packet_count if run.packet_count == len(table) + run.discarded_count + run.hidden_count else -1,
    ):
        report(
            ProblemCode.W_FRAME_COUNT,
            f"the header claims {claimed} frames, {len(table)} were found; the found ones count",
            None,
            abs(claimed - len(table)),
        )
    seconds = info.claimed_duration_seconds
    if seconds is None or table.is_time_estimated or info.container.split(",")[0] in _NO_CLAIM:
        return
    true = table.duration_seconds
    step = true / len(table) if len(table) else 0.0
    slack = max(0.5, 3 * step, 0.02 * true) if outcome.is_alone else max(2.0, 3 * step, 0.1 * true)
    if abs(seconds - true) > slack:
        report(
            ProblemCode.W_DURATION,
            f"the header claims {seconds:.3f} s, the frames last {true:.3f} s; true times are used",
        )


def final_facts(info: VideoInfo, table: FrameTable, suspect_count: int, problems: list[Problem]) -> VideoInfo:
    """Return the facts with all counts final."""
    longest, mean = gop_lengths(table.is_iframe[table.is_decoded])
    types = {t: int((table.picture_type == t.encode()).sum()) for t in "IPB?"}
    known = int((table.pts != PTS_NONE).sum())
    span = float(table.time_seconds[-1] - table.time_seconds[0]) if len(table) > 1 else 0.0
    status: Literal["ok", "partial", "failed"] = "ok"
    if suspect_count or any(problem.code in _PARTIAL for problem in problems):
        status = "partial"
    return replace(
        info,
        frame_count=len(table),
        decoded_count=int(table.is_decoded.sum()),
        suspect_count=suspect_count,
        fps=(len(table) - 1) / span if span > 0 and (known or table.is_time_estimated) else None,
        is_variable_rate=is_variable_rate(table),
        duration_seconds=table.duration_seconds,
        gop_length_max=longest,
        gop_length_mean=mean,
        picture_types={name: count for name, count in types.items() if count},
        has_b_frames=types["B"] > 0,
        is_time_estimated=table.is_time_estimated,
        status=status,
        problems=tuple(problems),
    )
