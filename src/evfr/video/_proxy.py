"""Make motion vectors with known references: encode a proxy of the pictures and read its vectors back.

The proxy is H.264 by libx264 in memory, of the grey pictures, with one reference, no pyramid, no weights and a fixed
pattern of pictures. So each list of each block has one reference that is known, which files in the wild do not tell.
Time reversed, the same encoder looks from each picture to the next.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType

from evfr._core.gop import CodedClip, ListField
from evfr._core.motion import StepFields
from evfr.errors import MissingExtraError
from evfr.video._block_field import BlockFields, block_fields, fill_nearest
from evfr.video._frames import MOTION_VECTOR_DTYPE, side_data
from evfr.video._luma import grey_of_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from av.packet import Packet
    from numpy.typing import NDArray

__all__ = ["PROXY_CELL", "proxy_clip", "proxy_key", "proxy_step_fields"]

PROXY_CELL = 8
"""Pixels per cell of a proxy's fields: FFmpeg exports no smaller block of H.264."""

_ENCODER = "libx264"
_PRESET = "superfast"
_BLOCK = 16
# The first line makes references exact; the second finds motion rather than saving bits: without the small intra
# blocks fewer cells lack a vector. docs/decisions/0006-motion-vectors.md has the measurements.
_X264 = (
    "ref=1:b-pyramid=none:weightp=0:weightb=0:keyint=infinite:scenecut=0:b-adapt=0:open-gop=0:"
    "partitions=p8x8,b8x8:me=hex:no-cabac=1:rc-lookahead=0:mbtree=0:sync-lookahead=0:threads=1:lookahead-threads=1"
)


def proxy_step_fields(
    frames: Sequence[NDArray[np.uint8]],
    frame_index: NDArray[np.int64] | None = None,
    *,
    crf: int = 23,
) -> StepFields:
    """Return the motion between neighbouring frames as an H.264 encoder finds it (ours), both ways.

    Parameters
    ----------
    frames : sequence of (H, W, 3) uint8
        T pictures of one size, RGB, at least one.
    frame_index : (T,) int64 or None
        Not looked at; it makes this a `StepFieldMaker`.
    crf : int
        The encoder's constant rate factor, 0..51: lower follows fine motion more closely and takes longer.

    Returns
    -------
    StepFields
        On cells of 8 px. ``to_previous`` are the vectors of the pictures encoded in order, IPPP with one reference;
        ``to_next`` those of the pictures encoded in reverse. Cells that were coded without prediction are filled
        from the nearest cell with a vector and are False in ``has_previous`` or ``has_next``.

    Raises
    ------
    ValueError
        If there is no frame, the frames differ in size or are not RGB, or ``crf`` is out of range.
    MissingExtraError
        If PyAV was built without libx264.

    Notes
    -----
    The same frames give the same fields: the encoder runs in one thread. At 480p one step takes about a third of
    the time of OpenCV's DIS flow (medium) both ways.
    """
    height, width = _check(frames, crf)
    forward = _fields(frames, (height, width), crf)
    backward = _fields(frames[::-1], (height, width), crf)
    to_previous, has_previous = _stacked(forward, (height, width))
    to_next, has_next = _stacked(backward[::-1], (height, width))
    return StepFields(to_previous, to_next, PROXY_CELL, f"proxy crf {crf}", has_previous, has_next)


def proxy_clip(frames: Sequence[NDArray[np.uint8]], *, b_count: int = 3, crf: int = 23) -> CodedClip:
    """Encode a proxy with B pictures, and return its picture types, order, vectors and exact references.

    Parameters
    ----------
    frames : sequence of (H, W, 3) uint8
        T pictures of one size, RGB, at least one.
    b_count : int
        B pictures between two anchors (I or P), 0..16; fewer before the last anchor where they do not divide.
    crf : int
        The encoder's constant rate factor, 0..51.

    Returns
    -------
    CodedClip
        On cells of 8 px. P pictures refer to the anchor before; B pictures in list 0 to the anchor before and in
        list 1 to the anchor after. Cells coded without prediction have no reference in either list.

    Raises
    ------
    ValueError
        If there is no frame, the frames differ in size or are not RGB, or a number is out of range.
    MissingExtraError
        If PyAV was built without libx264.

    References
    ----------
    K. Xu, A. Yao: Accelerating Video Object Segmentation with Compressed Video. CVPR 2022. arXiv 2107.12192.
    """
    if not 0 <= b_count <= 16:
        raise ValueError(f"b_count must be 0..16 B pictures between anchors, got {b_count}")
    height, width = _check(frames, crf)
    packets = list(_encode(frames, crf, b_count))
    pictures = list(_decode(packets, (height, width)))
    types = "".join(kind for kind, _ in pictures)
    anchors = [place for place, kind in enumerate(types) if kind != "B"]
    before = dict.fromkeys(anchors[:1], -1) | {after: first for first, after in pairwise(anchors)}
    lists: list[tuple[ListField, ListField] | None] = []
    last = -1
    for place, (kind, found) in enumerate(pictures):
        if kind == "I":
            lists.append(None)
        elif kind == "P":
            lists.append((_listed(found, 0, before[place]), _listed(found, 1, -1)))
        else:
            after = min(anchor for anchor in anchors if anchor > place)
            lists.append((_listed(found, 0, last), _listed(found, 1, after)))
        last = place if kind != "B" else last
    order = np.array([packet.pts for packet in packets], np.int64)
    return CodedClip(height, width, types, order, tuple(lists), PROXY_CELL, f"proxy {b_count} B crf {crf}")


def proxy_key(*, crf: int = 23, b_count: int = 0) -> dict[str, str | int]:
    """Return all that a proxy's vectors depend on beside the pictures, for keys of caches.

    Parameters
    ----------
    crf, b_count : int
        As in `proxy_clip`; ``b_count`` 0 for `proxy_step_fields`.

    Returns
    -------
    dict of str to str or int
        Encoder, its settings, cell, and the version of FFmpeg's codecs.
    """
    version = ".".join(str(part) for part in av.library_versions["libavcodec"])
    settings = f"{_PRESET}:{_X264}"
    return {
        "encoder": _ENCODER,
        "settings": settings,
        "crf": crf,
        "b_count": b_count,
        "cell": PROXY_CELL,
        "libavcodec": version,
    }


def _check(frames: Sequence[NDArray[np.uint8]], crf: int) -> tuple[int, int]:
    if len(frames) == 0:
        raise ValueError("a proxy needs at least one frame, got none")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be 0..51, got {crf}")
    first = frames[0].shape
    for place, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"frame {place} must be (H, W, 3) uint8 RGB, got {frame.shape} {frame.dtype}")
        if frame.shape != first:
            raise ValueError(
                f"frame {place} is {frame.shape[1]}x{frame.shape[0]}, the first is {first[1]}x{first[0]}; "
                "a proxy needs frames of one size"
            )
    return first[0], first[1]


def _fields(frames: Sequence[NDArray[np.uint8]], shape: tuple[int, int], crf: int) -> list[BlockFields]:
    """Return the fields of all frames but the first, each to the frame before it."""
    if len(frames) < 2:
        return []
    return [found for _, found in _decode(_encode(frames, crf, 0), shape)][1:]


def _stacked(
    fields: Sequence[BlockFields], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    grid = (-(-shape[0] // PROXY_CELL), -(-shape[1] // PROXY_CELL))
    flow = np.zeros((len(fields), *grid, 2), np.float32)
    has = np.zeros((len(fields), *grid), np.bool_)
    for step, found in enumerate(fields):
        flow[step] = fill_nearest(found.flow0, found.has0)
        has[step] = found.has0
    return flow, has


def _listed(fields: BlockFields, side: int, reference: int) -> ListField:
    has, flow = (fields.has0, fields.flow0) if side == 0 else (fields.has1, fields.flow1)
    return ListField(np.where(has, reference, -1).astype(np.int32), flow)


def _encode(frames: Iterable[NDArray[np.uint8]], crf: int, b_count: int) -> Iterator[Packet[Any]]:
    """Encode grey pictures; the pts of a packet is the place of its picture."""
    context: Any = None
    for place, frame in enumerate(frames):
        grey = grey_of_rgb(np.ascontiguousarray(frame))
        height, width = grey.shape
        # Whole blocks, so that odd sizes encode, with the border that the codec itself would continue.
        grey = np.pad(grey, ((0, -height % _BLOCK), (0, -width % _BLOCK)), mode="edge")
        if context is None:
            context = _encoder(grey.shape[1], grey.shape[0], crf, b_count)
        picture = av.VideoFrame.from_ndarray(grey, format="gray")
        picture.pts = place
        yield from context.encode(picture)
    yield from context.encode(None)


def _encoder(width: int, height: int, crf: int, b_count: int) -> Any:
    try:
        context: Any = av.CodecContext.create(_ENCODER, "w")
    except ValueError as error:
        raise MissingExtraError(
            f"this PyAV was built without {_ENCODER}, which makes the proxy; install PyAV's own wheel "
            "(python -m pip install --force-reinstall av), or use the tier 'portable', which needs no encoder"
        ) from error
    context.width, context.height, context.pix_fmt = width, height, "gray"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.thread_count = 1
    context.options = {
        "preset": _PRESET,
        "crf": str(crf),
        "x264-params": f"{_X264}:bframes={b_count}",
    }
    return context


def _decode(packets: Iterable[Packet[Any]], shape: tuple[int, int]) -> Iterator[tuple[str, BlockFields]]:
    """Yield picture types and fields in presentation order; without threads, which lose vectors."""
    context: Any = av.CodecContext.create("h264", "r")
    context.thread_count, context.thread_type = 1, "NONE"
    # Nobody looks at the pixels.
    context.options = {"flags2": "+export_mvs", "skip_loop_filter": "all"}

    def found(frame: Any) -> tuple[str, BlockFields]:
        data = side_data(frame, SideDataType.MOTION_VECTORS) or b""
        vectors = np.frombuffer(data, MOTION_VECTOR_DTYPE)
        return "?IPB"[frame.pict_type], block_fields(vectors, shape, cell=PROXY_CELL)

    for packet in packets:
        for frame in context.decode(packet):
            yield found(frame)
    for frame in context.decode(None):
        yield found(frame)
