"""Stand in for ``cvat_sdk.auto_annotation`` and for the agent of cvat-cli, as far as a tracking function meets them.

The two classes have the names, keywords and checks of cvat-sdk 2.80; `Agent` asks a function as the worker of cvat-cli
2.80 does: every picture goes through ``preprocess_image``, states are kept by number, and a shape of another type than
the first one is refused. ``scripts/check_annotation_tools.py`` holds the same function against the real packages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from PIL import Image

__all__ = ["Agent", "TrackableShape", "TrackingFunctionSpec", "fake_interface"]

SHAPE_TYPES = ("ellipse", "rectangle", "polygon", "polyline", "points", "cuboid", "mask", "skeleton")


class TrackingFunctionSpec:
    def __init__(self, *, supported_shape_types: Sequence[str]) -> None:
        assert set(supported_shape_types) <= set(SHAPE_TYPES)
        self.supported_shape_types = frozenset(supported_shape_types)


class TrackableShape:
    def __init__(self, *, type: str, points: Sequence[float]) -> None:
        assert type in SHAPE_TYPES
        self.type, self.points = type, list(points)


@dataclass(frozen=True)
class Context:
    original_shape_type: str


class Agent:
    """Ask a function about shapes, picture by picture."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.states: list[tuple[Any, str]] = []

    def start(self, picture: Any, shapes: Sequence[TrackableShape]) -> None:
        assert {shape.type for shape in shapes} <= self.function.spec.supported_shape_types
        seen = self.function.preprocess_image(object(), Image.fromarray(picture))
        for shape in shapes:
            state = self.function.init_tracking_state(Context(shape.type), seen, shape)
            self.states.append((state, shape.type))

    def follow(self, picture: Any) -> list[TrackableShape | None]:
        seen = self.function.preprocess_image(object(), Image.fromarray(picture))
        found = [self.function.track(Context(kind), seen, state) for state, kind in self.states]
        for shape, (_, kind) in zip(found, self.states, strict=True):
            assert shape is None or shape.type == kind
        return found


def fake_interface() -> ModuleType:
    module = ModuleType("cvat_sdk.auto_annotation")
    for value in (TrackingFunctionSpec, TrackableShape):
        setattr(module, value.__name__, value)
    return module
