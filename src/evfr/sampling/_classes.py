"""Does a reduced dataset keep the classes of the full one?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ClassCheck", "class_check"]


@dataclass(frozen=True, slots=True)
class ClassCheck:
    """Compare the class shares of a subset with those of the full dataset.

    Attributes
    ----------
    classes : tuple of str
        All classes with at least one instance in the full set, sorted.
    full_shares, subset_shares : tuple of float
        Share of each class among all instances, in [0, 1]; all 0 where there are no instances.
    total_variation : float
        Half the sum of absolute differences of the shares, in [0, 1]; 1 for an empty subset of a non-empty set.
    lost_classes : tuple of str
        Classes without an instance in the subset.
    lost_clips : tuple of str
        Clips with instances in the full set and none in the subset.
    warnings : tuple of str
        What should worry the reader, one sentence each; empty when all is well.
    """

    classes: tuple[str, ...]
    full_shares: tuple[float, ...]
    subset_shares: tuple[float, ...]
    total_variation: float
    lost_classes: tuple[str, ...]
    lost_clips: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def is_warning(self) -> bool:
        """Whether anything should worry the reader."""
        return bool(self.warnings)


def _totals(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for clip, classes in counts.items():
        for name, count in classes.items():
            if count < 0:
                raise ValueError(f"counts must be 0 or more, got {count} for class {name!r} in clip {clip!r}")
            totals[name] = totals.get(name, 0) + count
    return totals


def class_check(
    full_counts: Mapping[str, Mapping[str, int]],
    subset_counts: Mapping[str, Mapping[str, int]],
    *,
    limit: float = 0.05,
) -> ClassCheck:
    """Compare per-class instance shares of a subset with the full set (Fig. 4 of Yoon & Choi 2023).

    Parameters
    ----------
    full_counts, subset_counts : mapping of clip -> mapping of class -> int
        Instances of each class in each clip.
    limit : float
        Warn where the total-variation distance of the shares is above this.

    Returns
    -------
    ClassCheck
        Shares, distance, what was lost, warnings.

    Raises
    ------
    ValueError
        If a count is negative, or the subset has more instances of a class in a clip than the full set.

    References
    ----------
    Yoon & Choi, "Exploring Video Frame Redundancies for Efficient Data Sampling and Annotation in Instance
    Segmentation", CVPR Workshops 2023.

    Examples
    --------
    >>> full = {"a": {"car": 90, "rider": 10}}
    >>> class_check(full, {"a": {"car": 9}}).lost_classes
    ('rider',)
    """
    for clip, present in subset_counts.items():
        for name, count in present.items():
            available = full_counts.get(clip, {}).get(name, 0)
            if count > available:
                raise ValueError(
                    f"the subset has {count} of class {name!r} in clip {clip!r}, the full set {available}; "
                    "swap the arguments or count the same clips"
                )
    full, part = _totals(full_counts), _totals(subset_counts)
    classes = tuple(sorted(name for name, count in full.items() if count))
    full_sum, part_sum = sum(full.values()), sum(part.values())
    full_shares = tuple(full[name] / full_sum for name in classes)
    part_shares = tuple(part.get(name, 0) / part_sum if part_sum else 0.0 for name in classes)
    distance = 0.5 * sum(abs(a - b) for a, b in zip(full_shares, part_shares, strict=True))
    if classes and not part_sum:
        distance = 1.0
    lost_classes = tuple(name for name in classes if not part.get(name, 0))
    lost_clips = tuple(
        clip
        for clip, counts in full_counts.items()
        if any(counts.values()) and not any(subset_counts.get(clip, {}).values())
    )
    warnings = []
    if distance > limit:
        warnings.append(f"class shares moved by {distance:.3f} in total variation, above {limit:g}")
    if lost_classes:
        warnings.append(f"classes lost: {', '.join(lost_classes)}")
    if lost_clips:
        warnings.append(f"clips without any instance left: {', '.join(lost_clips)}")
    return ClassCheck(classes, full_shares, part_shares, distance, lost_classes, lost_clips, tuple(warnings))
