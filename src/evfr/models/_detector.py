"""What a detector is: classes, detections in a picture, class probabilities at given boxes."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import numpy as np

from evfr._core.annotations import Category
from evfr._core.tensor_files import PICKLES, tensor_names
from evfr.errors import InputError
from evfr.models._detections import Detections, scores_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Detector",
    "LastImage",
    "as_detector",
    "categories_from",
    "check_image",
    "checked_detections",
    "open_detector",
]

Found = TypeVar("Found")


class Detector(Protocol):
    """Find objects of C classes in pictures.

    Attributes
    ----------
    categories : tuple of C Category
        The classes; ``category`` and the columns of ``class_scores`` count along it.
    """

    @property
    def categories(self) -> tuple[Category, ...]:
        """The C classes."""
        ...

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find objects.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.

        Returns
        -------
        Detections
            All above the detector's own low threshold; overlapping boxes of one class are dropped already.
        """
        ...

    def score_boxes(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Tell what is in given boxes.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.
        boxes_xyxy : (B, 4) float64
            Pixels.

        Returns
        -------
        (B, C) float64
            Class probabilities in [0, 1], background left out.
        """
        ...


class LastImage(Generic[Found]):
    """Keep what was computed from the last picture, so that two questions about one frame cost one run.

    A picture is the same if it is the same array holding the same bytes: readers may use a buffer again.

    Parameters
    ----------
    compute : callable
        What to compute from a picture.
    """

    def __init__(self, compute: Callable[[NDArray[np.uint8]], Found]) -> None:
        self._compute = compute
        self._last: tuple[NDArray[np.uint8], int, Found] | None = None

    def __call__(self, image: NDArray[np.uint8]) -> Found:
        """Return the value for this picture, the kept one if it is the last again."""
        checksum = zlib.crc32(np.ascontiguousarray(image).data)
        if self._last is None or self._last[0] is not image or self._last[1] != checksum:
            self._last = image, checksum, self._compute(image)
        return self._last[2]


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is no picture.

    Raises
    ------
    ValueError
        If it is not (H, W, 3) uint8 with a pixel at least.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"a picture must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")


def checked_detections(
    found: Any, image: NDArray[np.uint8], categories: Sequence[Category], who: str
) -> Detections:
    """Return what a detector found if it fits the picture and the classes.

    Parameters
    ----------
    found : Detections
        What came back.
    image : (H, W, 3) uint8
        The picture.
    categories : sequence of C Category
        The classes.
    who : str
        The detector, for the error.

    Returns
    -------
    Detections
        The same value.

    Raises
    ------
    ValueError
        If it is no `Detections`, a box leaves the picture, a mask has another size, or there are not C columns.
    """
    if not isinstance(found, Detections):
        raise ValueError(f"{who} must return evfr.models.Detections, got {type(found).__name__}")
    height, width = image.shape[:2]
    if found.class_scores.shape[1] != len(categories):
        raise ValueError(
            f"{who} has {len(categories)} classes, but its class_scores have {found.class_scores.shape[1]} columns"
        )
    outside = (found.boxes_xyxy > (width, height, width, height)).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"{who} put box {row} at {found.boxes_xyxy[row].tolist()}, beyond the {width}x{height} picture; "
            "clip boxes to it"
        )
    for row, mask in enumerate(found.masks):
        if mask is not None and (mask.height, mask.width) != (height, width):
            raise ValueError(
                f"{who} made mask {row} {mask.width}x{mask.height}, the picture is {width}x{height}; "
                "masks must have its size"
            )
    return found


class _CallableDetector:
    """A function of pictures, with checks, as a detector."""

    def __init__(
        self, function: Callable[[NDArray[np.uint8]], Detections], categories: tuple[Category, ...]
    ) -> None:
        self.categories = categories
        self._function = function
        self._found = LastImage(self._run)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        return self._found(image)

    def score_boxes(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores_at(self._found(image), boxes_xyxy)

    def _run(self, image: NDArray[np.uint8]) -> Detections:
        check_image(image)
        who = f"the detector {getattr(self._function, '__name__', type(self._function).__name__)}"
        return checked_detections(self._function(image), image, self.categories, who)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._function, self.categories)

    def __repr__(self) -> str:
        return f"as_detector({self._function!r}, {len(self.categories)} classes)"


def as_detector(
    detector: Detector | Callable[[NDArray[np.uint8]], Detections],
    categories: Sequence[Category | str] | None = None,
) -> Detector:
    """Make a detector of a plain function; a detector is returned as it is.

    Parameters
    ----------
    detector : callable or Detector
        (H, W, 3) uint8 RGB to `Detections`. Give low scores as well: boxes are scored by the detections they overlap
        (`scores_at`).
    categories : sequence of Category or str
        The classes, in the order of ``class_scores``; names are numbered from 1.

    Returns
    -------
    Detector
        Which checks every answer of the function.

    Raises
    ------
    TypeError
        If it is neither callable nor a detector.
    ValueError
        If a function comes without classes, a number is there twice, or (on use) the function's answer does
        not fit the picture or the classes.
    """
    if all(hasattr(detector, name) for name in ("detect", "score_boxes", "categories")):
        return cast(Detector, detector)
    if not callable(detector):
        raise TypeError(
            f"a detector must be callable, or have detect, score_boxes and categories; got {type(detector).__name__}"
        )
    if categories is None or not len(categories):
        raise ValueError(
            "a function as detector needs its categories: as_detector(function, ['person', ...])"
        )
    return _CallableDetector(detector, categories_from(categories))


def categories_from(names: Sequence[Category | str] | str | Path) -> tuple[Category, ...]:
    """Return classes from names (numbered from 1), from a text file of one name a line, or as given.

    Parameters
    ----------
    names : sequence of Category or str, or path
        The classes; in a file, blank lines at the end do not count. A name may come twice: ImageNet has two cranes.

    Returns
    -------
    tuple of Category
        In the same order.

    Raises
    ------
    InputError
        If the file cannot be read, or has an empty line between names.
    ValueError
        If a number is there twice, or a name is empty.
    """
    where = "the classes"
    if isinstance(names, (str, Path)):
        where = f"the classes of {names}"
        try:
            lines = Path(names).read_text("utf-8").rstrip().split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the class names {names}: {error}; give one name a line") from error
        names = [line.strip() for line in lines]
        if "" in names:
            raise InputError(f"{where}: line {names.index('') + 1} is empty; give one name a line")
    made = tuple(
        name if isinstance(name, Category) else Category(number, name)
        for number, name in enumerate(names, start=1)
    )
    ids = [category.category_id for category in made]
    twice = [value for value in ids if ids.count(value) > 1] if len(set(ids)) < len(ids) else []
    if twice:
        raise ValueError(f"{where} have the id {twice[0]} twice; each class needs its own")
    if any(not category.name for category in made):
        raise ValueError(f"{where} have an empty name")
    return made


def open_detector(
    path_or_name: str | Path,
    *,
    kind: str = "auto",
    names: Sequence[Category | str] | str | Path | None = None,
    device: str = "cpu",
    **options: Any,
) -> Detector:
    """Open a detector from a file.

    Parameters
    ----------
    path_or_name : path
        An ``.onnx`` file, or weights as ``.safetensors``; or a folder with ``model.safetensors``, as `evfr train`
        writes it.
    kind : str
        A key of `DETECTORS`, or ``"auto"``: ``"onnx"`` for ``.onnx``; for weights whichever of the others has the
        tensors of the file.
    names : sequence of str, or path
        The classes, or a text file with one name a line; without it those that the file holds.
    device : str
        For torch networks; an ONNX file runs on the CPU.
    **options
        Keywords of the kind's class.

    Returns
    -------
    Detector
        Ready to use.

    Raises
    ------
    InputError
        If there is no such file, or its kind cannot be told.
    ValueError
        If the kind is unknown, or an option is none of its own.
    """
    from evfr.models import DETECTORS

    path = Path(path_or_name)
    if kind != "auto" and kind not in DETECTORS:
        raise ValueError(f"kind must be 'auto' or one of {', '.join(DETECTORS)}, got {kind!r}")
    if path.is_dir() and (path / "model.safetensors").is_file():
        path = path / "model.safetensors"
    if not path.is_file():
        raise InputError(f"there is no detector at {path}; give an .onnx file or a file of weights")
    builder: Any = DETECTORS[_kind_of(path) if kind == "auto" else kind]
    allowed = inspect.signature(builder).parameters
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(
            f"{builder.__name__} has no option {unknown[0]!r}; it has {', '.join(list(allowed)[1:])}"
        )
    if "device" in allowed:
        options["device"] = device
    elif device != "cpu":
        raise ValueError(f"{builder.__name__} runs on the CPU only, got device={device!r}")
    return cast(Detector, builder(path, names=names, **options))


def _kind_of(path: Path) -> str:
    if path.suffix.lower() == ".onnx":
        return "onnx"
    if path.suffix == ".safetensors" and any(name.startswith("propagation.") for name in tensor_names(path)):
        return "seq-maskrcnn"
    # A pickle goes on too: it is refused with the line that converts it.
    if path.suffix.lower() in (".safetensors", *PICKLES):
        return "maskrcnn"
    raise InputError(f"cannot tell what kind of detector {path} is; pass kind=")
