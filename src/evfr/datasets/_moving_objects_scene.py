"""What happens in a drawn scene: its own time, a camera, and objects that are new whenever they come back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evfr._core.rng import generator, spawn_seed
from evfr.datasets._moving_objects_looks import texture
from evfr.datasets._moving_objects_shapes import DISTRACTORS, outline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evfr.datasets._moving_objects import SceneOptions

__all__ = ["NO_CLASS", "Actor", "Moment", "Placed", "Scene", "moments", "scene_speeds"]

NO_CLASS = -1
TEXTURE_SIDE = 48
"""Pixels of an object's own texture, which spans 4 of its radii."""

_STRETCH = 1.25
_FARTHEST = 2.3
"""No corner is farther from an object's centre than this many of its radii."""
_SWELL = 0.15
_ZOOM, _ROLL = 0.12, 0.08


class Moment(NamedTuple):
    """Frames in which an object of the rare class dashes through the picture; the last is exclusive."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """One object with all that does not change: class, outline, texture, and how it turns and swells.

    Attributes
    ----------
    key : tuple of int
        Its slot, and how often what was there before it has left on either axis.
    track : int
        Its number in the clip.
    category : int
        Index into the classes; `NO_CLASS` for a distractor.
    corners : (V, 2) float64
        Outline of the unit disc's area, stretched.
    radius : float
        Of a disc of its area, in pixels, before it swells and the camera comes closer.
    depth : float
        In [0, 1); the larger is in front.
    angle, spin, phase, swell_rate : float
        Radians, radians per unit of scene time, radians, radians per unit.
    """

    key: tuple[int, ...]
    track: int
    category: int
    corners: NDArray[np.float64]
    radius: float
    depth: float
    angle: float
    spin: float
    phase: float
    swell_rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """An object where it is in one frame.

    Attributes
    ----------
    actor : Actor
        Which.
    matrix : (2, 2) float64
        From its own units to pixels.
    centre : (2,) float64
        x, y in pixels.
    """

    actor: Actor
    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]


def scene_speeds(seed: int, frames: int, options: SceneOptions) -> NDArray[np.float64]:
    """Return how far scene time runs from each frame to the next: 0 in still stretches, much in fast ones.

    Parameters
    ----------
    seed : int
        0 or more.
    frames : int
        1 or more.
    options : SceneOptions
        Shares of still and fast stretches, and the fast ones' speed.

    Returns
    -------
    (frames,) float64
        0 or more.
    """
    rng = generator(spawn_seed(seed, "speeds"))
    count = max(1, round(frames / 20))
    shares = np.array([options.still_share, 1 - options.still_share - options.fast_share, options.fast_share])
    # Largest remainders: the stretches have the shares that were asked for as nearly as their number allows.
    exact = shares * count
    number = np.floor(exact + 1e-9).astype(int)
    for kind in np.argsort(number - exact, kind="stable")[: count - int(number.sum())]:
        number[kind] += 1
    kinds = rng.permutation(np.repeat([0, 1, 2], number))
    lengths = rng.uniform(0.6, 1.4, count)
    borders = np.rint(np.cumsum(lengths) / lengths.sum() * frames).astype(int)
    speed = np.array([0.0, 1.0, options.fast_speed])[kinds]
    return np.repeat(speed, np.diff(borders, prepend=0))


def moments(seed: int, frames: int, options: SceneOptions) -> tuple[Moment, ...]:
    """Return the clip's rare moments: short, apart from each other, in increasing order."""
    if not options.rare_moments:
        return ()
    rng = generator(spawn_seed(seed, "moments"))
    length = max(1, min(options.rare_frames, frames // options.rare_moments))
    free = frames - length * options.rare_moments
    starts = np.sort(rng.integers(0, free + 1, options.rare_moments)) + length * np.arange(
        options.rare_moments
    )
    return tuple(Moment(start, start + length) for start in starts.tolist())


class Scene:
    """One world: slots of objects on a torus around a camera. Whatever leaves comes back as another object.

    Parameters
    ----------
    seed : int
        0 or more; everything follows from it.
    times : (F,) float64
        Scene time of the frames, non-decreasing.
    width, height : int
        Pixels of the picture.
    classes : tuple of str
        Shapes that have a class.
    options : SceneOptions
        How many objects, and how they move.
    """

    def __init__(
        self,
        seed: int,
        times: NDArray[np.float64],
        width: int,
        height: int,
        classes: tuple[str, ...],
        options: SceneOptions,
    ) -> None:
        self._seed, self._classes, self._options = seed, classes, options
        self._width, self._height = width, height
        weights = np.cumsum(options.class_weights or [1.0] * len(classes))
        self._chances = weights[:-1] / weights[-1]
        rng = generator(spawn_seed(seed, "scene"))
        self._times = times
        self._camera(rng, times)
        # No object may change while it is in view: the torus holds the picture, turned, and the largest object.
        smallest, largest = (max(size * height, 1.0) for size in options.sizes)
        widest = largest * math.exp(_SWELL) * _FARTHEST
        self._period = 2 * (math.hypot(width, height) / 2 * math.exp(_ZOOM) + widest) + 2.0
        # An object is in view from its mean reach beyond the border on, about 1.1 radii.
        border = 1.1 * (smallest + largest)
        seen = (width + border) * (height + border)
        counts = np.array([options.objects, options.distractors]) * self._period**2 / seen
        whole = np.floor(counts + rng.random(2)).astype(int)
        self._slots = int(whole.sum())
        self._labelled = int(whole[0])
        self._start = rng.uniform(0, self._period, (self._slots, 2))
        pace = rng.uniform(0.006, 0.026, self._slots) * height
        way = rng.uniform(0, 2 * math.pi, self._slots)
        self._velocity = np.stack([pace * np.cos(way), pace * np.sin(way)], axis=1)
        self._wobble = rng.uniform(0, 0.05 * height, (self._slots, 2))
        self._wobble_phase = rng.uniform(0, 2 * math.pi, (self._slots, 2))
        self._radius = np.exp(rng.uniform(math.log(smallest), math.log(largest), self._slots))
        self._actors: dict[tuple[int, ...], Actor] = {}
        self._skins: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def _camera(self, rng: np.random.Generator, times: NDArray[np.float64]) -> None:
        """Let the camera wander: direction, closeness and roll are sums of slow waves of scene time."""
        waves = rng.uniform(0, 2 * math.pi, 6)
        rates = rng.uniform(0.6, 1.4, 6) * np.array([0.02, 0.05, 0.03, 0.02, 0.03, 0.012])
        wave = np.sin(times[:, None] * rates + waves)
        way = waves[5] + 1.2 * wave[:, 0] + 0.6 * wave[:, 1]
        step = np.diff(times, prepend=times[0]) * 0.02 * self._height * self._options.camera
        self.position = np.stack([np.cumsum(step * np.cos(way)), np.cumsum(step * np.sin(way))], axis=1)
        strength = min(self._options.camera, 1.0)
        self.zoom = np.exp(_ZOOM * strength * wave[:, 2])
        self.roll = _ROLL * strength * wave[:, 3]
        self.light = 1.0 + 0.1 * wave[:, 4]

    def placed(self, frame: int) -> list[Placed]:
        """Return the objects of a frame that may touch the picture, those behind first.

        Parameters
        ----------
        frame : int
            Index into the times.

        Returns
        -------
        list of Placed
            Distractors as well.
        """
        time = float(self._times[frame])
        zoom, roll = float(self.zoom[frame]), float(self.roll[frame])
        sway = self._wobble * np.sin(0.06 * time + self._wobble_phase)
        offset = self._start + self._velocity * time + sway - self.position[frame] + self._period / 2
        lap = np.floor(offset / self._period).astype(int)
        offset = offset - lap * self._period - self._period / 2
        turn = zoom * rotation(roll)
        centres = offset @ turn.T + [(self._width - 1) / 2, (self._height - 1) / 2]
        margin = (self._radius * math.exp(_SWELL) * zoom * _FARTHEST + 1.0)[:, None]
        far = margin + np.array([self._width, self._height])
        near = (centres > -margin) & (centres < far)
        found = []
        for slot in np.flatnonzero(near.all(axis=1)).tolist():
            actor = self._actor((slot, *lap[slot].tolist()))
            size = actor.radius * math.exp(_SWELL * math.sin(actor.swell_rate * time + actor.phase))
            matrix = turn @ rotation(actor.angle + actor.spin * time) * size
            found.append(Placed(actor, matrix, centres[slot]))
        return sorted(found, key=lambda item: item.actor.depth)

    def rare(self, number: int, category: int, progress: float) -> Placed:
        """Return the object of a rare moment, on its way from one side of the picture to the other.

        Parameters
        ----------
        number : int
            Which moment.
        category : int
            Its class.
        progress : float
            In [0, 1].

        Returns
        -------
        Placed
            In the picture for all but the ends of its way.
        """
        key = (self._slots + number,)
        actor = self._actor(key, category)
        rng = generator(spawn_seed(self._seed, "dash", str(number)))
        side = 1.0 if rng.random() < 0.5 else -1.0
        ends = rng.uniform(0.25, 0.75, 2) * self._height
        x = self._width * (0.5 + side * (progress - 0.5))
        y = float(ends[0] + (ends[1] - ends[0]) * progress)
        matrix = rotation(actor.angle + 2.0 * progress) * actor.radius
        return Placed(actor, matrix, np.array([x, y]))

    def skin(self, actor: Actor) -> NDArray[np.float32]:
        """Return what is painted on an object, (48, 48, 3) float32 over 4 of its radii; class plays no part."""
        if actor.key not in self._skins:
            rng = generator(spawn_seed(self._seed, "skin", *map(str, actor.key)))
            self._skins[actor.key] = texture(
                rng, TEXTURE_SIDE, TEXTURE_SIDE, TEXTURE_SIDE / 4, contrast=self._options.pattern
            )
        return self._skins[actor.key]

    def _actor(self, key: tuple[int, ...], category: int | None = None) -> Actor:
        """Return the object of a slot and lap; the same key gives the same object."""
        if key in self._actors:
            return self._actors[key]
        rng = generator(spawn_seed(self._seed, "actor", *map(str, key)))
        # All but the outline is drawn before the class, and by the same law for every class.
        depth, angle, spin = rng.random(), rng.uniform(0, 2 * math.pi), rng.uniform(-0.09, 0.09)
        phase, swell_rate = rng.uniform(0, 2 * math.pi), rng.uniform(0.02, 0.06)
        stretch, axis = math.sqrt(rng.uniform(1.0, _STRETCH)), rng.uniform(0, math.pi)
        drawn = int(np.searchsorted(self._chances, rng.random(), side="right"))
        if category is None:
            category = drawn if key[0] < self._labelled else NO_CLASS
        shape = DISTRACTORS[int(rng.integers(len(DISTRACTORS)))] if category < 0 else self._classes[category]
        pull = rotation(axis) @ np.diag([stretch, 1 / stretch]) @ rotation(-axis)
        corners = outline(shape, rng) @ pull.T
        radius = (
            float(self._radius[key[0]])
            if key[0] < self._slots
            else self._height * sum(self._options.sizes) / 2
        )
        actor = Actor(
            key, len(self._actors), category, corners, radius, depth, angle, spin, phase, swell_rate
        )
        self._actors[key] = actor
        return actor


def rotation(angle: float) -> NDArray[np.float64]:
    """Return the (2, 2) matrix that turns by an angle in radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])
