"""Put proposals together as sequences, bring what is left to full size, and write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evfr._core.annotations import AnnotatedVideo, VideoAnnotations
    from evfr._core.masks import Rle
    from evfr._core.sequences import MaskSequence, SequenceSet
    from evfr.sequences import SequenceScores
    from evfr.verbs._measure import Measured
    from evfr.verbs._propose_detect import KeyDetections, Opened

__all__ = ["check_out", "full_size", "sequence_set", "write_sequences"]

RESULTS = "results"
AUTO = {".parquet": "evfr", ".json": "ytvis"}
NEEDED = ("masks", "tracks", "score")


def check_out(out: Path, out_format: str, companion: Path | None) -> str:
    """Return the format to write, before anything is computed.

    Parameters
    ----------
    out : Path
        The file to write.
    out_format : str
        A key of `evfr.annotations.FORMATS`, ``results``, or ``auto``.
    companion : Path or None
        Annotation file whose ids results take.

    Returns
    -------
    str
        The format.

    Raises
    ------
    ValueError
        If there is no such format, the ending does not tell, or the format cannot hold scored sequences.
    """
    from evfr.annotations import FORMATS

    able = [name for name, item in FORMATS.items() if item.keeps.issuperset(NEEDED)]
    known = ", ".join([RESULTS, *able])
    if out_format == "auto":
        if out.suffix.lower() not in AUTO:
            raise ValueError(
                f"the ending of {out} does not tell the format (.parquet is evfr, .json is ytvis); give out_format, "
                f"one of {known}"
            )
        is_list = companion is not None and out.suffix.lower() == ".json"
        out_format = RESULTS if is_list else AUTO[out.suffix.lower()]
    if out_format != RESULTS and out_format not in FORMATS:
        raise ValueError(f"out_format must be auto or one of {known}, got {out_format!r}")
    if out_format != RESULTS and out_format not in able:
        missing = [fact for fact in NEEDED if fact not in FORMATS[out_format].keeps]
        raise ValueError(
            f"out_format {out_format} cannot hold the {' and '.join(missing)} of sequences; give one of {known}"
        )
    if companion is not None and out_format != RESULTS:
        raise ValueError(
            f"companion goes with out_format {RESULTS}; {out_format} says its own videos and classes"
        )
    return out_format


def sequence_set(
    measured: Measured,
    size: tuple[int, int],
    judge: Opened,
    detected: KeyDetections,
    tracks: Mapping[int, Sequence[Rle | None]],
    scores: SequenceScores,
) -> SequenceSet:
    """Return all proposals of a video, at the size of the carry.

    Parameters
    ----------
    measured : Measured
        The video.
    size : tuple of (int, int)
        (height, width) of the masks.
    judge : Opened
        What gave the scores.
    detected : KeyDetections
        Where they came from.
    tracks : mapping of int to sequence of T (Rle or None)
        Masks by track, in the order of the detections.
    scores : SequenceScores
        One row for each track.

    Returns
    -------
    SequenceSet
        Provenance is the judge's name, the key frame, and the place of the detection in it.
    """
    from evfr._core.sequences import MaskSequence, Provenance, SequenceSet

    origins = [
        Provenance(judge.name, index, entry)
        for index, found in zip(detected.frame_index, detected.found, strict=True)
        for entry in range(len(found))
    ]
    sequences = tuple(
        MaskSequence(tuple(masks), scores.category_scores[row], float(scores.score[row]), -1, origin)
        for row, (masks, origin) in enumerate(zip(tracks.values(), origins, strict=True))
    )
    return SequenceSet(_video(measured, *size), judge.categories, sequences)


def full_size(
    sequences: SequenceSet, measured: Measured, detected: KeyDetections, floor: float
) -> VideoAnnotations:
    """Return sequences as labels of the video itself.

    Parameters
    ----------
    sequences : SequenceSet
        At the size of the carry.
    measured : Measured
        The video.
    detected : KeyDetections
        Masks of the key frames at full size, which are written as they were found.
    floor : float
        Classes with a lower score are left out.

    Returns
    -------
    VideoAnnotations
        A track for each sequence and class.
    """
    import numpy as np

    from evfr._core.sequences import SequenceSet, annotations_of

    table = measured.table
    assert table is not None
    exact = {
        (index, entry): mask
        for index, found in zip(detected.frame_index, detected.found, strict=True)
        for entry, mask in enumerate(found.masks)
    }
    large = []
    for one in sequences.sequences:
        kept = np.where(one.category_scores >= floor, one.category_scores, 0.0)
        if not kept.any():
            continue
        masks = _enlarged(one, table.height, table.width, exact)
        large.append(replace(one, masks=masks, category_scores=kept))
    video = _video(measured, table.height, table.width)
    return annotations_of([SequenceSet(video, sequences.categories, tuple(large))])


def _enlarged(
    one: MaskSequence, height: int, width: int, exact: Mapping[tuple[int, int], Rle | None]
) -> tuple[Rle | None, ...]:
    from evfr.verbs._propose_resize import enlarge

    origin = (one.provenance.frame_index, one.provenance.entry)
    return tuple(
        exact[origin] if t == origin[0] else None if mask is None else enlarge(mask, height, width)
        for t, mask in enumerate(one.masks)
    )


def _video(measured: Measured, height: int, width: int) -> AnnotatedVideo:
    import numpy as np

    from evfr._core.annotations import AnnotatedVideo

    table = measured.table
    assert table is not None
    return AnnotatedVideo(
        measured.source.video_id,
        width,
        height,
        np.arange(len(table), dtype=np.int64),
        table.pts,
        table.time_base,
        len(table),
        measured.digest,
        str(measured.source.path),
    )


def write_sequences(
    annotations: VideoAnnotations, out: Path, out_format: str, companion: Path | None
) -> None:
    """Write the labels.

    Parameters
    ----------
    annotations : VideoAnnotations
        A track for each sequence and class.
    out : Path
        The file.
    out_format : str
        As `check_out` returns it.
    companion : Path or None
        Annotation file whose ids results take.

    Raises
    ------
    AnnotationError
        If they cannot stand in that format.
    """
    from evfr._core.atomic import make_folder
    from evfr.annotations import write

    make_folder(out.parent)
    if out_format == RESULTS:
        write(annotations, out, format="ytvis", results=True, companion=companion)
    else:
        write(annotations, out, format=out_format)
