"""How training pictures are changed, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["JITTERS", "Augmentation"]

JITTERS = ("none", "standard", "large")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Say how training pictures are changed; nothing is by default.

    Attributes
    ----------
    jitter : {"none", "standard", "large"}
        Scale jitter: resize by U(.8, 1.25) or by U(.1, 2), then crop or pad to the size (Ghiasi et al. 2021).
    flip : float
        Probability of a mirrored picture, in [0, 1].
    copy_paste : float
        Probability that a picture receives objects of another one, in [0, 1] (simple copy-paste, Ghiasi et al. 2021).

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    jitter: Literal["none", "standard", "large"] = "none"
    flip: float = 0.0
    copy_paste: float = 0.0

    def __post_init__(self) -> None:
        if self.jitter not in JITTERS:
            raise ValueError(f"jitter must be one of {', '.join(JITTERS)}, got {self.jitter!r}")
        for name in ("flip", "copy_paste"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability in [0, 1], got {getattr(self, name)}")

    @property
    def is_identity(self) -> bool:
        """Whether pictures stay as they are."""
        return self.jitter == "none" and not self.flip and not self.copy_paste
