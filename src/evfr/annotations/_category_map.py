"""Join classes of one list into those of another: eagle and owl are bird in the next version of a data set."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evfr._core.annotations import Category, VideoAnnotations
from evfr.annotations._paths import read_bytes
from evfr.errors import AnnotationError

__all__ = [
    "CATEGORY_MAPS",
    "CategoryMap",
    "match_categories",
    "merge_categories",
    "merged_names",
    "read_category_map",
]

CATEGORY_MAPS: dict[str, dict[str, tuple[str, ...]]] = {
    "by-name": {},
    "ytvis-2019-to-2021": {"bird": ("eagle", "owl"), "monkey": ("ape", "monkey")},
    "openimages-to-ytvis": {"bird": ("eagle", "owl"), "fish": ("golden fish",)},
    "coco-lvis-to-ytvis": {"monkey": ("monkey", "gorilla")},
}
"""Published maps by name: each target and the classes that become it (Lin et al. 2021).

``by-name`` joins nothing: two lists are then only matched by their names.
"""


@dataclass(frozen=True, slots=True)
class CategoryMap:
    """Say which classes become one.

    Attributes
    ----------
    name : str
        A key of `CATEGORY_MAPS`, or the file.
    targets : tuple of (str, tuple of str)
        Name of a class, and the names of those that become it; every other class stays.

    Raises
    ------
    AnnotationError
        If a name is empty, stands in two targets, or is a target and becomes another.
    """

    name: str
    targets: tuple[tuple[str, tuple[str, ...]], ...]

    def __post_init__(self) -> None:
        owner: dict[str, str] = {}
        targets = [target for target, _ in self.targets]
        for target, sources in self.targets:
            if not target or not sources or not all(sources):
                raise self._wrong(
                    f"{target!r} must be a name with one name or more that become it, got {list(sources)!r:.80}"
                )
            if targets.count(target) > 1:
                raise self._wrong(f"the target {target!r} stands there twice; give all its names in one list")
            for source in sources:
                if owner.get(source) == target:
                    raise self._wrong(f"{source!r} stands twice in {target!r}; leave one out")
                if source in owner:
                    raise self._wrong(
                        f"{source!r} becomes both {owner[source]!r} and {target!r}; a class can become one only"
                    )
                owner[source] = target
        for source, target in owner.items():
            if source != target and source in targets:
                raise self._wrong(
                    f"{source!r} becomes {target!r} and is a target itself; list the classes that become it under "
                    f"{target!r}"
                )

    def _wrong(self, text: str) -> AnnotationError:
        return AnnotationError(f"category map {self.name}: {text}")

    @property
    def sources(self) -> tuple[str, ...]:
        """The names that become another, in order; a target that lists itself is none."""
        return tuple(source for target, names in self.targets for source in names if source != target)


def read_category_map(path: str | Path) -> CategoryMap:
    """Read which classes become one (ours; the published ones by name).

    Parameters
    ----------
    path : str or Path
        A key of `CATEGORY_MAPS`, or a file ``.json`` or ``.toml`` that gives each target a list of names:
        ``{"bird": ["eagle", "owl"]}`` or ``bird = ["eagle", "owl"]``.

    Returns
    -------
    CategoryMap
        Checked.

    Raises
    ------
    AnnotationError
        If there is no such name or file, or it is no such map.
    """
    if str(path) in CATEGORY_MAPS:
        return CategoryMap(str(path), tuple(CATEGORY_MAPS[str(path)].items()))
    path = Path(path)
    if path.suffix.lower() not in (".json", ".toml"):
        raise AnnotationError(
            f"category map {path} is neither a file .json or .toml nor one of {', '.join(CATEGORY_MAPS)}"
        )
    text = read_bytes(path)
    pairs: list[tuple[str, Any]]
    try:
        if path.suffix.lower() == ".toml":
            pairs = list(tomllib.loads(text.decode()).items())
        else:
            # Pairs, not a dict: a dict would drop the first of two targets of one name.
            found = json.loads(text, object_pairs_hook=lambda items: ("object", items))
            if not (isinstance(found, tuple) and found[0] == "object"):
                raise AnnotationError(f"category map {path} must be an object of lists of names")
            pairs = found[1]
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"category map {path} cannot be read: {error!s:.200}") from error
    for target, names in pairs:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise AnnotationError(
                f"category map {path}: {target!r} must be a list of names, got {names!r:.80}"
            )
    return CategoryMap(str(path), tuple((target, tuple(names)) for target, names in pairs))


def merge_categories(
    annotations: VideoAnnotations, category_map: CategoryMap, *, absent: str = "fail"
) -> VideoAnnotations:
    """Join classes as a map says (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    category_map : CategoryMap
        Which classes become which.
    absent : {"fail", "skip"}
        What becomes of names in the map that no class of the labels has.

    Returns
    -------
    VideoAnnotations
        The same objects; a joined class keeps the id (and group) of the class that has the target's name, or, without
        one, takes the smallest id of the classes that become it. All other classes stay.

    Raises
    ------
    AnnotationError
        If a name in the map is no class of the labels and ``absent`` is ``"fail"``.
    ValueError
        If ``absent`` is neither.
    """
    if absent not in ("fail", "skip"):
        raise ValueError(f"absent must be 'fail' or 'skip', got {absent!r}")
    names = [category.name for category in annotations.categories]
    unknown = [source for source in category_map.sources if source not in names]
    if unknown and absent == "fail":
        raise unknown_names(category_map, unknown, names)
    kept: list[Category] = []
    becomes: dict[int, int] = {}
    for target, sources in category_map.targets:
        parts = [item for item in annotations.categories if item.name == target or item.name in sources]
        if not parts:
            continue
        parts.sort(key=lambda item: (item.name != target, item.category_id))
        first = parts[0]
        kept.append(replace(first, name=target))
        becomes |= {item.category_id: first.category_id for item in parts}
    kept += [item for item in annotations.categories if item.category_id not in becomes]
    return _renumbered(annotations, becomes, sorted(kept, key=lambda item: item.category_id))


def merged_names(annotations: VideoAnnotations, category_map: CategoryMap) -> tuple[tuple[str, str], ...]:
    """Say which classes of these labels a map renames (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels before they are joined.
    category_map : CategoryMap
        Which classes become which.

    Returns
    -------
    tuple of (str, str)
        Old and new name of each class that changes, in the order of the map.
    """
    names = {category.name for category in annotations.categories}
    return tuple(
        (source, target)
        for target, sources in category_map.targets
        for source in sources
        if source != target and source in names
    )


def match_categories(annotations: VideoAnnotations, reference: Sequence[Category]) -> VideoAnnotations:
    """Give classes the ids that another list has for the same names (ours).

    Parameters
    ----------
    annotations : VideoAnnotations
        The labels.
    reference : sequence of Category
        The other list.

    Returns
    -------
    VideoAnnotations
        The same objects. Classes that the list lacks follow with new ids, in their order.

    Raises
    ------
    AnnotationError
        If a class has no name, or one name stands for two classes in either list.
    """
    for where, items in (("the reference", reference), ("the labels", annotations.categories)):
        names = [item.name for item in items]
        for item in items:
            if not item.name or names.count(item.name) > 1:
                raise AnnotationError(
                    f"category {item.category_id} of {where} "
                    + (f"shares the name {item.name!r} with another" if item.name else "has no name")
                    + ", so classes cannot be matched by name; name each once"
                )
    ids = {item.name: item.category_id for item in reference}
    free = max([*ids.values(), 0]) + 1
    becomes, kept = {}, []
    for item in annotations.categories:
        if item.name in ids:
            number = ids[item.name]
        else:
            number, free = free, free + 1
        becomes[item.category_id] = number
        kept.append(replace(item, category_id=number))
    return _renumbered(annotations, becomes, kept)


def unknown_names(category_map: CategoryMap, unknown: Sequence[str], known: Sequence[str]) -> AnnotationError:
    """Make the error that says which names of a map are no classes."""
    return AnnotationError(
        f"category map {category_map.name}: no class is named {', '.join(map(repr, unknown[:5]))}; the classes are "
        f"{', '.join(map(repr, sorted(known)[:20]))}"
    )


def _renumbered(
    annotations: VideoAnnotations, becomes: Mapping[int, int], categories: Sequence[Category]
) -> VideoAnnotations:
    old = annotations.category_id
    ids = np.array([becomes.get(number, number) for number in old.tolist()], np.int64)
    return replace(annotations, category_id=ids, categories=tuple(categories))
