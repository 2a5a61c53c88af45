"""YouTube-VOS' summary of masks: G, the mean of J and F over classes seen and not seen in training."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evfr.metrics._davis import mean_or_nan, none_if_nan, rows_by_object

if TYPE_CHECKING:
    from evfr.metrics._masks import MaskScores

__all__ = ["YtvosScores", "ytvos_scores"]


@dataclass(frozen=True, slots=True)
class YtvosScores:
    """Hold YouTube-VOS' four means.

    Attributes
    ----------
    j_seen, f_seen, j_unseen, f_unseen : float
        Means over the objects of seen and unseen classes, NaN where there is none.
    seen_count, unseen_count : int
        Objects that counted.
    """

    j_seen: float
    f_seen: float
    j_unseen: float
    f_unseen: float
    seen_count: int
    unseen_count: int

    @property
    def overall(self) -> float:
        """G: the mean of the four; NaN if one of them is, because it would not be comparable."""
        return (self.j_seen + self.f_seen + self.j_unseen + self.f_unseen) / 4

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict."""
        values = {name: getattr(self, name) for name in self.__slots__}
        counts = {name: values.pop(name) for name in ("seen_count", "unseen_count")}
        means = {name: none_if_nan(value) for name, value in values.items()}
        return {"g": none_if_nan(self.overall), **means, **counts}


def ytvos_scores(scores: MaskScores, unseen: Collection[str], *, without_keys: bool = False) -> YtvosScores:
    """Sum up J and F as YouTube-VOS does (Xu et al. 2018).

    Parameters
    ----------
    scores : MaskScores
        Rows of any number of videos.
    unseen : collection of str
        Names of the classes that were not in training; all others are seen.
    without_keys : bool
        Leave out frames that had labels.

    Returns
    -------
    YtvosScores
        An object counts from the frame after the first one that shows it, which is given; its values are averaged
        over frames, then over objects.

    Raises
    ------
    ValueError
        If a name is no class of the scores.

    References
    ----------
    Xu et al., "YouTube-VOS: a large-scale video object segmentation benchmark", arXiv:1809.03327.
    """
    unknown = sorted(set(unseen) - set(scores.categories))
    if unknown:
        raise ValueError(f"unseen names no class of the truth: {unknown}; it has {list(scores.categories)}")
    counted = ~scores.is_given
    if without_keys:
        counted &= scores.gap != 0
    values: dict[tuple[str, bool], list[float]] = {
        (name, is_unseen): [] for name in ("region", "boundary") for is_unseen in (False, True)
    }
    for rows in rows_by_object(scores):
        kept = rows[counted[rows]]
        if not len(kept):
            continue
        is_unseen = scores.categories[scores.category_row[rows[0]]] in unseen
        for name in ("region", "boundary"):
            values[name, is_unseen].append(float(getattr(scores, name)[kept].mean()))
    return YtvosScores(
        j_seen=mean_or_nan(values["region", False]),
        f_seen=mean_or_nan(values["boundary", False]),
        j_unseen=mean_or_nan(values["region", True]),
        f_unseen=mean_or_nan(values["boundary", True]),
        seen_count=len(values["region", False]),
        unseen_count=len(values["region", True]),
    )
