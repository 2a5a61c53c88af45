"""What `evfr evaluate` returns: scores of videos, which merge, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr.metrics import BoxScores, CocoScores, MaskScores, PixelScores, TrackingScores, VisScores

__all__ = ["EvaluateResult"]

DECIMALS = 3
MOST_ROWS = 20
AREAS = ("small", "medium", "large")
# What is told by class: detections of many videos make one figure.
BY_CLASS = ("vis", "coco")
_TRACKING = (
    *("mota", "motp", "idf1", "id_precision", "id_recall", "hota", "det_a", "ass_a"),
    *("id_switches", "fragments", "matches", "misses", "false_positives", "frames"),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class EvaluateResult:
    """Hold the scores of one or many videos.

    Attributes
    ----------
    what : {"vos", "boxes", "masks", "vis", "coco"}
        What was compared.
    scores : MaskScores, BoxScores, PixelScores, VisScores or CocoScores
        One row per object and frame; for masks, counts per video and class; for vis, matches of sequences, and for coco
        of the objects of each frame.
    has_keys : bool
        Whether labelled frames were named; then they are left out.
    all_frames : bool
        Whether every annotated frame counts.
    unseen : tuple of str
        Classes not seen in training; with one or more, YouTube-VOS' G is there.
    skipped_count : int
        Frames of the truth that were not scored because the prediction lacks them.
    missing_videos, ignored_videos : tuple of str
        Videos that only the truth, only the prediction has.
    tracking : tuple of (str, TrackingScores)
        Video and counts behind MOTA, IDF1 and HOTA, if asked for.
    variant : str
        ``"unsupervised"`` for such vos; what the IoU of vis or coco is of, and whether it is strictly official.
    merged_categories : tuple of (str, str)
        Old and new name of each class that a category map joined.
    notes : tuple of str
        What was left out or decided on the way.
    """

    what: Literal["vos", "boxes", "masks", "vis", "coco"]
    scores: MaskScores | BoxScores | PixelScores | VisScores | CocoScores
    has_keys: bool = False
    all_frames: bool = False
    unseen: tuple[str, ...] = ()
    skipped_count: int = 0
    missing_videos: tuple[str, ...] = ()
    ignored_videos: tuple[str, ...] = ()
    tracking: tuple[tuple[str, TrackingScores], ...] = ()
    variant: str = ""
    merged_categories: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {value:.{DECIMALS}f}" for name, value in list(self.overall().items())[:4])
        return f"EvaluateResult({self.what}: {values})"

    @classmethod
    def merge(cls, parts: Sequence[EvaluateResult]) -> EvaluateResult:
        """Join the results of different videos, computed anywhere.

        Parameters
        ----------
        parts : sequence of EvaluateResult
            One or more, of one kind and with equal settings.

        Returns
        -------
        EvaluateResult
            The same as if all videos had been evaluated at once.

        Raises
        ------
        ValueError
            If there is no part, settings differ, or a video is in two of them.
        """
        if not parts:
            raise ValueError("there is nothing to merge; give one result or more")
        first = parts[0]
        settings = {(part.what, part.has_keys, part.all_frames, part.unseen, part.variant) for part in parts}
        if len(settings) > 1:
            raise ValueError(
                f"results must have equal settings to be merged, got {sorted(settings, key=str)}"
            )
        scores: Any = type(first.scores)
        return cls(
            first.what,
            scores.merge([part.scores for part in parts]),
            first.has_keys,
            first.all_frames,
            first.unseen,
            sum(part.skipped_count for part in parts),
            tuple(sorted({name for part in parts for name in part.missing_videos})),
            tuple(sorted({name for part in parts for name in part.ignored_videos})),
            tuple(sorted((item for part in parts for item in part.tracking), key=lambda item: item[0])),
            first.variant,
            tuple(sorted({pair for part in parts for pair in part.merged_categories})),
            tuple(sorted({note for part in parts for note in part.notes})),
        )

    @property
    def summary(self) -> Any:
        """What the benchmark says: DavisScores, BoxSummary, VisSummary, CocoSummary, or the PixelScores."""
        from evfr.metrics import (
            BoxScores,
            CocoScores,
            MaskScores,
            VisScores,
            davis_scores,
            summarise_boxes,
            summarise_coco,
            summarise_vis,
        )

        without_keys = self.has_keys and not self.all_frames
        if isinstance(self.scores, MaskScores):
            ends = not self.has_keys and not self.all_frames
            return davis_scores(self.scores, without_ends=ends, without_keys=without_keys)
        if isinstance(self.scores, BoxScores):
            return summarise_boxes(self.scores, without_keys=without_keys)
        if isinstance(self.scores, VisScores):
            return summarise_vis(self.scores)
        if isinstance(self.scores, CocoScores):
            return summarise_coco(self.scores.matches)
        return self.scores

    def overall(self) -> dict[str, float]:
        """Return the main numbers by name; NaN where one is not defined.

        Returns
        -------
        dict of str to float
            ``j_and_f``, ``j_mean``, ``j_recall``, ``j_decay``, ``f_mean``, ``f_recall``, ``f_decay`` (and ``g``);
            ``mean_iou`` (and what tracking adds); ``accuracy``, ``iou``, ``gscore``, ``precision``, ``recall``; or
            ``ap``, ``ap50``, ``ap75``, ``ar1``, ``ar10``, ``ar100``, and AP and AR by area.
        """
        from evfr.metrics import VIS_FIGURES, MaskScores, ytvos_scores

        summary = self.summary
        if self.what in BY_CLASS:
            return {name: getattr(summary, name) for name in VIS_FIGURES}
        if self.what == "masks":
            total = summary.total
            names = ("accuracy", "iou", "gscore", "precision", "recall")
            return {name: getattr(total, name) for name in names}
        if not isinstance(self.scores, MaskScores):
            return {"mean_iou": summary.mean_iou} | self._tracking_overall()
        values = {"j_and_f": summary.j_and_f}
        for letter, part in (("j", summary.region), ("f", summary.boundary)):
            values |= {f"{letter}_{name}": getattr(part, name) for name in ("mean", "recall", "decay")}
        if self.unseen:
            values["g"] = ytvos_scores(
                self.scores, self.unseen, without_keys=self.has_keys and not self.all_frames
            ).overall
        return values | self._tracking_overall()

    def rows(self) -> list[dict[str, Any]]:
        """Return one JSON-ready dict per object (for masks per video and class, for vis and coco per class), by video.

        Returns
        -------
        list of dict
            With ``video_id`` and the object's scores; for vis and coco with ``category`` and the class' figures.
        """
        from evfr.metrics import CocoScores

        if isinstance(self.scores, CocoScores):
            names = [
                {"category_id": item.category_id, "category": item.name} for item in self.scores.categories
            ]
            return [
                {**item.to_dict(), **name} for name, item in zip(names, self.summary.categories, strict=True)
            ]
        if self.what == "vis":
            return [item.to_dict() for item in self.summary.categories]
        if self.what == "masks":
            return [
                {"video_id": video, "category": category, **counts.to_dict()}
                for video, category, counts in self.summary.counts
            ]
        return [item.to_dict() for item in self.summary.objects]

    def videos(self) -> list[dict[str, Any]]:
        """Return one JSON-ready dict per video: its name and its main numbers.

        Returns
        -------
        list of dict
            Numbers as in `overall`, None where one is not defined; each video on its own.
        """
        found = []
        for name, part in self._by_video():
            values = {key: _or_none(value) for key, value in part.overall().items()}
            found.append({"video_id": name, **values})
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        from evfr.metrics import MaskScores, gap_splits, size_splits, ytvos_scores

        data: dict[str, Any] = {
            "what": self.what,
            "overall": {name: _or_none(value) for name, value in self.overall().items()},
            "videos": self.videos(),
            ("categories" if self.what in BY_CLASS else "objects"): self.rows(),
            "left_out": self.left_out,
            "skipped_count": self.skipped_count,
            "missing_videos": list(self.missing_videos),
            "ignored_videos": list(self.ignored_videos),
        }
        if isinstance(self.scores, MaskScores):
            data["sizes"] = [part.to_dict() for part in size_splits(self.scores)]
            data["gaps"] = [part.to_dict() for part in gap_splits(self.scores.region, self.scores.gap)]
            if self.unseen:
                without_keys = self.has_keys and not self.all_frames
                data["ytvos"] = ytvos_scores(self.scores, self.unseen, without_keys=without_keys).to_dict()
        elif self.what == "boxes":
            data["gaps"] = [part.to_dict() for part in self.summary.gaps]
        if self.tracking:
            data["tracking"] = [
                {"video_id": name, **{key: _or_none(getattr(item, key)) for key in _TRACKING}}
                for name, item in self.tracking
            ]
        if self.variant:
            data["variant"] = self.variant
        if self.merged_categories:
            data["merged_categories"] = [{"from": old, "to": new} for old, new in self.merged_categories]
        data["notes"] = list(self._all_notes())
        return data

    @property
    def left_out(self) -> str:
        """Which annotated frames do not count: ``"nothing"``, ``"labelled frames"`` or ``"first and last frames"``."""
        if self.all_frames or (self.what != "vos" and not self.has_keys):
            return "nothing"
        return "labelled frames" if self.has_keys else "first and last frames"

    def __str__(self) -> str:
        overall = self.overall()
        names = list(overall)
        is_by_class = self.what in BY_CLASS
        if is_by_class:
            # Thirteen numbers a line would not fit; those by area have lines of their own.
            names = [name for name in names if name.rpartition("_")[2] not in AREAS]
            rows = [(item["category"], [item[name] for name in names]) for item in self.rows()]
        else:
            rows = [(part["video_id"], [part.get(name) for name in names]) for part in self.videos()]
        last = self.what, [_or_none(overall[name]) for name in names]
        lines = _table(names, rows if len(rows) > 1 else [], last, "classes" if is_by_class else "videos")
        if is_by_class:
            for kind in ("ap", "ar"):
                by_area = (f"{area} {_text(_or_none(overall[f'{kind}_{area}']))}" for area in AREAS)
                lines.append(f"{kind.upper()} by area: {', '.join(by_area)}")
        lines += self._video_lines(names)
        lines.append(f"left out: {self.left_out}")
        if self.skipped_count:
            lines.append(f"not scored: {self.skipped_count} frames that the prediction lacks")
        lines += [f"not scored: video {name}, which the prediction lacks" for name in self.missing_videos]
        return "\n".join([*lines, *self._all_notes()])

    def _video_lines(self, names: Sequence[str]) -> list[str]:
        """Return the figures of coco video by video; none where a video is a single picture."""
        from evfr.metrics import CocoScores

        scores = self.scores
        if not isinstance(scores, CocoScores) or len(scores.matches) == len(scores.video_ids):
            return []
        rows = []
        for name, part in self._by_video(MOST_ROWS):
            overall = part.overall()
            rows.append((name, [_or_none(overall[key]) for key in names]))
        more = len(scores.video_ids) - len(rows)
        lines = _table(names, rows, None, "videos") if len(rows) > 1 else []
        return [*lines, *([f"... and {more} more videos, all in --json"] if more else [])]

    def _all_notes(self) -> list[str]:
        """Return what was joined, left out or decided, one line each."""
        lines = []
        if self.variant and self.variant != "masks":
            lines.append(f"protocol: {self.variant}")
        if self.merged_categories:
            lines.append("joined: " + ", ".join(f"{old} -> {new}" for old, new in self.merged_categories))
        scores: Any = self.scores
        if self.what in BY_CLASS:
            beyond, unit = (scores, "video") if self.what == "vis" else (scores.matches, "picture")
            for counts, text in (
                (scores.unknown_count, "of classes that the truth does not list"),
                (beyond.beyond_count, f"beyond the best 100 of their {unit} and class"),
            ):
                if counts.sum():
                    lines.append(f"not scored: {int(counts.sum())} detections {text}")
            if self.ignored_videos:
                count, first = len(self.ignored_videos), self.ignored_videos[0]
                lines.append(f"not scored: {count} videos that the truth lacks, the first is {first}")
        return [*lines, *self.notes]

    def _by_video(self, most: int | None = None) -> list[tuple[str, EvaluateResult]]:
        """Return each video on its own; for vis and coco the first ``most``."""
        from dataclasses import fields, replace

        import numpy as np

        from evfr.metrics import CocoScores, PixelScores, VisScores

        scores: Any = self.scores
        if isinstance(scores, VisScores | CocoScores):
            alone = [scores.of_videos(np.array([row])) for row in range(len(scores.video_ids))[:most]]
            return [(part.video_ids[0], replace(self, scores=part)) for part in alone]
        if isinstance(scores, PixelScores):
            names = sorted({row[0] for row in scores.counts})
            parts = [
                (name, PixelScores(tuple(row for row in scores.counts if row[0] == name))) for name in names
            ]
            return [(name, replace(self, scores=part)) for name, part in parts]
        found = []
        columns = [item.name for item in fields(scores) if item.name not in ("video_ids", "categories")]
        for place, name in enumerate(scores.video_ids):
            rows = np.flatnonzero(scores.video_row == place)
            part = replace(scores, **{column: getattr(scores, column)[rows] for column in columns})
            tracking = tuple(item for item in self.tracking if item[0] == name)
            has_unseen = {scores.categories[row] for row in part.category_row} >= set(self.unseen)
            found.append(
                (
                    name,
                    replace(self, scores=part, tracking=tracking, unseen=self.unseen if has_unseen else ()),
                )
            )
        return found

    def _tracking_overall(self) -> dict[str, float]:
        from evfr.metrics import merge_tracking

        if not self.tracking:
            return {}
        merged = merge_tracking([item for _, item in self.tracking])
        return {name: getattr(merged, name) for name in ("mota", "idf1", "hota")}


def _or_none(value: float) -> float | None:
    return value if value == value else None


def _text(value: float | None) -> str:
    return "-" if value is None else format(value, f".{DECIMALS}f")


def _table(
    names: Sequence[str],
    rows: Sequence[tuple[str, Sequence[float | None]]],
    last: tuple[str, Sequence[float | None]] | None,
    kind: str,
) -> list[str]:
    """Return a line of names, at most twenty rows, how many more there are, and the last row."""
    shown = [*rows[:MOST_ROWS], *([] if last is None else [last])]
    width = max(len(name) for name, _ in shown) + 2
    lines = [" " * width + "".join(f"{name:>{max(len(name), 7) + 2}}" for name in names)]
    for name, values in shown:
        cells = [f"{_text(value):>{max(len(key), 7) + 2}}" for key, value in zip(names, values, strict=True)]
        lines.append(f"{name:<{width}}" + "".join(cells))
    if len(rows) > MOST_ROWS:
        lines.insert(MOST_ROWS + 1, f"... and {len(rows) - MOST_ROWS} more {kind}, all in --json")
    return lines
