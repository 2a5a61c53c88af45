"""Make another selection from what the store has: through the same functions as `evfr select`, decoding nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_embeddings import feature_of, locate_stored
from evfr.verbs._view_measured import NotMeasured, read_measured, stamp_of
from evfr.verbs._view_words import read_request, refuse

if TYPE_CHECKING:
    import pyarrow as pa

    from evfr._core.selection import Selection
    from evfr.reports import SelectionReport
    from evfr.verbs._choose import Chosen
    from evfr.verbs._embedding import EmbeddedVideo
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request
    from evfr.verbs._view_session import ViewSession
    from evfr.verbs.score import VideoScore

__all__ = ["Answer", "Prepared", "Selector", "encode_answer", "selection_of"]

VIDEOS_MOST = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Hold what a choice is made from, for as long as it is asked for again.

    Attributes
    ----------
    key : tuple
        Everything it depends on.
    measured : tuple of Measured
        One per place.
    scores : tuple of VideoScore
        Their summaries.
    embedded : tuple of EmbeddedVideo or None
        For methods on embeddings.
    """

    key: tuple[Any, ...]
    measured: tuple[Measured, ...]
    scores: tuple[VideoScore, ...]
    embedded: tuple[EmbeddedVideo, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Hold one selection that the page asked for.

    Attributes
    ----------
    request : Request
        What was asked for.
    places : tuple of int
        The videos it is over.
    prepared : Prepared
        What it was made from.
    chosen : tuple of Chosen
        One per usable video.
    notes : tuple of str
        What is to be said about all.
    table : pyarrow.Table
        The rows of ``selection.parquet``.
    seconds : float
        How long it took.
    """

    request: Request
    places: tuple[int, ...]
    prepared: Prepared
    chosen: tuple[Chosen, ...]
    notes: tuple[str, ...]
    table: pa.Table
    seconds: float


class Selector:
    """Make selections for one session, one at a time; what the last one was made from is kept.

    Parameters
    ----------
    session : ViewSession
        What is shown.
    """

    def __init__(self, session: ViewSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._prepared: Prepared | None = None

    def select(self, data: Any) -> Answer:
        """Make the selection that the page asks for.

        Parameters
        ----------
        data : object
            As `read_request` takes it.

        Returns
        -------
        Answer
            Equal to what `evfr select` makes of the same words.

        Raises
        ------
        ValueError
            If the words are wrong, or the constraints cannot hold together.
        NotMeasured
            If the store lacks what is needed.
        EvfrError
            If no video is usable, or the store cannot be read.
        """
        request, places = read_request(data, self._session.folder)
        return self.answer(request, places)

    def answer(self, request: Request, places: Sequence[int]) -> Answer:
        """Choose the frames of some videos by a checked request; see `select`."""
        with self._lock:
            return self._answer(request, places)

    def _answer(self, request: Request, places: Sequence[int]) -> Answer:
        from evfr.verbs._choose import choose
        from evfr.verbs._manifest import build_table

        if len(places) > VIDEOS_MOST:
            raise refuse(
                f"the viewer selects from at most {VIDEOS_MOST} videos at a time, here are {len(places)}; "
                "give places, or run evfr select"
            )
        start = time.perf_counter()
        prepared = self._prepare(request, tuple(places))
        chosen, notes = choose(prepared.measured, prepared.scores, request, prepared.embedded)
        table = build_table(chosen)
        seconds = time.perf_counter() - start
        return Answer(request, tuple(places), prepared, tuple(chosen), notes, table, seconds)

    def _prepare(self, request: Request, places: tuple[int, ...]) -> Prepared:
        from evfr.sampling import SAMPLERS, takes_embeddings
        from evfr.verbs.score import summarise

        has_embeddings = takes_embeddings(SAMPLERS[request.method])
        videos = self._session.folder.videos
        stamps = tuple(() if (source := videos[p].source) is None else stamp_of(source) for p in places)
        model = (
            request.embedding,
            request.weights,
            request.precision,
            tuple(sorted(request.model_options.items())),
        )
        key = (
            places,
            stamps,
            (request.signal, request.profile, request.damaged),
            model if has_embeddings or request.signal == "feature" else None,
            (request.every, request.fps) if has_embeddings else None,
            has_embeddings,
        )
        if self._prepared is not None and self._prepared.key == key:
            return self._prepared
        pairs = [self._video(request, place, has_embeddings=has_embeddings) for place in places]
        embedded = tuple(found for _, found in pairs if found is not None) if has_embeddings else None
        measured = tuple(video for video, _ in pairs)
        prepared = Prepared(key, measured, tuple(summarise(video) for video in measured), embedded)
        self._prepared = prepared
        return prepared

    def _video(
        self, request: Request, place: int, *, has_embeddings: bool
    ) -> tuple[Measured, EmbeddedVideo | None]:
        """Read one video; one that cannot be used is a failed entry, as in `evfr select`."""
        from evfr.verbs._embedding import read_embedded

        session = self._session
        opened, store = session.opened(place), session.store
        source, digest = opened.measured.source, opened.measured.digest
        if opened.missing:
            raise NotMeasured(opened.missing)
        if opened.table is None:
            nothing = read_embedded(store.root, source, opened.measured.problems[0], {})
            return opened.measured, nothing if has_embeddings else None
        is_feature = request.signal == "feature"
        located, feature = None, None
        if has_embeddings:
            located = locate_stored(session.embeddings, store, source, digest, request, request.damaged)
        if is_feature and session.is_learned(request.embedding):
            found = located or locate_stored(
                session.embeddings, store, source, digest, request, request.damaged
            )
            feature = feature_of(found[1])
        measured = read_measured(
            store,
            source,
            digest,
            signals=() if request.signal == "none" else (request.signal,),
            profile=request.profile,
            embedding=request.embedding,
            feature=feature,
            damaged=request.damaged,
        )
        return measured, None if located is None else read_embedded(store.root, source, *located)


def report_of(answer: Answer, session: ViewSession) -> SelectionReport:
    """Return a selection as the report's values, with all of its videos.

    Parameters
    ----------
    answer : Answer
        The selection.
    session : ViewSession
        What is shown.

    Returns
    -------
    SelectionReport
        Without pictures; its command makes the same selection.
    """
    from evfr.verbs._finish import problems_of
    from evfr.verbs._report import build_report

    prepared, scores = answer.prepared, [entry.score for entry in answer.chosen]
    found = problems_of(prepared.measured, scores, prepared.embedded)
    problems = [problem.to_dict() for problem in found]
    summary: dict[str, Any] = {"videos": len(answer.places), "selected": len(answer.table)}
    if answer.notes:
        summary["notes"] = list(answer.notes)
    return build_report(
        answer.request,
        {"problems": problems, "summary": summary},
        answer.prepared.measured,
        answer.chosen,
        {},
        {},
        command=answer.request.command(shown_inputs(answer, session)),
    )


def shown_inputs(answer: Answer, session: ViewSession) -> tuple[str, ...]:
    """Return the inputs as words: the user's own, or the videos themselves where there are fewer or none were said."""
    folder = session.folder
    if folder.shown and len(answer.places) == len(folder.videos):
        return folder.shown
    return tuple(folder.videos[place].path for place in answer.places)


def selection_of(answer: Answer, session: ViewSession) -> Selection:
    """Return what `evfr select` would write: the table, and the manifest that repeats it.

    Parameters
    ----------
    answer : Answer
        The selection.
    session : ViewSession
        What is shown.

    Returns
    -------
    Selection
        Made once more by `finish`, from the same measurements.
    """
    from evfr.verbs._finish import Run, finish

    run = Run(None, session.store.root, False, False, "serial", 1, None, None)
    return finish(
        answer.prepared.measured,
        shown_inputs(answer, session),
        answer.request,
        run,
        embedded=answer.prepared.embedded,
    )


def encode_answer(answer: Answer, session: ViewSession) -> Mapping[str, Any]:
    """Return a selection as the page reads it.

    Parameters
    ----------
    answer : Answer
        The selection.
    session : ViewSession
        What is shown.

    Returns
    -------
    dict
        ``report`` (the head), ``videos`` (place, selected, rank, reasons and more), ``seconds``.
    """
    from evfr.reports._encode import encode_report, plain

    report = report_of(answer, session)
    videos = [
        {
            "place": place,
            "selected": video.selected.tolist(),
            "rank": video.rank.tolist(),
            "reasons": list(video.reasons),
            "inclusion": plain(video.inclusion),
            "method": video.method,
            "method_reason": video.method_reason,
            "segments": [
                [s.start, s.stop, s.method, s.reason, plain(s.dynamicity), s.n] for s in video.segments
            ],
            "problems": [problem.to_dict() for problem in video.problems],
        }
        for place, video in zip(answer.places, report.videos, strict=True)
        if video.status != "failed"
    ]
    return {"report": encode_report(report), "videos": videos, "seconds": round(answer.seconds, 6)}
