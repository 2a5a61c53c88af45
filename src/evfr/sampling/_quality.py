"""Keep blurred and badly exposed frames out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["quality_mask"]


def quality_mask(
    sharpness: ArrayLike,
    exposure: ArrayLike,
    *,
    min_sharpness: float | None = None,
    max_clipped: float | None = None,
) -> NDArray[np.bool_]:
    """Tell which frames are sharp and well exposed enough to be labelled.

    Parameters
    ----------
    sharpness : (N,) array_like
        Any measure that grows with sharpness, for example the variance of the Laplacian.
    exposure : (N,) array_like
        Share of clipped pixels (black or white), in [0, 1].
    min_sharpness : float or None
        Frames below are refused; None switches this gate off.
    max_clipped : float or None
        Frames above are refused; None switches this gate off.

    Returns
    -------
    (N,) bool
        True for frames that pass; to be used as ``Constraints.selectable``. A frame whose measure is NaN never
        passes a gate that is on.

    Raises
    ------
    ValueError
        If the arrays are not one-dimensional and of one length.

    Examples
    --------
    >>> quality_mask([9.0, 1.0, float("nan")], [0.0, 0.0, 0.0], min_sharpness=2.0).tolist()
    [True, False, False]
    """
    sharp = np.asarray(sharpness, dtype=np.float64)
    clipped = np.asarray(exposure, dtype=np.float64)
    if sharp.ndim != 1 or sharp.shape != clipped.shape:
        raise ValueError(f"sharpness and exposure must both be (N,), got {sharp.shape} and {clipped.shape}")
    mask = np.ones(len(sharp), dtype=np.bool_)
    if min_sharpness is not None:
        mask &= sharp >= min_sharpness
    if max_clipped is not None:
        mask &= clipped <= max_clipped
    return mask
