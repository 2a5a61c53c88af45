"""Find which picture each block was predicted from: decoders export the vector, but not the picture it points into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from evfr.video._block_field import vector_flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["BlockReferences", "candidate_references"]

RANK_PENALTY = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class BlockReferences:
    """Say for each motion vector which candidate picture explains its block best.

    Attributes
    ----------
    reference : (K,) int32
        Place in ``[*past, *future]``; -1 where there was no candidate or the block lies outside the picture.
    error : (K,) float32
        Mean absolute difference of the block and what the vector fetches from that picture, in grey levels; NaN
        where ``reference`` is -1.
    """

    reference: NDArray[np.int32]
    error: NDArray[np.float32]

    def __repr__(self) -> str:
        found = self.error[self.reference >= 0]
        mean = f"mean error {found.mean():.2f}" if len(found) else "none found"
        return f"BlockReferences({len(self.reference)} vectors, {mean})"


def candidate_references(
    vectors: NDArray[np.void],
    target: NDArray[np.uint8],
    past: Sequence[NDArray[np.uint8]],
    future: Sequence[NDArray[np.uint8]],
    *,
    rank_penalty: float = RANK_PENALTY,
) -> BlockReferences:
    """Choose for each vector the candidate picture with the least compensated error (ours).

    Parameters
    ----------
    vectors : (K,) of `MOTION_VECTOR_DTYPE`
        Vectors of one frame, as `motion_vectors` yields them.
    target : (H, W) uint8
        The frame's grey picture, upright.
    past, future : sequence of (H, W) uint8
        Grey pictures decoded before this frame and shown before or after it, the nearest in time first.
    rank_penalty : float
        Grey levels that a candidate must gain for each place that it stands further back, 0 or more: encoders
        prefer near pictures, and where nothing moves all candidates look alike. In list 0 the past comes before the
        future, in list 1 the future before the past, as in H.264's initial lists.

    Returns
    -------
    BlockReferences
        One choice per vector. Reads between pixels are bilinear, places outside are clamped to the border.

    Raises
    ------
    ValueError
        If the pictures differ in size, or the penalty is negative.
    """
    if not rank_penalty >= 0:
        raise ValueError(f"rank_penalty must be 0 grey levels or more, got {rank_penalty}")
    pictures = [*past, *future]
    for picture in pictures:
        if picture.shape != target.shape or picture.ndim != 2:
            raise ValueError(f"candidates must be {target.shape} as the target is, got {picture.shape}")
    reference = np.full(len(vectors), -1, np.int32)
    error = np.full(len(vectors), np.nan, np.float32)
    if len(vectors) and pictures:
        ranks0 = np.arange(len(pictures))
        ranks1 = np.concatenate([np.arange(len(past)) + len(future), np.arange(len(future))])
        # In the order of their ranks, so that the first of equals is the better ranked.
        orders = np.stack([np.argsort(ranks0), np.argsort(ranks1)])
        _choose(
            vectors,
            vector_flows(vectors),
            np.ascontiguousarray(target),
            np.stack(pictures),
            orders,
            np.float32(rank_penalty),
            reference,
            error,
        )
    return BlockReferences(reference, error)


@njit(cache=True, nogil=True)
def _choose(vectors, flows, target, pictures, orders, penalty, reference, error):  # type: ignore[no-untyped-def]
    height, width = target.shape
    for number in range(len(vectors)):
        vector = vectors[number]
        order = orders[0 if vector["source"] < 0 else 1]
        left, top = np.int64(vector["dst_x"]) - vector["w"] // 2, np.int64(vector["dst_y"]) - vector["h"] // 2
        right, bottom = min(left + vector["w"], width), min(top + vector["h"], height)
        left, top = max(left, 0), max(top, 0)
        size = (bottom - top) * (right - left)
        if bottom <= top or right <= left:
            continue
        best = np.float32(np.inf)
        for rank in range(len(order)):
            handicap = np.float32(rank) * penalty
            if handicap >= best:
                break
            found = block_error(
                target,
                pictures[order[rank]],
                top,
                bottom,
                left,
                right,
                flows[number, 0],
                flows[number, 1],
                (best - handicap) * size,
            )
            if found / size + handicap < best:
                best = found / size + handicap
                reference[number] = order[rank]
                error[number] = found / size


@njit(cache=True, nogil=True)
def block_error(target, picture, top, bottom, left, right, dx, dy, most):  # type: ignore[no-untyped-def]
    """Return the sum of absolute differences of a block, or some value above ``most`` where it exceeds that."""
    height, width = picture.shape
    one = np.float32(1.0)
    x0, y0 = np.int64(np.floor(dx)), np.int64(np.floor(dy))
    a, b = np.float32(dx - x0), np.float32(dy - y0)
    total = np.float32(0.0)
    is_inside = left + x0 >= 0 and right + x0 < width
    for y in range(top, bottom):
        v0, v1 = min(max(y + y0, 0), height - 1), min(max(y + y0 + 1, 0), height - 1)
        if is_inside:
            # Slices of one length, so that the loop compiles to vector instructions.
            own = target[y, left:right]
            row0, row1 = picture[v0, left + x0 : right + x0 + 1], picture[v1, left + x0 : right + x0 + 1]
            for k in range(right - left):
                upper = (one - a) * np.float32(row0[k]) + a * np.float32(row0[k + 1])
                lower = (one - a) * np.float32(row1[k]) + a * np.float32(row1[k + 1])
                total += abs(np.float32(own[k]) - ((one - b) * upper + b * lower))
        else:
            for x in range(left, right):
                u0, u1 = min(max(x + x0, 0), width - 1), min(max(x + x0 + 1, 0), width - 1)
                upper = (one - a) * np.float32(picture[v0, u0]) + a * np.float32(picture[v0, u1])
                lower = (one - a) * np.float32(picture[v1, u0]) + a * np.float32(picture[v1, u1])
                total += abs(np.float32(target[y, x]) - ((one - b) * upper + b * lower))
        if total > most:
            break
    return total
