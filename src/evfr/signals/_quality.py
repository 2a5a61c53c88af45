"""How good a picture is to label: sharp or blurred, well exposed or clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from evfr.signals._cuts import CONTENT_WIDTH
from evfr.signals._grey import resize_to_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clipped_share", "sharpness"]

DARKEST, BRIGHTEST = 4, 251
"""Grey levels beyond these hold no detail that a person could label."""


def sharpness(grey: NDArray[np.uint8]) -> float:
    """Measure how sharp a picture is: the variance of its Laplacian (Pech-Pacheco et al. 2000).

    Parameters
    ----------
    grey : (H, W) uint8
        Full-range grey picture; measured at most 320 px wide, so that noise does not count as detail.

    Returns
    -------
    float
        0 or more, in squared grey levels. It grows with the detail of the scene, so compare it only with
        other frames of the same video.

    References
    ----------
    Pech-Pacheco, Cristobal, Chamorro-Martinez & Fernandez-Valdivia, "Diatom autofocusing in brightfield
    microscopy: a comparative study", ICPR 2000.

    Examples
    --------
    >>> import numpy as np
    >>> sharpness(np.full((8, 8), 90, np.uint8))
    0.0
    """
    small = resize_to_width(grey, CONTENT_WIDTH)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(small, cv2.CV_16S))
    return float(deviation[0, 0]) ** 2


def clipped_share(grey: NDArray[np.uint8]) -> float:
    """Measure how much of a picture is too dark or too bright to show anything.

    Parameters
    ----------
    grey : (H, W) uint8
        Full-range grey picture; measured at most 320 px wide.

    Returns
    -------
    float
        Share of pixels at or below grey level 4 or at or above 251, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> clipped_share(np.array([[0, 90], [255, 90]], np.uint8))
    0.5
    """
    small = resize_to_width(grey, CONTENT_WIDTH)
    inside = cv2.countNonZero(cv2.inRange(small, np.array(DARKEST + 1), np.array(BRIGHTEST - 1)))
    return 1.0 - inside / small.size
