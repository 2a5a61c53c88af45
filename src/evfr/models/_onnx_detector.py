"""A detector in an ONNX file: a picture in, boxes with class scores out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.annotations import Category
from evfr.errors import InputError
from evfr.models._detections import Detections, nms_rows, scores_at
from evfr.models._detector import LastImage, categories_from, check_image
from evfr.models._onnx_detector_layouts import LAYOUTS, class_count, outputs_read, recognise
from evfr.models._onnx_session import names_in, normalised, open_model, shrink_or_stretch, size_of, three

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxDetector"]

_TINY = 1e-3
"""Candidates of no class above this are left out, of what is found and of the scores at boxes."""

_GREY = 114
"""Borders of the letterbox, as the YOLO families are trained with."""


class OnnxDetector:
    """Detect objects by an ONNX model in one of the common export layouts.

    Parameters
    ----------
    path : path
        One float input (1, 3, h, w) or (3, h, w).
    names : sequence of str or Category, or path, optional
        The C classes in the model's order, or a text file with one name a line; without it the names that the file's
        metadata hold (as Ultralytics writes them), or else "class 0" and so on.
    layout : str
        ``"auto"``, told by names and shapes of the outputs, or

        - ``"fastestdet"``: (1, 5 + C, rows, columns), score = objectness^0.6 x class^0.4; BGR, stretched [1]_,
        - ``"yolov5"`` (also v6, v7): (1, N, 5 + C), score = objectness x class; RGB, letterbox,
        - ``"yolov8"`` (also 9, 11, 12): (1, 4 + C, N); RGB, letterbox,
        - ``"end-to-end"`` (YOLOv10, 26): (1, N, 6), corners, score and label; RGB, letterbox,
        - ``"detr"``: logits (1, N, C + 1), the last of them for "no object", and boxes (1, N, 4); RGB, stretched,
          less ImageNet's mean,
        - ``"rtdetr"``: logits (1, N, C) of independent classes and boxes (1, N, 4); RGB, stretched,
        - ``"boxes-scores-labels"`` (torchvision, most exports with NMS inside): boxes (N, 4) as corners in input
          pixels, scores (N,), labels (N,); RGB, stretched, or as it is where the file takes any size.

        Other outputs are not read.
    size : int or (height, width), optional
        Of the input, where the file leaves it free.
    channels, resize, mean, scale : optional
        In place of the layout's: ``"rgb"`` or ``"bgr"``; ``"stretch"`` or ``"letterbox"`` (keeps the aspect, grey
        borders); the input is (pixel - mean) / scale, one or three numbers, pixels 0 to 255.
    first_label : int
        The label of the first class, where the layout has labels: 1 where 0 stands for background and has no name.
    min_score : float
        In [0, 1); `detect` returns what has a higher score.
    nms : float
        In [0, 1]; `detect` drops a box whose IoU with a better one of its class is higher. 1 keeps all.
    threads : int
        Of one run.

    Raises
    ------
    MissingExtraError
        If onnxruntime is not installed.
    InputError
        If the file cannot be read, its layout is not told by its outputs, or the names do not fit it.
    ValueError
        If an option is out of its range.

    Notes
    -----
    Boxes are cut at the borders of the picture, and left out where nothing remains. `score_boxes` stands in for a head
    that classifies given regions (`scores_at`) and uses every candidate with a score above 0.001, before NMS. The last
    picture's outputs are kept, so that detecting and scoring on one frame runs the network once. A file with NMS
    inside has no low scores left: its `score_boxes` sees only what it found.

    References
    ----------
    .. [1] dog-qiuqiu/FastestDet on GitHub, example/ncnn.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        names: Sequence[Category | str] | str | Path | None = None,
        layout: str = "auto",
        size: tuple[int, int] | int | None = None,
        channels: Literal["rgb", "bgr"] | None = None,
        resize: Literal["stretch", "letterbox"] | None = None,
        mean: float | Sequence[float] | None = None,
        scale: float | Sequence[float] | None = None,
        first_label: int = 0,
        min_score: float = 0.05,
        nms: float = 0.5,
        threads: int = 1,
    ) -> None:
        if layout != "auto" and layout not in LAYOUTS:
            raise ValueError(f"layout must be 'auto' or one of {', '.join(LAYOUTS)}, got {layout!r}")
        if channels not in (None, "rgb", "bgr"):
            raise ValueError(f"channels must be 'rgb' or 'bgr', got {channels!r}")
        if resize not in (None, "stretch", "letterbox"):
            raise ValueError(f"resize must be 'stretch' or 'letterbox', got {resize!r}")
        if not 0 <= min_score < 1 or not 0 <= nms <= 1:
            raise ValueError(f"min_score must be in [0, 1) and nms in [0, 1], got {min_score} and {nms}")
        self._options: dict[str, Any] = {
            "names": names,
            "layout": layout,
            "size": size,
            "channels": channels,
            "resize": resize,
            "mean": mean,
            "scale": scale,
            "first_label": first_label,
            "min_score": min_score,
            "nms": nms,
            "threads": threads,
        }
        self._model = open_model(path, threads=threads)
        self.path = self._model.path
        given = names if names is not None else names_in(self._model)
        known = None if given is None else categories_from(given)
        try:
            self.layout = (
                recognise(self._model.outputs, None if known is None else len(known))
                if layout == "auto"
                else layout
            )
            self._outputs = outputs_read(self.layout, self._model.outputs)
            count = class_count(self.layout, [self._model.outputs[name] for name in self._outputs])
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from error
        if known is None and count is None:
            raise InputError(f"{self.path}: layout {self.layout} does not tell the classes; pass names=")
        if known is not None and count is not None and len(known) != count:
            raise InputError(f"{self.path} has {count} classes, {len(known)} names were given")
        self.categories = known or categories_from([f"class {number}" for number in range(count or 0)])
        form = LAYOUTS[self.layout]
        self._size = size_of(self._model, size)
        if self._size is None and self.layout != "boxes-scores-labels":
            raise InputError(f"{self.path} takes pictures of any size; pass size=(height, width)")
        self._channels, self._resize = channels or form.channels, resize or form.resize
        self._mean = three("mean", form.mean if mean is None else mean)
        self._scale = three("scale", form.scale if scale is None else scale)
        if not self._scale.all():
            raise ValueError(f"scale must not be 0, got {scale}")
        self._decode, self._first_label = form.decode, first_label
        self._min_score, self._nms = min_score, nms
        self._candidates = LastImage(self._run)

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Find objects in a picture.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.

        Returns
        -------
        Detections
            By descending score, without masks.

        Raises
        ------
        InputError
            If the model fails, or its output has another form or values that are no scores and boxes.
        ValueError
            If it is no picture.
        """
        found = self._candidates(image)
        good = found.take(found.scores > self._min_score)
        return good.take(nms_rows(good.boxes_xyxy, good.scores, threshold=self._nms, category=good.category))

    def score_boxes(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score given boxes by all candidates they overlap (`scores_at`).

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB.
        boxes_xyxy : (B, 4) float64
            Pixels.

        Returns
        -------
        (B, C) float64
            In [0, 1].

        Raises
        ------
        InputError
            As `detect`.
        ValueError
            If it is no picture, or boxes are not finite or upside down.
        """
        return scores_at(self._candidates(image), boxes_xyxy)

    def _run(self, image: NDArray[np.uint8]) -> Detections:
        """Return every candidate of the picture, by the model's order."""
        check_image(image)
        height, width = image.shape[:2]
        planes, step, border = self._prepared(image)
        outputs = self._model.run(planes, self._outputs)
        shapes = dict(zip(self._outputs, (values.shape for values in outputs), strict=True))
        try:
            outputs_read(self.layout, shapes)
            if class_count(self.layout, list(shapes.values())) not in (None, len(self.categories)):
                raise ValueError(
                    f"the outputs {list(shapes.values())} are not of {len(self.categories)} classes"
                )
            if self._first_label and self.layout == "boxes-scores-labels":
                outputs[2] = outputs[2].astype(np.int64) - self._first_label
            boxes, scores = self._decode(outputs, planes.shape[1:], len(self.categories))
        except ValueError as error:
            raise InputError(f"{self.path}: {error}") from error
        if len(scores) and not -1e-4 <= scores.min() <= scores.max() <= 1 + 1e-4:
            raise InputError(
                f"{self.path}: scores run from {scores.min():g} to {scores.max():g}; layout {self.layout} needs "
                "probabilities. Export the model with its last activation, or pass another layout="
            )
        # Rounding of the model's last digits only.
        scores = scores.clip(0.0, 1.0)
        keep = np.flatnonzero(scores.max(axis=1, initial=0.0) > _TINY)
        boxes, scores = boxes[keep], scores[keep]
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise InputError(
                f"{self.path}: a box has its corners the wrong way round; layout {self.layout} does not fit it"
            )
        boxes = ((boxes.reshape(-1, 2, 2) - border) / step).clip(0.0, (width, height)).reshape(-1, 4)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        boxes, scores = boxes[inside], scores[inside]
        best = scores.argmax(axis=1)
        return Detections(boxes, scores[np.arange(len(best)), best], best, scores, (None,) * len(best))

    def _prepared(
        self, image: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Return the input, and the steps and borders (x, y) that lead back: pixel = (input - border) / step."""
        height, width = image.shape[:2]
        tall, wide = self._size or (height, width)
        border = np.zeros(2)
        if self._resize == "letterbox":
            ratio = min(tall / height, wide / width)
            inner = max(1, round(height * ratio)), max(1, round(width * ratio))
            top, left = (tall - inner[0]) // 2, (wide - inner[1]) // 2
            small = np.full((tall, wide, 3), _GREY, np.uint8)
            small[top : top + inner[0], left : left + inner[1]] = shrink_or_stretch(image, inner[1], inner[0])
            border[:] = left, top
        else:
            inner = tall, wide
            small = shrink_or_stretch(image, wide, tall)
        planes = normalised(small, self._mean, self._scale, self._channels)
        return planes, np.array([inner[1] / width, inner[0] / height]), border

    def __repr__(self) -> str:
        return f"OnnxDetector({self.path.name!r}, layout={self.layout!r}, {len(self.categories)} classes)"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options, not the session: a worker process opens the file again."""
        return _rebuild, (str(self.path), self._options)


def _rebuild(path: str, options: dict[str, Any]) -> OnnxDetector:
    return OnnxDetector(path, **options)
