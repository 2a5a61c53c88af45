"""Outputs of ONNX detectors: which layout they have, and how it is read.

A layout is read into boxes in pixels of the model's input and one score per class. The layouts are facts of the
programs that export them; the code here is written from their descriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LAYOUTS", "Layout", "class_count", "outputs_read", "recognise"]

Shape = tuple[Any, ...]
Decoded = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Say how pictures go into a kind of detector and how its outputs are read.

    Attributes
    ----------
    channels : {"rgb", "bgr"}
        Order that its training used.
    resize : {"stretch", "letterbox"}
        To the input size regardless of aspect, or with grey borders.
    mean, scale : 3 floats
        The input is (pixel - mean) / scale, pixels 0 to 255, in the order of ``channels``.
    shape : str
        Its outputs in words.
    decode : callable
        Outputs, input size (h, w), C -> boxes (N, 4) in input pixels, class scores (N, C).
    """

    channels: Literal["rgb", "bgr"]
    resize: Literal["stretch", "letterbox"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    shape: str
    decode: Callable[[Sequence[NDArray[Any]], tuple[int, int], int], Decoded]


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # exp of a negative number never overflows.
    small = np.exp(-np.abs(values))
    out: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1.0 + small)
    return out


def _corners(
    x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64], h: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=-1)


def _fastestdet(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """(1, 5 + C, h, w): objectness, tanh of the centre's offset in cells, sigmoid of the size, softmax of classes."""
    planes = outputs[0][0].astype(np.float64)
    rows, columns = planes.shape[1:]
    y, x = np.mgrid[:rows, :columns]
    boxes = _corners(
        (x + np.tanh(planes[1])) / columns * size[1],
        (y + np.tanh(planes[2])) / rows * size[0],
        _sigmoid(planes[3]) * size[1],
        _sigmoid(planes[4]) * size[0],
    )
    # float32 here: 80 powers a cell are most of the decoding, and the network is no finer.
    found = outputs[0][0].astype(np.float32)
    scores = (found[:1] ** np.float32(0.6)) * (found[5:] ** np.float32(0.4))
    return boxes.reshape(-1, 4), scores.reshape(classes, -1).T.astype(np.float64)


def _yolov5(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """(1, N, 5 + C): centre x, y, width, height in input pixels, objectness, classes; score = objectness x class."""
    rows = outputs[0][0].astype(np.float64)
    return _corners(*rows[:, :4].T), rows[:, 4:5] * rows[:, 5:]


def _yolov8(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """(1, 4 + C, N): centre x, y, width, height in input pixels, classes."""
    columns = outputs[0][0].astype(np.float64)
    return _corners(*columns[:4]), columns[4:].T


def _unit_boxes(boxes: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    values = boxes[0].astype(np.float64) * [size[1], size[0], size[1], size[0]]
    return _corners(*values.T)


def _detr(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """Logits (1, N, C + 1), the last for "no object", and boxes (1, N, 4): centre, width, height as fractions."""
    logits = outputs[0][0].astype(np.float64)
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _unit_boxes(outputs[1], size), (power / power.sum(axis=1, keepdims=True))[:, :-1]


def _rtdetr(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """Logits (1, N, C), one sigmoid a class, and boxes (1, N, 4): centre, width, height as fractions."""
    return _unit_boxes(outputs[1], size), _sigmoid(outputs[0][0].astype(np.float64))


def _one_class(scores: NDArray[np.float64], labels: NDArray[Any], classes: int) -> NDArray[np.float64]:
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"labels run from {labels.min():g} to {labels.max():g}, but there are {classes} class names (labels "
            f"0 to {classes - 1}); name every label, with first_label= if they do not start at 0"
        )
    out = np.zeros((len(labels), classes))
    out[np.arange(len(labels)), labels.astype(np.int64)] = scores
    return out


def _boxes_scores_labels(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """Boxes (N, 4) as corners in input pixels, scores (N,), labels (N,)."""
    boxes = outputs[0].reshape(-1, 4).astype(np.float64)
    scores, labels = (values.reshape(-1) for values in outputs[1:])
    if not len(boxes) == len(scores) == len(labels):
        raise ValueError(f"there are {len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels")
    return boxes, _one_class(scores.astype(np.float64), labels, classes)


def _corners_score_label(outputs: Sequence[NDArray[Any]], size: tuple[int, int], classes: int) -> Decoded:
    """(1, N, 6): corners in input pixels, score, label; the end-to-end export of YOLOv10 and later."""
    rows = outputs[0][0].astype(np.float64)
    used = rows[rows[:, 4] > 0]
    return used[:, :4], _one_class(used[:, 4], used[:, 5], classes)


_UNIT = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

LAYOUTS: dict[str, Layout] = {
    "fastestdet": Layout("bgr", "stretch", *_UNIT, "one (1, 5 + C, rows, columns)", _fastestdet),
    "yolov5": Layout("rgb", "letterbox", *_UNIT, "one (1, N, 5 + C)", _yolov5),
    "yolov8": Layout("rgb", "letterbox", *_UNIT, "one (1, 4 + C, N)", _yolov8),
    "end-to-end": Layout("rgb", "letterbox", *_UNIT, "one (1, N, 6)", _corners_score_label),
    "detr": Layout("rgb", "stretch", *_IMAGENET, "logits (1, N, C + 1) and boxes (1, N, 4)", _detr),
    "rtdetr": Layout("rgb", "stretch", *_UNIT, "logits (1, N, C) and boxes (1, N, 4)", _rtdetr),
    "boxes-scores-labels": Layout(
        "rgb", "stretch", *_UNIT, "boxes (N, 4), scores (N,) and labels (N,)", _boxes_scores_labels
    ),
}


def recognise(outputs: Mapping[str, Shape], known: int | None) -> str:
    """Tell the layout from names and shapes of the outputs.

    Parameters
    ----------
    outputs : mapping of str to shape
        In the file's order; what is no number is free.
    known : int, optional
        C, where the names of the classes are known.

    Returns
    -------
    str
        A key of `LAYOUTS`.

    Raises
    ------
    ValueError
        If none fits, or several do.
    """
    fits = [name for name in LAYOUTS if _fits(name, outputs, known)]
    if len(fits) == 1:
        return fits[0]
    told = ", ".join(f"{name} {_told(shape)}" for name, shape in outputs.items())
    if not fits:
        forms = "; ".join(f"{name}: {layout.shape}" for name, layout in LAYOUTS.items())
        count = "" if known is None else f" of {known} classes"
        raise ValueError(f"the outputs are {told}, no layout{count} known here ({forms})")
    raise ValueError(
        f"the outputs are {told}, which fits {' and '.join(fits)}; pass layout=, or names= with all class names"
    )


def _fits(layout: str, outputs: Mapping[str, Shape], known: int | None) -> bool:
    try:
        names = outputs_read(layout, outputs)
        count = class_count(layout, [outputs[name] for name in names])
    except ValueError:
        return False
    if len(names) == 1:
        if len(outputs) > 1:
            return False
        shape = outputs[names[0]]
        if layout in ("yolov5", "yolov8"):
            channels, anchors = (shape[2], shape[1]) if layout == "yolov5" else (shape[1], shape[2])
            # Anchors outnumber channels; a free side is that of the anchors.
            if not isinstance(channels, int) or (isinstance(anchors, int) and channels > anchors):
                return False
    if layout == "end-to-end" and known == 1:
        return False
    return known is None or count is None or count == known


def outputs_read(layout: str, outputs: Mapping[str, Shape]) -> list[str]:
    """Return the names of the outputs that a layout reads, in the order its decoder takes them.

    Raises
    ------
    ValueError
        If they are not there.
    """
    ranks = {name: len(shape) for name, shape in outputs.items()}
    roles: list[str | None]
    if layout in ("detr", "rtdetr"):
        roles = [_named(outputs, ("logit",)), _named(outputs, ("box",))]
        if None in roles and len(outputs) == 2 and set(ranks.values()) == {3}:
            fours = [name for name, shape in outputs.items() if shape[-1] == 4]
            others = [name for name in outputs if name not in fours]
            roles = [others[0], fours[0]] if len(fours) == 1 else roles
        fit = all(role is not None and ranks[role] == 3 for role in roles)
    elif layout == "boxes-scores-labels":
        roles = [
            _named(outputs, ("box",)),
            _named(outputs, ("score", "conf")),
            _named(outputs, ("label", "class")),
        ]
        fit = all(role is not None for role in roles) and len(set(roles)) == 3
        fit = fit and [ranks[str(role)] for role in roles] in ([2, 1, 1], [3, 2, 2])
    else:
        roles = [next(iter(outputs))]
        fit = ranks[str(roles[0])] == (4 if layout == "fastestdet" else 3)
        fit = fit and (layout != "end-to-end" or outputs[str(roles[0])][2] == 6)
    if not fit:
        told = ", ".join(f"{name} {_told(shape)}" for name, shape in outputs.items())
        raise ValueError(f"layout {layout} needs {LAYOUTS[layout].shape}, the outputs are {told}")
    return [str(role) for role in roles]


def class_count(layout: str, shapes: Sequence[Shape]) -> int | None:
    """Return C as the shapes of the outputs read tell it, or None where they do not.

    Raises
    ------
    ValueError
        If they leave no class.
    """
    axis, extra = {
        "fastestdet": (1, 5),
        "yolov5": (2, 5),
        "yolov8": (1, 4),
        "detr": (2, 1),
        "rtdetr": (2, 0),
    }.get(layout, (-1, 0))
    size = shapes[0][axis] if axis >= 0 else None
    if not isinstance(size, int):
        return None
    if size <= extra:
        raise ValueError(f"layout {layout} needs more than {extra} channels, got {_told(shapes[0])}")
    return size - extra


def _named(outputs: Mapping[str, Shape], words: tuple[str, ...]) -> str | None:
    found = [name for name in outputs if any(word in name.lower() for word in words)]
    return found[0] if len(found) == 1 else None


def _told(shape: Shape) -> str:
    return "(" + ", ".join(str(side) if isinstance(side, int) else "?" for side in shape) + ")"
