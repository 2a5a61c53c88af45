"""What the viewer knows at one time: the folder, the selection that is shown, and what was read of the videos."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.verbs._view_embeddings import StoredEmbeddings, feature_of, locate_stored
from evfr.verbs._view_folder import ViewFolder, open_folder
from evfr.verbs._view_frames import FrameServer
from evfr.verbs._view_labels import LabelSource
from evfr.verbs._view_measured import (
    NotMeasured,
    current_digest,
    read_measured,
    stamp_of,
    stored_signals,
)
from evfr.verbs._view_select import Answer, Selector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.store import Store
    from evfr._core.types import FrameTable, Problem
    from evfr.reports import VideoReport
    from evfr.verbs._choose import Chosen
    from evfr.verbs._measure import Measured
    from evfr.verbs._request import Request

__all__ = ["OpenedVideo", "ViewSession"]

_OPEN_MOST = 16
"""Videos of which the measurements are held in memory at a time: about 3 MB each of 20 minutes."""

_OWN_MOST = 32
"""Selections of more videos are shown from their table alone, without shots and strategies."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenedVideo:
    """Hold what is known of one video whose bytes are those that were measured.

    Attributes
    ----------
    measured : Measured
        From the store; a failed one says why.
    stamp : tuple of int
        Of the file, when it was read.
    missing : str
        What the store lacks; empty if it has the frames, or the video cannot be used at all.
    """

    measured: Measured
    stamp: tuple[int, ...]
    missing: str = ""

    @property
    def table(self) -> FrameTable | None:
        """The frames; None where the video cannot be shown."""
        return self.measured.table


class ViewSession:
    """Keep what one viewer shows: state over time, used from several threads.

    Parameters
    ----------
    folder : str or Path
        A selection, a folder to review, or a store.
    labels : Path or None
        Labels to draw on the frames.
    store : Path or None
        Where the measurements are; None is the user's store. A store that is viewed is its own.
    is_editable : bool
        Whether selections may be saved below the folder.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        labels: Path | None = None,
        store: Path | None = None,
        is_editable: bool = False,
    ) -> None:
        from evfr._core.remote_store import address_of
        from evfr._core.store import Store
        from evfr.errors import StoreError
        from evfr.verbs._measure import default_store

        self.folder: ViewFolder = open_folder(folder)
        root = self.folder.root
        if self.folder.kind != "store":
            root = Path(default_store() if store is None else store)
            if (address := address_of(root)) is not None:
                raise StoreError(
                    f"the viewer reads local stores only, got {address}; copy the store to this machine"
                )
        self.store: Store = Store(root)
        self.is_editable = is_editable
        self.labels = LabelSource(labels, self.folder)
        ids = [] if self.folder.table is None else self.folder.table["video_id"].to_pylist()
        self._counts = Counter(ids)
        self._lock = threading.Lock()
        self._opened: OrderedDict[int, OpenedVideo] = OrderedDict()
        self._opening: dict[int, threading.Lock] = {}
        self._answer: Answer | None = None
        self._own: dict[int, Chosen] | None = None
        self._own_lock = threading.Lock()
        self.embeddings = StoredEmbeddings(self.store)
        self.selector = Selector(self)
        self.frames = FrameServer()

    def __len__(self) -> int:
        """How many videos there are."""
        return len(self.folder.videos)

    @property
    def answer(self) -> Answer | None:
        """The selection that was asked for last, which is what saving saves; None before the first."""
        with self._lock:
            return self._answer

    @answer.setter
    def answer(self, value: Answer) -> None:
        with self._lock:
            self._answer = value

    @property
    def request(self) -> Request:
        """What the folder's own selection was asked for by."""
        return self.folder.request

    @property
    def shown_request(self) -> Request:
        """What the page asked for last, or else the folder's own."""
        return self.request if (answer := self.answer) is None else answer.request

    def picks(self, place: int) -> NDArray[np.int64]:
        """Return the frames of one video that are selected now, increasing.

        Parameters
        ----------
        place : int
            Of the video.

        Returns
        -------
        (n,) int64
            What the page asked for last, or else the folder's own.
        """
        import numpy as np
        import pyarrow.compute as pc

        answer = self.answer
        table = self.folder.table if answer is None or place not in answer.places else answer.table
        if table is None:
            return np.zeros(0, np.int64)
        own = table.filter(pc.equal(table["video_id"], self.folder.videos[place].video_id))
        return np.asarray(own["frame_index"].to_numpy(), np.int64)

    def is_learned(self, embedding: str | None) -> bool:
        """Whether an embedding comes from a model, so that only the store can say what its parameters are."""
        from evfr.embeddings import EMBEDDERS

        return embedding is not None and embedding not in EMBEDDERS

    def facts(self, place: int) -> Mapping[str, Any]:
        """Return what the list says of one video: from the manifest, or from the end of one file of the store."""
        from evfr.errors import StoreError
        from evfr.verbs._measure import MeasureJob, keys_of

        video = self.folder.videos[place]
        if self.folder.kind != "store":
            return video.facts
        assert video.source is not None
        job = MeasureJob(video.source, self.store.root, (), "default", None, video.damaged, 1)
        key, _, _ = keys_of(self.store, job, video.digest)
        try:
            info = self.store.read_metadata(key)["info"]
            status, count, seconds = info["status"], int(info["frame_count"]), float(info["duration_seconds"])
        except (StoreError, KeyError, TypeError, ValueError):
            status, count, seconds = "failed", 0, 0.0
        return {"status": status, "frame_count": count, "duration_seconds": seconds, "dynamicity": {}}

    def selected_count(self, place: int) -> int:
        """Return how many frames of one video the folder's own selection has."""
        return self._counts.get(self.folder.videos[place].video_id, 0)

    def opened(self, place: int) -> OpenedVideo:
        """Return what is known of one video; a failed one carries its problem.

        Parameters
        ----------
        place : int
            Of the video.

        Returns
        -------
        OpenedVideo
            Read anew where the file has changed.
        """
        with self._lock:
            lock = self._opening.setdefault(place, threading.Lock())
        with lock:
            source = self.folder.videos[place].source
            with self._lock:
                known = self._opened.get(place)
                if known is not None and source is not None and stamp_of(source) == known.stamp:
                    self._opened.move_to_end(place)
                    return known
            found = self._read(place)
            with self._lock:
                self._opened[place] = found
                while len(self._opened) > _OPEN_MOST:
                    self._opened.popitem(last=False)
            return found

    def _read(self, place: int) -> OpenedVideo:
        from evfr._core.types import Problem
        from evfr.errors import EvfrError, ProblemCode, VideoError
        from evfr.verbs._measure import failed
        from evfr.video import VideoSource

        video = self.folder.videos[place]
        if video.source is None or video.problem is not None:
            assert video.problem is not None
            source = video.source or VideoSource(video.video_id, Path(video.path), "file")
            return OpenedVideo(failed(source, video.problem), ())
        source, stamp = video.source, stamp_of(video.source)
        try:
            digest = current_digest(self.store, source)
            if video.digest and digest != video.digest:
                text = "the file has changed since it was measured; select again, or restore the file"
                problem = Problem(ProblemCode.E_CHANGED, text, source.video_id)
            else:
                measured = self._measured(place, digest)
                misfit = self._misfit(measured)
                if misfit is None:
                    return OpenedVideo(measured, stamp)
                problem = misfit
        except VideoError as error:
            problem = error.problem
        except NotMeasured as error:
            problem = Problem(ProblemCode.E_FAILED, str(error), source.video_id)
            return OpenedVideo(failed(source, problem), stamp, str(error))
        except (EvfrError, OSError) as error:
            problem = Problem(ProblemCode.E_FAILED, str(error), source.video_id)
        except ValueError:  # of the system, for a name that no file can have
            text = "no such file: the name holds what no name can; select again"
            problem = Problem(ProblemCode.E_NOT_FOUND, text, source.video_id)
        return OpenedVideo(failed(source, problem), stamp)

    def _misfit(self, measured: Measured) -> Problem | None:
        """Say where the table on disk, which anyone may have edited, selects what is not there."""
        import pyarrow.compute as pc

        from evfr._core.types import Problem
        from evfr.errors import ProblemCode

        rows, frames, name = self.folder.table, measured.table, measured.source.video_id
        if rows is None or frames is None or not self._counts.get(name):
            return None
        last = pc.max(rows.filter(pc.equal(rows["video_id"], name))["frame_index"]).as_py()
        if last < len(frames):
            return None
        text = f"frame {last} is selected, but the video has {len(frames)} frames; select again"
        return Problem(ProblemCode.E_FAILED, text, name)

    def _measured(self, place: int, digest: str) -> Measured:
        """Read the frames, and the signals that the timeline shows, as far as the store has them."""
        video, request = self.folder.videos[place], self.folder.request
        source, store = video.source, self.store
        assert source is not None
        if self.folder.kind != "selection":
            signals = stored_signals(store, source, digest, video.damaged)
            return read_measured(store, source, digest, signals=signals, damaged=video.damaged)
        try:
            feature = None
            if request.signal == "feature" and self.is_learned(request.embedding):
                found = locate_stored(self.embeddings, store, source, digest, request, video.damaged)
                feature = feature_of(found[1])
            return read_measured(
                store,
                source,
                digest,
                signals=() if request.signal == "none" else (request.signal,),
                profile=request.profile,
                embedding=request.embedding,
                feature=feature,
                damaged=video.damaged,
            )
        except NotMeasured:
            return read_measured(store, source, digest, signals=(), damaged=video.damaged)

    def report(self, place: int) -> VideoReport:
        """Return one video as the report shows it, with the frames that are selected now.

        Parameters
        ----------
        place : int
            Of the video.

        Returns
        -------
        VideoReport
            Without pictures.
        """
        from evfr.verbs._report import build_report
        from evfr.verbs._view_chosen import chosen_from_table

        opened = self.opened(place)
        entry, measured = self._own_chosen().get(place), opened.measured
        if measured.table is None:
            entry = None
        elif entry is None:
            entry = chosen_from_table(measured, self.folder.videos[place], self.folder.table, self.request)
        chosen = [] if entry is None else [replace(entry, measured=measured)]
        report = build_report(self.request, {"problems": []}, [measured], chosen, {}, {}, command="")
        return report.videos[0]

    def _own_chosen(self) -> Mapping[int, Chosen]:
        """Return the folder's own selection with all that a table does not keep, if it comes out the same again.

        Made once, where it takes a moment: few videos, and no method on embeddings.
        """
        from evfr.errors import EvfrError
        from evfr.sampling import SAMPLERS, takes_embeddings
        from evfr.verbs._check_select import check_request

        folder, request = self.folder, self.folder.request
        if folder.kind != "selection" or len(self) > _OWN_MOST or folder.table is None:
            return {}
        with self._own_lock:
            if self._own is None:
                self._own = {}
                try:
                    check_request(request, (), None)
                    if not takes_embeddings(SAMPLERS[request.method]):
                        found = self.selector.answer(request, range(len(self)))
                        if found.table.equals(folder.table):
                            places = {video.video_id: place for place, video in enumerate(folder.videos)}
                            self._own = {places[e.measured.source.video_id]: e for e in found.chosen}
                except (NotMeasured, EvfrError, ValueError, TypeError):
                    pass  # the table alone is shown then
            return self._own
