"""What `evfr reduce` reads and writes: sequences video by video, from a list of results or from any label file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    from evfr._core.annotations import VideoAnnotations
    from evfr.annotations._ytvis_results import Companion, ResultsList
    from evfr.sequences import MaskSequence, SequenceSet

__all__ = ["RESULTS", "Proposed", "check_out", "open_proposed", "sequence_name", "write_reduced"]

RESULTS = "results"
Boxes = Literal["refuse", "fill"]
_RESULT_FIELDS = {"video_id", "category_id", "score", "segmentations"}
_COMPANION_OPTIONS = ("pattern", "start", "stride", "first_frame")
_RESULT_FACTS = {"masks", "score", "categories"}
_COMPANION_FACTS = {"empty_frames", "frame_numbers", "time", "file_names", "content_hash"}


@dataclass(frozen=True, slots=True, eq=False)
class Proposed:
    """Hold a file of sequences as read; sequences are made video by video.

    Attributes
    ----------
    name : str
        The file, for errors.
    videos : tuple of (str, callable)
        The name of each video, and what returns its sequences, given what becomes of boxes.
    given : ResultsList or VideoAnnotations
        What was read.
    companion : Companion or None
        The videos and classes of a list of results, read or to be written.
    """

    name: str
    videos: tuple[tuple[str, Callable[[Boxes], SequenceSet]], ...]
    given: ResultsList | VideoAnnotations
    companion: Companion | None


def open_proposed(
    predicted: str | Path | VideoAnnotations,
    companion: str | Path | None,
    format: str,
    options: Mapping[str, Any],
) -> Proposed:
    """Read a file of sequences, in one pass.

    Parameters
    ----------
    predicted : str, Path or VideoAnnotations
        A list of results, or labels.
    companion : str, Path or None
        The annotation file of results, read or to be written.
    format : str
        ``auto``, ``results``, or a key of `evfr.annotations.FORMATS`.
    options : mapping
        Keywords of the reader.

    Returns
    -------
    Proposed
        Not yet decoded where it is a list of results.

    Raises
    ------
    AnnotationError
        If a file is wrong, or a list of results has no companion.
    ValueError
        If a reader has no such option.
    """
    from evfr._core.annotations import VideoAnnotations
    from evfr.annotations import read
    from evfr.annotations._ytvis_results import load_results, read_companion

    if isinstance(predicted, VideoAnnotations):
        if options:
            raise ValueError("format_options go with a file; these labels are read already")
        head = None if companion is None else read_companion(Path(companion))
        return _of_labels(predicted, "the labels", head)
    path = Path(predicted)
    data = load_results(path) if format in ("auto", "ytvis", RESULTS) else None
    if data is not None and companion is None:
        raise AnnotationError(
            f"{path} is {'a list of results' if data else 'an empty list'}, which does not say its videos and "
            "categories; give companion, the annotation file that it belongs to"
        )
    if data is None and format == RESULTS:
        raise AnnotationError(
            f"{path} is no list of results of YouTube-VIS; give a JSON list of entries with video_id, category_id, "
            "score and segmentations"
        )
    if data is not None and companion is not None:
        if unknown := sorted(options.keys() - set(_COMPANION_OPTIONS)):
            raise ValueError(
                f"the reader of results has no option {unknown[0]!r}; it has: {', '.join(_COMPANION_OPTIONS)}"
            )
        return _of_results(path, data, read_companion(Path(companion), **options))
    try:
        labels = read(path, format=format, **options)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return _of_labels(labels, str(path), None if companion is None else read_companion(Path(companion)))


def _of_results(path: Path, data: list[Any], companion: Companion) -> Proposed:
    from evfr.annotations._ytvis_results import read_results, sequences_of_results

    results = read_results(path, data, companion)

    def make(key: int) -> Callable[[Boxes], SequenceSet]:
        return lambda on_boxes: sequences_of_results(results, key, on_boxes=on_boxes)

    videos = tuple((video.video_id, make(key)) for key, video in companion.videos.items())
    return Proposed(str(path), videos, results, companion)


def _of_labels(labels: VideoAnnotations, name: str, companion: Companion | None) -> Proposed:
    from evfr.sequences import sequences_of

    def make(video_id: str) -> Callable[[Boxes], SequenceSet]:
        def sequences(on_boxes: Boxes) -> SequenceSet:
            try:
                return sequences_of(labels, video_id, on_boxes=on_boxes)
            except AnnotationError as error:
                raise AnnotationError(f"{name}: {error}") from error

        return sequences

    videos = tuple((video.video_id, make(video.video_id)) for video in labels.videos)
    return Proposed(name, videos, labels, companion)


def check_out(out: Path, out_format: str, proposed: Proposed) -> str:
    """Return the format to write, before anything is computed.

    Parameters
    ----------
    out : Path
        The file to write.
    out_format : str
        ``auto``, ``results``, or a key of `evfr.annotations.FORMATS`.
    proposed : Proposed
        What was read.

    Returns
    -------
    str
        ``results`` or a key of `evfr.annotations.FORMATS`.

    Raises
    ------
    ValueError
        If there is no such format, the ending does not tell, or a companion has no use.
    AnnotationError
        If labels do not fit the companion.
    """
    from evfr.annotations import FORMATS
    from evfr.annotations._ytvis_results import ResultsList

    given, companion = proposed.given, proposed.companion
    if out_format == "auto":
        # A list of results stays one; labels become the form of YouTube-VIS that says its videos and classes.
        by_ending = {".parquet": "evfr", ".json": RESULTS if companion else "ytvis"}
        if out.suffix.lower() not in by_ending:
            raise ValueError(
                f"the ending of {out} does not tell the format (.parquet is evfr, .json is results with a companion, "
                f"else ytvis); give out_format, one of {RESULTS}, {', '.join(FORMATS)}"
            )
        out_format = by_ending[out.suffix.lower()]
    if out_format != RESULTS and out_format not in FORMATS:
        raise ValueError(
            f"out_format must be auto, {RESULTS} or one of {', '.join(FORMATS)}, got {out_format!r}"
        )
    if companion is not None and not isinstance(given, ResultsList):
        if out_format != RESULTS:
            raise ValueError(
                f"companion goes with lists of results, but neither {proposed.name} nor {out} ({out_format}) is one; "
                "leave it out"
            )
        companion.check_categories(given.categories, proposed.name)
        for video in given.videos:
            companion.key_of(video, proposed.name)
    return out_format


def sequence_name(proposed: Proposed, sequence: MaskSequence, place: int) -> str:
    """Name a sequence as the file has it.

    Parameters
    ----------
    proposed : Proposed
        The file.
    sequence : MaskSequence
        One of its sequences.
    place : int
        Its place in its video.

    Returns
    -------
    str
        As in `evfr.verbs._reduce_result.SequenceChange`.
    """
    from evfr.annotations._ytvis_results import ResultsList

    entry = sequence.provenance.entry
    if entry < 0:
        return f"sequence {place}"
    return f"{'result' if isinstance(proposed.given, ResultsList) else 'track'} {entry}"


def write_reduced(
    sets: Sequence[tuple[int, SequenceSet]], proposed: Proposed, out: Path, out_format: str
) -> tuple[str, ...]:
    """Write what is left, and say what the file does not hold.

    Parameters
    ----------
    sets : sequence of (int, SequenceSet)
        The place of each video in the file, and its sequences.
    proposed : Proposed
        What was read.
    out : Path
        The file to write.
    out_format : str
        As `check_out` gave it.

    Returns
    -------
    tuple of str
        Notes.

    Raises
    ------
    AnnotationError
        If the format cannot hold it.
    """
    from evfr._core.atomic import make_folder
    from evfr.annotations import FACTS, lost, write
    from evfr.annotations._formats import stated_facts
    from evfr.annotations._ytvis_results import ResultsList
    from evfr.sequences import annotations_of

    make_folder(out.parent)
    notes = []
    stated: tuple[str, ...] = ()
    if isinstance(proposed.given, ResultsList):
        fields = sorted({key for entry in proposed.given.entries for key in entry} - _RESULT_FIELDS)
        if fields:
            notes.append(f"not kept: {', '.join(fields)} of the entries")
    else:
        stated = stated_facts(proposed.given)
        notes.append("tracks are numbered anew, one for each sequence and class")
    if out_format == RESULTS:
        _write_results(sets, proposed, out)
        held = _RESULT_FACTS | (set() if proposed.companion is None else _COMPANION_FACTS)
        gone = [fact for fact in stated if fact not in held]
        if proposed.companion is None:
            notes.append(
                "videos are numbered from 1 in the file's order; companion takes ids from annotations"
            )
    else:
        reduced = annotations_of([one for _, one in sets])
        lacking = lost(reduced, out_format)
        write(reduced, out, format=out_format)
        now = stated_facts(reduced)
        gone = [fact for fact in FACTS if fact in lacking or (fact in stated and fact not in now)]
    if gone := [fact for fact in gone if fact != "tracks"]:
        notes.append(f"not in {out.name} ({out_format}): {', '.join(gone)}")
    return tuple(notes)


def _write_results(sets: Sequence[tuple[int, SequenceSet]], proposed: Proposed, out: Path) -> None:
    from evfr.annotations._ytvis_results import ResultsList
    from evfr.annotations._ytvis_results_write import result_entries, write_result_entries

    companion = proposed.companion
    keys = [] if companion is None else list(companion.videos)
    entries = []
    for place, one in sets:
        if companion is None:
            entries += result_entries(one, place + 1)
        elif isinstance(proposed.given, ResultsList):
            entries += result_entries(one, keys[place])
        else:
            key = companion.key_of(one.video, str(out))
            entries += result_entries(one, key, companion.videos[key].frame_index)
    write_result_entries(entries, out)
