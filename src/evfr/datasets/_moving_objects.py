"""Drawn clips of moving objects whose class is their shape and nothing else, with exact labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evfr._core.labelled import IGNORE_ID, LabelledClip
from evfr._core.rng import generator, spawn_seed
from evfr.datasets._moving_objects_picture import Ground, paint
from evfr.datasets._moving_objects_scene import NO_CLASS, Placed, Scene, moments, scene_speeds
from evfr.datasets._moving_objects_shapes import SHAPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SHAPES", "DrawnClip", "SceneOptions", "draw_moving_objects", "moving_objects", "shuffle_labels"]


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """Say what happens in the drawn clips.

    Attributes
    ----------
    class_weights : tuple of float or None
        How often an object is of each class, relative to the others; None is equally often.
    objects : float
        Objects in view on average, 0 or more.
    distractors : float
        Shapes of no class in view on average, 0 or more: they are drawn and hide objects, but are not labelled.
    sizes : tuple of float
        Smallest and largest radius of a disc of an object's area, in heights of the picture, more than 0 to 0.5; all
        ratios between are equally likely.
    still_share, fast_share : float
        Share of the time in which nothing moves but sensor noise, and in which all runs ``fast_speed`` times as fast;
        together at most 1.
    fast_speed : float
        More than 0.
    camera : float
        Speed of the camera; 0 holds it still.
    pattern : float
        Contrast of the textures on objects and distractors, 0 (plain) to 1.
    clutter : float
        Contrast of the ground, 0 (plain grey) to 1 (as vivid as the objects).
    noise : float
        Standard deviation of the sensor noise in grey levels.
    rare_moments : int
        So many times an object of ``rare_class`` dashes through the picture, for ``rare_frames`` frames each.
    rare_frames : int
        Frames of a rare moment, 1 or more; fewer where the clip is too short for all.
    rare_class : str or None
        None is the last class. Give it the weight 0 to see it in rare moments only.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    class_weights: tuple[float, ...] | None = None
    objects: float = 5.0
    distractors: float = 1.5
    sizes: tuple[float, float] = (0.085, 0.19)
    still_share: float = 0.3
    fast_share: float = 0.2
    fast_speed: float = 3.0
    camera: float = 1.0
    pattern: float = 0.5
    clutter: float = 0.4
    noise: float = 2.0
    rare_moments: int = 0
    rare_frames: int = 8
    rare_class: str | None = None

    def __post_init__(self) -> None:
        for name in (
            "objects",
            "distractors",
            "camera",
            "noise",
            "rare_moments",
            "still_share",
            "fast_share",
        ):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be 0 or more and finite, got {getattr(self, name)}")
        if self.still_share + self.fast_share > 1:
            raise ValueError(
                f"still_share and fast_share must add up to 1 at most, got {self.still_share} and {self.fast_share}"
            )
        for name in ("pattern", "clutter"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not 0 < self.sizes[0] <= self.sizes[1] <= 0.5:
            raise ValueError(f"sizes must be two numbers above 0 and up to 0.5, rising, got {self.sizes}")
        if not 0 < self.fast_speed < float("inf"):
            raise ValueError(f"fast_speed must be more than 0 and finite, got {self.fast_speed}")
        if self.rare_frames < 1:
            raise ValueError(f"rare_frames must be 1 or more, got {self.rare_frames}")
        weights = self.class_weights
        if weights is not None and (not all(0 <= w < float("inf") for w in weights) or sum(weights) <= 0):
            raise ValueError(f"class_weights must be 0 or more, one of them more than 0, got {weights}")


class DrawnClip(NamedTuple):
    """A drawn clip, and what its labels do not say.

    Attributes
    ----------
    clip : LabelledClip
        Pictures and labels.
    track : (F, M) int64
        Which object over time object k of a frame is, at ``[f, k - 1]``; -1 where the frame has no object k.
    """

    clip: LabelledClip
    track: NDArray[np.int64]


def moving_objects(
    seed: int,
    *,
    frames: int = 200,
    width: int = 128,
    height: int = 96,
    classes: Sequence[str] = SHAPES,
    repeat: int = 1,
    unique: bool = False,
    options: SceneOptions = SceneOptions(),
    video_id: str | None = None,
) -> LabelledClip:
    """Draw a clip of moving objects whose class is their shape and nothing else, with exact labels (ours).

    Parameters
    ----------
    seed : int
        0 or more. Clips of different seeds have nothing in common: no object, no ground.
    frames : int
        Frames F of the clip, 1 or more.
    width, height : int
        Pixels of the pictures, 32 or more.
    classes : sequence of str
        Some of `SHAPES`, in the order of their class numbers; the others do not occur.
    repeat : int
        Each drawn picture stands this many times in a row, bit for bit: with 5, every fifth frame holds everything.
    unique : bool
        Every drawn picture is of a new scene, so that no frame can stand for another.
    options : SceneOptions
        What happens.
    video_id : str or None
        None is ``moving-<seed>``.

    Returns
    -------
    LabelledClip
        Frames 0..F-1. The map shows at each pixel's centre the foremost object, whole or in part; distractors are
        background. Edges of the picture are smooth, those of the map are exact.

    Raises
    ------
    ValueError
        If a value is out of range, or a frame would have more than 254 objects.

    Notes
    -----
    Colours, textures, sizes, places, motion and depth are drawn before the class and by one law for all classes,
    distractors and ground. Shapes have equal area before they are stretched, turned and scaled. Objects live on a torus
    around the camera; what has left the picture comes back as another object. Time stands still in some stretches and
    runs fast in others, so that redundancy varies over the clip.

    Examples
    --------
    >>> clip = moving_objects(0, frames=3)
    >>> clip
    LabelledClip('moving-0', 3 frames of 128x96, 5 classes)
    """
    drawn = draw_moving_objects(
        seed,
        frames=frames,
        width=width,
        height=height,
        classes=classes,
        repeat=repeat,
        unique=unique,
        options=options,
        video_id=video_id,
    )
    return drawn.clip


def draw_moving_objects(
    seed: int,
    *,
    frames: int,
    width: int,
    height: int,
    classes: Sequence[str],
    repeat: int,
    unique: bool,
    options: SceneOptions,
    video_id: str | None,
) -> DrawnClip:
    """Draw a clip as `moving_objects` does, and tell which object is which over time."""
    names = _checked(frames, width, height, classes, repeat, unique, options)
    video_id = f"moving-{seed}" if video_id is None else video_id
    count = -(-frames // repeat)
    images = np.empty((count, height, width, 3), np.uint8)
    ids = np.zeros((count, height, width), np.uint8)
    labels: list[list[tuple[int, int]]] = []
    if unique:
        first_track = 0
        for place in range(count):
            part = _Filming(spawn_seed(seed, "unique", str(place)), 1, width, height, names, options)
            objects = part.draw(0, images[place], ids[place], f"{video_id} frame {place}")
            labels.append([(category, track + first_track) for category, track in objects])
            first_track += 1 + max((track for _, track in objects), default=-1)
    else:
        film = _Filming(seed, count, width, height, names, options)
        labels += [
            film.draw(place, images[place], ids[place], f"{video_id} frame {place}") for place in range(count)
        ]
    most = max(map(len, labels))
    table = np.full((2, count, most), -1, np.int64)
    for place, found in enumerate(labels):
        table[:, place, : len(found)] = np.array(found, np.int64).reshape(-1, 2).T
    source = np.arange(frames) // repeat
    category = table[0].astype(np.int16)
    clip = LabelledClip(video_id, np.arange(frames), images[source], ids[source], category[source], names)
    return DrawnClip(clip, table[1][source])


def shuffle_labels(clips: Sequence[LabelledClip], seed: int) -> list[LabelledClip]:
    """Give every picture the labels of another one, so that there is nothing to learn (a known answer; ours).

    Parameters
    ----------
    clips : sequence of LabelledClip
        Of one size and one list of classes, one or more. A single clip needs 4 frames or more.
    seed : int
        0 or more.

    Returns
    -------
    list of LabelledClip
        The same pictures. Labels come from frames of another clip; of a single clip, from a frame at least a quarter of
        it away.

    Raises
    ------
    ValueError
        If the clips differ in size or classes, or there are too few frames.
    """
    kinds = {(clip.images.shape[1:], clip.classes) for clip in clips}
    if len(kinds) != 1:
        raise ValueError(
            f"labels can be shuffled among clips of one size and one list of classes, got {len(kinds)}"
        )
    rng = generator(spawn_seed(seed, "shuffle"))
    if len(clips) == 1:
        frames = len(clips[0])
        if frames < 4:
            raise ValueError(f"the labels of a single clip can be shuffled from 4 frames on, got {frames}")
        # A turn by half, each half shuffled in blocks of a quarter: no frame lands near its own place.
        quarters = np.array_split(np.arange(frames), 4)
        sources = np.concatenate(
            [_refit(rng.permutation(quarters[(q + 2) % 4]), len(quarters[q])) for q in range(4)]
        )
        return [_with_labels_of(clips[0], clips[0], sources)]
    order = rng.permutation(len(clips))
    donor_of = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    shuffled = []
    for place, clip in enumerate(clips):
        donor = clips[donor_of[place]]
        shuffled.append(_with_labels_of(clip, donor, _refit(rng.permutation(len(donor)), len(clip))))
    most = max(clip.category.shape[1] for clip in shuffled)
    return [
        replace(
            clip,
            category=np.pad(clip.category, ((0, 0), (0, most - clip.category.shape[1])), constant_values=-1),
        )
        for clip in shuffled
    ]


def _refit(sources: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return ``count`` of the sources, again from the start where they do not suffice."""
    return np.resize(sources, count)


def _with_labels_of(clip: LabelledClip, donor: LabelledClip, sources: NDArray[np.int64]) -> LabelledClip:
    return replace(clip, ids=donor.ids[sources], category=donor.category[sources])


class _Filming:
    """A scene, its ground and its noise: draws one frame after the other."""

    def __init__(
        self, seed: int, count: int, width: int, height: int, classes: tuple[str, ...], options: SceneOptions
    ) -> None:
        speeds = scene_speeds(seed, count, options)
        start = generator(spawn_seed(seed, "start")).uniform(0, 1000)
        times = start + np.concatenate([[0.0], np.cumsum(speeds)[:-1]])
        self.scene = Scene(seed, times, width, height, classes, options)
        self._ground = Ground(
            generator(spawn_seed(seed, "ground")), self.scene, width, height, options.clutter
        )
        self._noise = generator(spawn_seed(seed, "noise"))
        self._strength = np.float32(options.noise)
        self._moments = moments(seed, count, options)
        self._rare = classes.index(options.rare_class) if options.rare_class else len(classes) - 1

    def objects(self, frame: int) -> list[Placed]:
        """Return what is in the frame, those behind first; rare objects are in front of all."""
        return self.scene.placed(frame) + [
            self.scene.rare(number, self._rare, (frame - moment.first + 0.5) / (moment.last - moment.first))
            for number, moment in enumerate(self._moments)
            if moment.first <= frame < moment.last
        ]

    def draw(
        self, frame: int, image: NDArray[np.uint8], ids: NDArray[np.uint8], where: str
    ) -> list[tuple[int, int]]:
        """Fill picture and map of a frame; return class and track of the objects that can be seen, in their order."""
        picture = self._ground.seen(self.scene, frame)
        objects = self.objects(frame)
        shown = paint(picture, objects, self.scene)
        picture *= np.float32(self.scene.light[frame])
        picture += self._strength * self._noise.standard_normal(picture.shape, dtype=np.float32)
        image[:] = np.clip(np.rint(picture), 0, 255)
        places = np.flatnonzero(np.bincount(shown.ravel(), minlength=len(objects) + 1)[1:])
        kept = [place for place in places.tolist() if objects[place].actor.category != NO_CLASS]
        if len(kept) >= IGNORE_ID:
            raise ValueError(
                f"{where} has {len(kept)} objects, a map holds {IGNORE_ID - 1}; draw fewer objects"
            )
        number = np.zeros(len(objects) + 1, np.uint8)
        number[np.array(kept, np.int64) + 1] = np.arange(1, len(kept) + 1)
        ids[:] = number[shown]
        return [(objects[place].actor.category, objects[place].actor.track) for place in kept]


def _checked(
    frames: int,
    width: int,
    height: int,
    classes: Sequence[str],
    repeat: int,
    unique: bool,
    options: SceneOptions,
) -> tuple[str, ...]:
    """Check the arguments of `moving_objects`; return the classes."""
    names = tuple(classes)
    if frames < 1 or repeat < 1:
        raise ValueError(f"frames and repeat must be 1 or more, got {frames} and {repeat}")
    if width < 32 or height < 32:
        raise ValueError(f"the pictures must be 32x32 or more, got {width}x{height}")
    if not names or len(set(names)) != len(names) or not set(names) <= set(SHAPES):
        raise ValueError(
            f"classes must be some of {', '.join(SHAPES)}, each once, got {', '.join(names) or 'none'}"
        )
    if options.class_weights is not None and len(options.class_weights) != len(names):
        raise ValueError(
            f"class_weights must be {len(names)} numbers, one a class, got {options.class_weights}"
        )
    if options.rare_class is not None and options.rare_class not in names:
        raise ValueError(f"rare_class must be one of {', '.join(names)}, got {options.rare_class!r}")
    if options.rare_moments > -(-frames // repeat):
        raise ValueError(
            f"{options.rare_moments} rare moments do not fit into {-(-frames // repeat)} drawn frames; ask for fewer"
        )
    if unique and options.rare_moments:
        raise ValueError("rare_moments need frames that follow each other; leave unique out, or rare_moments")
    return names
