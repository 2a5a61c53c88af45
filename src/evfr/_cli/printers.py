"""Show the result of each command to a person: one function per command, chosen by one dict.

Result values are read by attribute only, so this module needs none of the families that made them.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from evfr._cli.terminal import make_console, printable

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["PRINTERS", "print_table"]

MOST_ROWS = 50
INSPECT_NAMED = {"frames", "fps", "GOP", "types", "MVs", "problems"}
WRITTEN = {
    "report": "report.html",
    "manifest": "selection.json",
    "table": "selection.parquet",
    "frames": "frames",
}


def print_inspect(result: Any) -> None:
    """Show a row per video: what it is, how many frames really decode, what is wrong."""
    headers = ("file", "codec", "size", "frames", "fps", "duration", "GOP", "types", "MVs", "problems")
    rows = [_inspect_row(video) for video in result.videos]
    if _fits(headers, rows):
        print_table(headers, rows)
        return
    for path, *cells in rows:
        facts = [
            f"{name} {cell}" if name in INSPECT_NAMED else cell
            for name, cell in zip(headers[1:], cells, strict=True)
            if cell
        ]
        _write_lines(
            [
                path,
                *textwrap.wrap(
                    ", ".join(facts),
                    make_console().width - 4,
                    initial_indent="    ",
                    subsequent_indent="    ",
                ),
            ]
        )


def _inspect_row(video: Any) -> tuple[str, ...]:
    codes = ", ".join(dict.fromkeys(str(problem.code) for problem in video.problems))
    if video.status == "failed":
        return (video.path, *[""] * 8, codes)
    claimed = video.claimed_frame_count
    differs = claimed is not None and claimed != video.frame_count
    size = f"{video.width}x{video.height}" + (f" rot{video.rotation:g}" if video.rotation else "")
    fps = "?" if video.fps is None else f"{video.fps:.5g}" + (" VFR" if video.is_variable_rate else "")
    mean = f"{video.gop_length_mean:.{0 if video.gop_length_mean >= 100 else 1}f}"
    gop = f"{mean} (max {video.gop_length_max})"
    types = " ".join(f"{name}:{count}" for name, count in sorted(dict(video.picture_types).items()))
    types += f" ({video.b_run_max} B in a row)" if video.b_run_max else ""
    return (
        video.path,
        f"{video.codec} {video.pixel_format}",
        size,
        f"{video.frame_count}" + (f" (claims {claimed})" if differs else ""),
        fps + (" est." if video.is_time_estimated else ""),
        format_seconds(video.duration_seconds),
        gop,
        types,
        _vectors_cell(video),
        codes,
    )


def _vectors_cell(video: Any) -> str:
    """Say on how many P and B frames there are vectors, of which lists, and how much of them is intra."""
    if not video.has_motion_vectors:
        return "no"
    types = dict(video.picture_types)
    text = f"{video.motion_vector_frame_count}/{types.get('P', 0) + types.get('B', 0)}"
    text += f" L{'+'.join(map(str, video.motion_vector_lists))}" if video.motion_vector_lists else ""
    return text + (f" intra {video.intra_share:.0%}" if video.intra_share else "")


def print_score(result: Any) -> None:
    """Show a row per video and signal: activity, dynamicity, what could not be measured."""
    headers = ("video", "frames", "signal", "activity", "dynamicity", "shots", "not measured", "notes")
    rows = []
    for video in result.videos:
        if video.frames is None:
            rows.append((video.video_id, "", "", "", "", "", "", "failed"))
        for name in video.fvi:
            notes = ["static"] * video.is_static[name] + ["from the store"] * video.is_cached
            rows.append(
                (
                    video.video_id,
                    str(len(video.frames)),
                    name,
                    f"{video.activity[name]:.4g}",
                    f"{video.dynamicity[name]:.3f}",
                    str(len(video.cuts) + 1),
                    str(video.nan_count[name]),
                    ", ".join(notes),
                )
            )
    print_table(headers, rows)


def print_embed(result: Any) -> None:
    """Show a row per video, then how many vectors of which length are where."""
    rows = []
    for video in result.videos[:MOST_ROWS]:
        notes = ["" if video.status == "ok" else video.status, "from the store" if video.is_cached else ""]
        rows.append(
            (video.video_id, str(video.frame_count), str(video.vector_count), ", ".join(filter(None, notes)))
        )
    print_table(("video", "frames", "vectors", "notes"), rows)
    if len(result.videos) > MOST_ROWS:
        _write_lines([f"... and {len(result.videos) - MOST_ROWS} more; --json shows all"])
    _write_lines(
        [
            f"{result.vector_count} vectors of {result.dimension} numbers by {result.model} in "
            f"{format_seconds(result.seconds)}",
            f"store     {result.store}",
        ]
    )


def print_select(result: Any) -> None:
    """Show a row per video, then what was selected and where it is; for a dry run, what would be done."""
    if result.plan is not None:
        _print_plan(result.plan)
        return
    inputs = result.manifest["inputs"]
    print_table(
        ("video", "frames", "selected", "method", "dynamicity", "notes"),
        [_select_row(entry) for entry in inputs[:MOST_ROWS]],
    )
    _write_lines(result.manifest["summary"].get("notes", ()))
    if len(inputs) > MOST_ROWS:
        _write_lines([f"... and {len(inputs) - MOST_ROWS} more; --json shows all"])
    if result.reduced:
        parts = [(f"S{stride}", str(len(part)), _folder(part)) for stride, part in result.reduced]
        print_table(("dataset", "frames", "folder"), parts)
        return
    total = sum(entry["frame_count"] for entry in inputs)
    _write_lines([f"{len(result)} of {total} frames selected"])
    if result.folder is None:
        frames = result.table.select(["video_id", "frame_index", "time_seconds", "reason"]).to_pylist()
        rows = [
            (f["video_id"], str(f["frame_index"]), f"{f['time_seconds']:.3f}", f["reason"]) for f in frames
        ]
        print_table(("video", "frame", "seconds", "reason"), rows)
        _write_lines(["nothing was written; --out DIR writes the images, the manifest and the report"])
        return
    for word, name in WRITTEN.items():
        if (result.folder / name).exists():
            _write_lines([f"{word:<9} {result.folder / name}"])


def _select_row(entry: Any) -> tuple[str, ...]:
    if entry["status"] == "failed" or "selected" not in entry:
        return (entry["video_id"], str(entry["frame_count"] or ""), "", "", "", entry["status"])
    values = [signal["dynamicity"] for signal in entry["signals"].values()]
    dynamicity = ", ".join("?" if value is None else f"{value:.2f}" for value in values)
    notes = ([] if entry["status"] == "ok" else [entry["status"]]) + list(entry["notes"])
    frames, selected = str(entry["frame_count"]), str(entry["selected"])
    return (entry["video_id"], frames, selected, entry["method"], dynamicity, "; ".join(notes))


def _print_plan(plan: Any) -> None:
    rows = []
    for entry in plan["videos"]:
        state = entry["problem"] or ("in the store" if entry["is_cached"] else "to be decoded")
        claimed = entry["claimed_frames"]
        rows.append((entry["video_id"], "?" if claimed is None else str(claimed), state))
    print_table(("video", "frames (claimed)", "state"), rows)
    seconds = "an unknown time" if plan["seconds"] is None else f"about {format_seconds(plan['seconds'])}"
    _write_lines(
        [
            f"would decode {plan['decode_frames']} frames of {plan['decode_videos']} videos in {seconds} "
            f"with {plan['jobs']} processes; nothing was written"
        ]
    )


def _folder(selection: Any) -> str:
    return "not written" if selection.folder is None else str(selection.folder)


def print_extract(result: Any) -> None:
    """Show how many images of how many videos were written, and where."""
    count = sum(map(len, result.files.values()))
    videos = sum(1 for files in result.files.values() if files)
    _write_lines([f"{count} images of {videos} videos in {result.folder}"])


def print_propagate(result: Any) -> None:
    """Show what became of the carried objects, what to expect of them, and what to look at next."""
    expected, check = result.expected_iou, result.trust_check
    counts = result.frame_counts
    lines = [
        f"{result.method}: {result.label_count} labelled frames of {counts['video']}; "
        f"{counts['annotated']} frames in {result.out}"
    ]
    total = result.kept_count + result.dropped_count + result.ask_count
    lines.append(
        f"carried   {total} objects: {result.kept_count} kept, {result.dropped_count} dropped, "
        f"{result.ask_count} to ask"
    )
    if expected.mean == expected.mean:
        lines.append(
            f"expected  IoU {expected.mean:.3f} ({expected.low:.3f} to {expected.high:.3f} at "
            f"{expected.confidence:.0%}), from {expected.held_out_frames} labelled frames held out"
        )
    if check.calibration_error == check.calibration_error:
        lines.append(
            f"trust     off by {check.calibration_error:.3f} on labels held out (expected calibration error)"
        )
    if counts["unreached"]:
        lines.append(f"unreached {counts['unreached']} frames: cut or damage between them and every label")
    reasons = Counter(end.reason.partition(":")[0] for end in result.ends)
    if reasons:
        lines.append("ended     " + ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items())))
    lines += [f"note      {note}" for note in result.notes]
    frames = result.review.frame_index[:10].tolist()
    if frames:
        more = ", ..." if len(result.review) > len(frames) else ""
        lines.append(f"next      frames {', '.join(map(str, frames))}{more}")
    if result.review_folder is not None:
        lines.append(f"review    {result.review_folder}")
    _write_lines(lines)


def print_search(result: Any) -> None:
    """Show the frames found for each query, nearest first."""
    for number, query in enumerate(result.queries):
        if len(result.queries) > 1:
            _write_lines([query])
        hits = [hit for hit in result.hits if hit.query == number]
        cells = [
            (str(h.rank), f"{h.distance:.4f}", h.video_id, str(h.frame_index), f"{h.time_seconds:.3f}")
            for h in hits[:MOST_ROWS]
        ]
        print_table(("rank", "distance", "video", "frame", "seconds"), cells)
        if len(hits) > MOST_ROWS:
            _write_lines([f"... and {len(hits) - MOST_ROWS} more; --json shows all"])
    note = f"{result.metric} of {result.model.name} over {result.row_count} frames, {result.index}"
    unusable = f"; {result.unusable_count} without a distance" if result.unusable_count else ""
    _write_lines([note + unusable, *([] if result.folder is None else [f"frames    {result.folder}"])])


def print_dedup(result: Any) -> None:
    """Show what was kept and dropped of each video, and where the tables are."""
    rows = [
        (v.video_id, str(v.frame_count), str(v.kept_count), str(v.dropped_count), str(v.unusable_count or ""))
        for v in result.videos[:MOST_ROWS]
    ]
    print_table(("video", "frames", "kept", "dropped", "no distance"), rows)
    if len(result.videos) > MOST_ROWS:
        _write_lines([f"... and {len(result.videos) - MOST_ROWS} more; --json shows all"])
    kept, dropped = result.kept.num_rows, result.dropped.num_rows
    limit = f"{result.metric} <= {result.threshold:g}"
    _write_lines([f"{kept} kept, {dropped} dropped as duplicates ({limit} of {result.model.name})"])
    if result.folder is not None:
        _write_lines([f"{name:<9} {result.folder / f'{name}.parquet'}" for name in ("kept", "dropped")])


def print_summary(result: Any) -> None:
    """Show a result by its own short text: one line per fact."""
    _write_lines(str(result).split("\n"))


def print_demo(result: Any) -> None:
    """Show what the tour did, step by step with the command for each, and what comes next."""
    print_select(result.selection)
    lines = []
    for step in result.steps:
        lines += ["", *_wrapped(f"{step.name:<9} ", step.found)]
        lines += [f"          $ {step.command}"] if step.command else []
    lines += ["", "next"]
    _write_lines([*lines, *(f"          $ {command}" for command in result.following)])


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        min(make_console().width, 100),
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_text(result: Any) -> None:
    """Write a result that is a text for a program as it is."""
    sys.stdout.write(str(result))


def print_doctor(result: Any) -> None:
    """Show a row per check and then what to do about those that fail."""
    rows = [(check.status, check.name, check.found) for check in result.checks]
    print_table(("", "check", "found"), rows)
    for check in result.checks:
        if check.advice:
            _write_lines([f"{check.name}: {check.advice}"])


def format_seconds(seconds: float) -> str:
    """Write a duration as people say it.

    Examples
    --------
    >>> format_seconds(7.25), format_seconds(139.4), format_seconds(7325)
    ('7.2 s', '2:19', '2:02:05')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    return table


def _fits(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a table can be shown without folding its cells."""
    console = make_console()
    wide = console.options.update(width=10_000)
    return console.measure(_table(headers, rows), options=wide).maximum <= console.width


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows of cells below headers; no cell can break a line."""
    console = make_console()
    with console.capture() as captured:
        console.print(_table(headers, rows))
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _write_lines(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


PRINTERS: dict[str, Callable[[Any], None]] = {
    "inspect": print_inspect,
    "score": print_score,
    "embed": print_embed,
    "select": print_select,
    "extract": print_extract,
    "propagate": print_propagate,
    "propose": print_summary,
    "export": print_summary,
    "import": print_summary,
    "reduce": print_summary,
    "evaluate": print_summary,
    "overlay": print_summary,
    "train": print_summary,
    "split": print_summary,
    "experiment": print_summary,
    "advise": print_summary,
    "synth": print_summary,
    "search": print_search,
    "dedup": print_dedup,
    "compact": print_summary,
    "verify": print_summary,
    "plot": print_summary,
    "view": print_summary,
    "doctor": print_doctor,
    "completion": print_text,
    "demo": print_demo,
}
