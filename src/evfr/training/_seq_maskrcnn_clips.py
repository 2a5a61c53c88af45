"""What Seq Mask R-CNN is trained on: a few labelled frames of a video, or of an image that is made into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evfr.augmentation import fill_background, pseudo_video

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["LabelledFrames", "LabelledPicture", "SequenceClip", "sequence_draw"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LabelledPicture:
    """Hold one picture with the masks of its N objects.

    Attributes
    ----------
    image : (H, W, 3) uint8
        RGB.
    masks : (N, H, W) bool
        One or more pixels each.
    category : (N,) int64
        Index into the classes.
    track_ids : (N,) int64
        Which object over time.
    hidden : (H, W) bool
        Pixels that nothing is to be learnt from, for example a crowd that is not told apart; the network sees the mean
        colour there, except where an object lies on them.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    category: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    hidden: NDArray[np.bool_]

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"LabelledPicture({width}x{height}, {len(self.masks)} objects)"

    def shown(self) -> NDArray[np.uint8]:
        """Return the picture with what is hidden filled."""
        if not self.hidden.any():
            return self.image
        return fill_background(self.image, np.concatenate([self.masks, ~self.hidden[None]]))


class LabelledFrames(Protocol):
    """Give the labelled frames of one video, or single images; F in all.

    Attributes
    ----------
    starts : tuple of int
        Places in 0..F-1 that show an object.
    """

    @property
    def starts(self) -> tuple[int, ...]:
        """Places that show an object."""
        ...

    def __len__(self) -> int:
        """Return F."""
        ...

    def load(self, place: int) -> LabelledPicture:
        """Read one of them."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SequenceClip:
    """Hold F frames with K objects that the first one shows.

    Attributes
    ----------
    images : (F, H, W, 3) uint8
        RGB, two frames or more.
    masks : (F, K, H, W) bool
        An object may be gone from any frame but the first.
    category : (K,) int64
        Index into the classes.

    Raises
    ------
    ValueError
        If the arrays do not fit together, or the first frame lacks an object.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    category: NDArray[np.int64]

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.ndim != 4 or shape[3] != 3 or shape[0] < 2 or self.images.dtype != np.uint8:
            raise ValueError(
                f"images must be (F, H, W, 3) uint8 of two frames or more, got {shape} {self.images.dtype}"
            )
        count = len(self.category)
        if self.masks.shape != (shape[0], count, *shape[1:3]) or not count:
            raise ValueError(
                f"masks must be ({shape[0]}, {count}, {shape[1]}, {shape[2]}) with one object or more, "
                f"got {self.masks.shape}"
            )
        is_there = self.masks[0].reshape(count, -1).any(axis=1)
        if not is_there.all():
            raise ValueError(
                f"the first frame must show each object, got an empty mask of object {int(np.argmin(is_there))}"
            )

    def __repr__(self) -> str:
        frames, height, width = self.images.shape[:3]
        return f"SequenceClip({frames} frames of {width}x{height}, {len(self.category)} objects)"


def sequence_draw(
    videos: Sequence[LabelledFrames],
    images: LabelledFrames | None = None,
    *,
    image_share: float = 0.5,
    frames: int = 3,
    max_skip: int = 5,
    max_degrees: float = 30.0,
    fill: bool = False,
) -> Callable[[Generator], SequenceClip]:
    """Return a function that draws clips: frames of videos, and images rotated into clips (Lin et al. 2021).

    Parameters
    ----------
    videos : sequence of LabelledFrames
        One or more, each with two labelled frames or more, and an object.
    images : LabelledFrames or None
        Single images for the first stage; None draws from videos alone.
    image_share : float
        Probability of an image, in [0, 1]; the paper does not say its own.
    frames : int
        Frames of a clip F, 2 or more; a video with fewer labelled frames gives what it has.
    max_skip : int
        Labelled frames from one frame of a clip to the next, at most; 1 or more.
    max_degrees : float
        Rotation of images, see `evfr.augmentation.pseudo_video`.
    fill : bool
        Whether the images' pixels outside annotations are filled, for sparsely annotated images.

    Returns
    -------
    callable
        From a numpy generator to a `SequenceClip`. Videos are drawn evenly, forward or backward in time.

    Raises
    ------
    ValueError
        If there is nothing to draw from, or a number is out of range.
    """
    if not 0 <= image_share <= 1:
        raise ValueError(f"image_share must be in [0, 1], got {image_share}")
    if frames < 2 or max_skip < 1:
        raise ValueError(f"frames must be 2 or more and max_skip 1 or more, got {frames} and {max_skip}")
    if not videos:
        raise ValueError("there is no video to draw clips from")
    for number, video in enumerate(videos):
        if len(video) < 2 or not video.starts:
            raise ValueError(
                f"a video needs two labelled frames or more and an object, got {len(video)} labelled frames, "
                f"{len(video.starts)} with objects, of video {number}"
            )
    if images is not None and not images.starts:
        raise ValueError("no image has an object")

    def draw(rng: Generator) -> SequenceClip:
        if images is not None and rng.random() < image_share:
            picture = images.load(images.starts[int(rng.integers(len(images.starts)))])
            return _of_image(picture, rng, frames, max_degrees, fill)
        return _of_video(videos[int(rng.integers(len(videos)))], rng, frames, max_skip)

    return draw


def _of_image(
    picture: LabelledPicture, rng: Generator, frames: int, max_degrees: float, fill: bool
) -> SequenceClip:
    shown = fill_background(picture.image, picture.masks) if fill else picture.shown()
    clip = pseudo_video(shown, picture.masks, rng, frames=frames, max_degrees=max_degrees)
    return SequenceClip(clip.images, clip.masks, picture.category)


def _of_video(video: LabelledFrames, rng: Generator, frames: int, max_skip: int) -> SequenceClip:
    places = [video.starts[int(rng.integers(len(video.starts)))]]
    way = 1 if rng.random() < 0.5 else -1
    if not 0 <= places[0] + way < len(video):
        way = -way
    while len(places) < frames:
        room = len(video) - 1 - places[-1] if way > 0 else places[-1]
        if not room:
            break
        places.append(places[-1] + way * int(rng.integers(1, min(max_skip, room) + 1)))
    pictures = [video.load(place) for place in places]
    first = pictures[0]
    tracks = first.track_ids.tolist()
    masks = np.zeros((len(places), *first.masks.shape), np.bool_)
    for t, picture in enumerate(pictures):
        for track, mask in zip(picture.track_ids.tolist(), picture.masks, strict=True):
            if track in tracks:
                masks[t, tracks.index(track)] = mask
    return SequenceClip(np.stack([picture.shown() for picture in pictures]), masks, first.category)
