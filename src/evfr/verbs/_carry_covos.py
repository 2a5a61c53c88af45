"""CoVOS by words: what a person can name on the command line, as the values that the propagator takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr._core.gop import CodedClip
    from evfr._core.motion import StepFieldMaker
    from evfr.propagation import Carried, CovosCost, Interval

__all__ = ["covos"]

Base = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]


def covos(
    interval: Interval,
    *,
    steps: Mapping[str, StepFieldMaker] | None = None,
    stream: Callable[[int, int], CodedClip] | None = None,
    cost: CovosCost | None = None,
    vectors: Literal["proxy", "stream"] = "proxy",
    b_count: int = 3,
    warp: Literal["weighted", "mean"] = "weighted",
    intra: Literal["fill", "zero"] = "fill",
    correction: Literal["auto", "paper", "local", "none"] = "auto",
    decoder: Path | None = None,
    features: Path | None = None,
    base: Path | None = None,
    base_classes: Mapping[str, int] | None = None,
    device: str = "cpu",
) -> Carried:
    """Segment I and P pictures and carry B pictures along the codec's vectors (CoVOS; Xu & Yao 2022).

    Parameters
    ----------
    interval : Interval
        Frames and labels.
    steps : mapping or None
        Not used.
    stream : callable or None
        ``(first, stop) -> CodedClip`` of the file's own vectors.
    cost : CovosCost or None
        Added to.
    vectors : {"proxy", "stream"}
        Vectors of an H.264 proxy made for this, with known references, or the file's own.
    b_count : int
        B pictures between the anchors of the proxy.
    warp : {"weighted", "mean"}
        Mix two references by how well each explains the frame (ours), or equally (the paper's Eq. 6-7).
    intra : {"fill", "zero"}
        Cells without a vector take the nearest (ours), or become background (the paper's).
    correction : {"auto", "paper", "local", "none"}
        Matching of badly predicted cells: the paper's, which needs a decoder; ours; none. auto is the paper's with a
        decoder and ours without.
    decoder : Path or None
        Weights of a decoder, as ``evfr train covos`` or a release of the paper's layout writes them; None stops at the
        corrected warp.
    features : Path or None
        Weights of the ResNet-50 whose first stage the decoder was trained on.
    base : Path or None
        An ONNX image segmenter for key frames without labels; None carries P pictures too, along their own vectors.
    base_classes : mapping or None
        With BASE: the model's label for each category of the labels, as CATEGORY_ID=LABEL.
    device : str
        Where the decoder runs.

    Returns
    -------
    Carried
        Masks that do not overlap.

    Raises
    ------
    ValueError
        If an option is out of range or does not go with the others.
    InputError
        If weights do not load.
    """
    from evfr.propagation import covos as carry

    if vectors == "stream" and stream is None:
        raise ValueError("vectors='stream' is for a video file, pictures have none; use vectors='proxy'")
    if (features is not None or correction == "paper") and decoder is None:
        raise ValueError("features and correction='paper' go with a decoder; give decoder too")
    if (base is None) != (not base_classes):
        raise ValueError("base and base_classes go together; give both, for example base_classes 1=15")
    first = int(interval.frame_index[0])

    def coded(frames: Sequence[NDArray[np.uint8]]) -> CodedClip:
        if vectors == "stream":
            assert stream is not None
            return stream(first, first + len(frames))
        from evfr.video import proxy_clip

        return proxy_clip(frames, b_count=b_count)

    return carry(
        interval,
        coded=coded,
        base=None if base is None else _base(base, dict(base_classes or {}), interval),
        decoder=None if decoder is None else _network(decoder, features, device),
        warp=warp,
        intra=intra,
        correction=correction,
        cost=cost,
    )


@functools.lru_cache(maxsize=1)
def _network(decoder: Path, features: Path | None, device: str) -> Any:
    from evfr.models import covos_network

    return covos_network(decoder, features=features, device=device)


def _base(path: Path, classes: Mapping[str, int], interval: Interval) -> Base:
    """Return the segmenter with one plane per track; the model tells classes apart, not objects."""
    wanted = []
    for track, category in zip(interval.track_ids.tolist(), interval.category_ids.tolist(), strict=True):
        if str(category) not in classes:
            raise ValueError(
                f"base_classes names no label for category {category} of track {track}; it has "
                f"{', '.join(classes)}"
            )
        if (label := int(classes[str(category)])) in wanted:
            raise ValueError(
                f"track {track} has the class of another track; an image segmenter cannot tell them apart: leave base "
                "out, or carry them one by one"
            )
        wanted.append(label)
    return _segmenter(path, tuple(wanted))


@functools.lru_cache(maxsize=4)
def _segmenter(path: Path, classes: tuple[int, ...]) -> Base:
    from evfr.models import OnnxSegmenter

    return OnnxSegmenter(path, classes=classes)
