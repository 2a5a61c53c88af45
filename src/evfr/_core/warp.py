"""Warp stacks of pictures and masks by backward fields: nearest neighbour, from one reference or from two.

A field says, for each pixel of the frame to be made, where in the reference its content was. It is given on square
cells: the flow of pixel (y, x) is ``flow[y // cell, x // cell]``, in pixels of the stack. Places outside the picture
are clamped to its border, as codecs do. All places are rounded half up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from evfr._core._warp_kernels import blend, differences, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "compensated_residual",
    "sample_field",
    "warp_nearest",
    "warp_two_sided",
    "warp_two_sided_weighted",
]


def warp_nearest(stack: NDArray[Any], flow: NDArray[np.floating[Any]], *, cell: int = 1) -> NDArray[Any]:
    """Fetch every pixel of a stack from where a backward field says it was, nearest neighbour, clamped.

    Parameters
    ----------
    stack : (C, h, w) bool, uint8, float32 or float64
        The reference's planes: masks, probabilities, features or pictures.
    flow : (ceil(h / cell), ceil(w / cell), 2) float
        (dx, dy) in pixels of the stack, finite: the content of pixel p was at p + flow.
    cell : int
        Width of the field's square cells in pixels of the stack.

    Returns
    -------
    (C, h, w) array
        Of the stack's dtype.

    Raises
    ------
    ValueError
        If a shape does not fit, or the flow is not finite.
    """
    _check(stack, flow, None, cell, "")
    out = np.empty(stack.shape, stack.dtype)
    nearest(_rows(stack), _shifts(flow, stack.shape), cell, stack.shape[1], stack.shape[2], _rows(out))
    return out


def warp_two_sided(
    reference0: NDArray[Any],
    flow0: NDArray[np.floating[Any]],
    has0: NDArray[np.bool_] | None,
    reference1: NDArray[Any],
    flow1: NDArray[np.floating[Any]],
    has1: NDArray[np.bool_] | None,
    *,
    cell: int = 1,
) -> NDArray[np.float32]:
    """Warp a stack from the references of both lists (CoVOS, Eq. 6-7 of Xu & Yao 2022).

    Parameters
    ----------
    reference0 : (C, h, w) bool, uint8 or float32, finite
        Stack of one reference. Which list is which does not matter; a list is not a direction in time.
    flow0 : (ceil(h / cell), ceil(w / cell), 2) float
        (dx, dy) in pixels of the stack, finite.
    has0 : (ceil(h / cell), ceil(w / cell)) bool or None
        Whether the cell has a vector in that list; None is everywhere.
    reference1, flow1, has1 : as reference0, flow0, has0
        The other list, of the same shapes and dtype.
    cell : int
        Width of the field's square cells in pixels of the stack.

    Returns
    -------
    (C, h, w) float32
        The mean of both fetches where both lists have a vector, the one fetch where one has, 0 where none has.

    Raises
    ------
    ValueError
        If a shape does not fit, or a flow is not finite.

    References
    ----------
    K. Xu, A. Yao: Accelerating Video Object Segmentation with Compressed Video. CVPR 2022. arXiv 2107.12192.
    """
    _check_pair(reference0, flow0, has0, reference1, flow1, has1, cell)
    unread = np.empty((1, 1), np.float32)
    return _two_sided((reference0, flow0, has0, unread), (reference1, flow1, has1, unread), 0.0, cell)


def warp_two_sided_weighted(
    reference0: NDArray[Any],
    flow0: NDArray[np.floating[Any]],
    has0: NDArray[np.bool_] | None,
    residual0: NDArray[np.floating[Any]],
    reference1: NDArray[Any],
    flow1: NDArray[np.floating[Any]],
    has1: NDArray[np.bool_] | None,
    residual1: NDArray[np.floating[Any]],
    *,
    sigma: float = 6.0,
    cell: int = 1,
) -> NDArray[np.float32]:
    """Warp a stack from two references, each weighted by how well it explains the picture (ours).

    Parameters
    ----------
    reference0, flow0, has0 : as in `warp_two_sided`
        One list: stack, flow and where it has a vector.
    residual0 : (h, w) float
        Compensated residual of that reference in grey levels, 0 or more, as `compensated_residual` gives it.
    reference1, flow1, has1, residual1 : as reference0, flow0, has0, residual0
        The other list.
    sigma : float
        Grey levels by which a weight falls by e, above 0.
    cell : int
        Width of the field's square cells in pixels of the stack.

    Returns
    -------
    (C, h, w) float32
        (a e^(-r0 / sigma) + b e^(-r1 / sigma)) / (e^(-r0 / sigma) + e^(-r1 / sigma)) for the fetches a and b where
        both lists have a vector, the one fetch where one has, 0 where none has. Equal residuals give
        `warp_two_sided`.

    Raises
    ------
    ValueError
        If a shape does not fit, a flow is not finite, or sigma is not above 0.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0 grey levels, got {sigma}")
    _check_pair(reference0, flow0, has0, reference1, flow1, has1, cell)
    for name, residual in (("residual0", residual0), ("residual1", residual1)):
        if residual.shape != reference0.shape[1:]:
            raise ValueError(f"{name} must be {reference0.shape[1:]} as the stacks are, got {residual.shape}")
    return _two_sided(
        (reference0, flow0, has0, residual0), (reference1, flow1, has1, residual1), 1.0 / sigma, cell
    )


def compensated_residual(
    target: NDArray[np.uint8],
    reference: NDArray[np.uint8],
    flow: NDArray[np.floating[Any]],
    *,
    cell: int = 1,
    window: int = 5,
) -> NDArray[np.float32]:
    """Measure how badly a reference, moved by a backward field, explains a grey picture.

    Parameters
    ----------
    target, reference : (h, w) uint8
        Grey pictures of one size.
    flow : (ceil(h / cell), ceil(w / cell), 2) float
        (dx, dy) in pixels, finite: the content of target pixel p was at p + flow in the reference.
    cell : int
        Width of the field's square cells in pixels.
    window : int
        Width of the mean's square window in pixels, odd; 1 does not blur.

    Returns
    -------
    (h, w) float32
        |target - reference| in grey levels, 0..255, the reference read bilinearly and the difference averaged over
        the window.

    Raises
    ------
    ValueError
        If a shape does not fit, the window is even or below 1, or the flow is not finite.
    """
    if target.ndim != 2 or target.shape != reference.shape:
        raise ValueError(
            f"target and reference must be (h, w) of one size, got {target.shape} and {reference.shape}"
        )
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd and 1 or more, got {window}")
    _check(reference[None], flow, None, cell, "")
    height, width = target.shape
    out = np.empty(target.shape, np.float32)
    # A second row and column, so that there is always one to interpolate with.
    padded = np.pad(reference, ((0, int(height == 1)), (0, int(width == 1))), mode="edge")
    differences(
        np.ascontiguousarray(target),
        padded.astype(np.float32).ravel(),
        _limited(flow, target.shape),
        cell,
        padded.shape[0],
        padded.shape[1],
        out,
    )
    if window == 1:
        return out
    return np.asarray(cv2.blur(out, (window, window), borderType=cv2.BORDER_REPLICATE), np.float32)


def sample_field(flow: NDArray[np.floating[Any]], height: int, width: int, cell: int) -> NDArray[np.float32]:
    """Spread a field on cells over the pixels.

    Parameters
    ----------
    flow : (ceil(height / cell), ceil(width / cell), 2) float
        (dx, dy) on cells.
    height, width : int
        Size of the picture in pixels.
    cell : int
        Width of the cells in pixels.

    Returns
    -------
    (height, width, 2) float32
        The flow of each pixel's cell.

    Raises
    ------
    ValueError
        If a shape does not fit, or the flow is not finite.
    """
    _check(np.empty((1, height, width), np.uint8), flow, None, cell, "")
    wide = np.repeat(np.repeat(flow.astype(np.float32, copy=False), cell, axis=0), cell, axis=1)
    return np.ascontiguousarray(wide[:height, :width])


def _check_pair(
    reference0: NDArray[Any],
    flow0: NDArray[Any],
    has0: NDArray[np.bool_] | None,
    reference1: NDArray[Any],
    flow1: NDArray[Any],
    has1: NDArray[np.bool_] | None,
    cell: int,
) -> None:
    if reference0.shape != reference1.shape or reference0.dtype != reference1.dtype:
        raise ValueError(
            f"both references must have one shape and dtype, got {reference0.shape} {reference0.dtype} "
            f"and {reference1.shape} {reference1.dtype}"
        )
    _check(reference0, flow0, has0, cell, "0")
    _check(reference1, flow1, has1, cell, "1")


def _check(
    stack: NDArray[Any], flow: NDArray[Any], has: NDArray[np.bool_] | None, cell: int, side: str
) -> None:
    if stack.ndim != 3 or stack.size == 0:
        raise ValueError(f"a stack must be (C, h, w) with something in it, got {stack.shape}")
    if cell < 1:
        raise ValueError(f"cell must be 1 or more, got {cell}")
    wanted = (-(-stack.shape[1] // cell), -(-stack.shape[2] // cell))
    if flow.shape != (*wanted, 2):
        raise ValueError(f"flow{side} must be {(*wanted, 2)} for cells of {cell} px, got {flow.shape}")
    if has is not None and (has.shape != wanted or has.dtype != np.bool_):
        raise ValueError(f"has{side} must be {wanted} bool, got {has.shape} {has.dtype}")
    if not np.isfinite(flow).all():
        raise ValueError(f"flow{side} must be finite; fill places without a vector and say so in has{side}")


def _two_sided(
    side0: tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None, NDArray[Any]],
    side1: tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_] | None, NDArray[Any]],
    rate: float,
    cell: int,
) -> NDArray[np.float32]:
    shape = side0[0].shape
    out = np.zeros(shape, np.float32)
    has0, residual0 = _everywhere(side0[2], side0[1]), np.ascontiguousarray(side0[3], np.float32)
    has1, residual1 = _everywhere(side1[2], side1[1]), np.ascontiguousarray(side1[3], np.float32)
    blend(
        _rows(side0[0]),
        _shifts(side0[1], shape),
        has0,
        residual0,
        _rows(side1[0]),
        _shifts(side1[1], shape),
        has1,
        residual1,
        np.float32(rate),
        cell,
        shape[1],
        shape[2],
        out.reshape(shape[0], -1),
    )
    return out


def _rows(stack: NDArray[Any]) -> NDArray[Any]:
    """Return the stack as (C, h * w) in one block of memory, booleans as bytes: fewer kernels to compile."""
    block = np.ascontiguousarray(stack)
    return (block.view(np.uint8) if block.dtype == np.bool_ else block).reshape(len(block), -1)


def _everywhere(has: NDArray[np.bool_] | None, flow: NDArray[Any]) -> NDArray[np.bool_]:
    return np.ones(flow.shape[:2], np.bool_) if has is None else np.ascontiguousarray(has)


def _limited(flow: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the flow as float32 no longer than the picture: further places clamp to the same border."""
    most = float(max(shape[-2:]) + 1)
    return np.clip(np.ascontiguousarray(flow, np.float32), -most, most)


def _shifts(flow: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Return whole-pixel shifts: p + floor(flow + 1/2) is floor(p + flow + 1/2) for a whole p."""
    whole: NDArray[np.int32] = np.floor(_limited(flow, shape) + np.float32(0.5)).astype(np.int32)
    return whole
