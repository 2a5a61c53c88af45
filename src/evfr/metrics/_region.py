"""Region similarity: how much of two masks is shared."""

from __future__ import annotations

from evfr._core.masks import Rle, iou

__all__ = ["region_similarity"]


def region_similarity(truth: Rle, predicted: Rle) -> float:
    """Return the region similarity J of two masks (DAVIS' J, Perazzi et al. 2016, Section 5).

    Parameters
    ----------
    truth, predicted : Rle
        Masks of one size.

    Returns
    -------
    float
        Shared over joint pixels, in [0, 1]; 1 if both masks are empty.

    Raises
    ------
    ValueError
        If the sizes differ.

    References
    ----------
    Perazzi et al., "A benchmark dataset and evaluation methodology for video object segmentation", CVPR 2016,
    doi:10.1109/CVPR.2016.85.

    Examples
    --------
    >>> import numpy as np
    >>> left, right = np.zeros((2, 4, 4), bool)
    >>> left[:, :2], right[:, 1:3] = True, True
    >>> region_similarity(Rle.from_mask(left), Rle.from_mask(right))
    0.3333333333333333
    """
    if (
        truth.is_empty
        and predicted.is_empty
        and (truth.height, truth.width)
        == (
            predicted.height,
            predicted.width,
        )
    ):
        return 1.0
    return iou(truth, predicted)
