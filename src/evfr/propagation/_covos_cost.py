"""What a run of CoVOS costs, split as the paper splits it (Xu & Yao 2022, section 3.6)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CovosCost"]


@dataclass(slots=True)
class CovosCost:
    """Add up what a run costs: T = T_base R + (T_prop + T_corr) (1 - R) (Xu & Yao 2022, section 3.6).

    Attributes
    ----------
    key_count, carried_count : int
        Frames that the base, or labels, gave; frames that were carried.
    base_seconds, propagation_seconds, correction_seconds : float
        Wall time of the base on key frames; of features and warp; of matching and decoder.
    """

    key_count: int = 0
    carried_count: int = 0
    base_seconds: float = 0.0
    propagation_seconds: float = 0.0
    correction_seconds: float = 0.0

    @property
    def key_ratio(self) -> float:
        """R: share of key frames; NaN without a frame."""
        total = self.key_count + self.carried_count
        return self.key_count / total if total else float("nan")

    @property
    def base_per_key(self) -> float:
        """T_base in seconds per key frame."""
        return self.base_seconds / self.key_count if self.key_count else float("nan")

    @property
    def propagation_per_frame(self) -> float:
        """T_prop in seconds per carried frame."""
        return self.propagation_seconds / self.carried_count if self.carried_count else float("nan")

    @property
    def correction_per_frame(self) -> float:
        """T_corr in seconds per carried frame."""
        return self.correction_seconds / self.carried_count if self.carried_count else float("nan")

    def predicted(self, base_per_key: float | None = None) -> float:
        """Return T, the mean seconds per frame.

        Parameters
        ----------
        base_per_key : float or None
            Seconds of another base model on one frame; None takes that of this run.

        Returns
        -------
        float
            NaN where nothing was carried or nothing was segmented.
        """
        base = self.base_per_key if base_per_key is None else base_per_key
        ratio = self.key_ratio
        carried = self.propagation_per_frame + self.correction_per_frame
        return base * ratio + (carried * (1.0 - ratio) if self.carried_count else 0.0)

    def __str__(self) -> str:
        return (
            f"key frames {self.key_count} of {self.key_count + self.carried_count} (R {self.key_ratio:.3f}); "
            f"T_base {1e3 * self.base_per_key:.1f} ms, T_prop {1e3 * self.propagation_per_frame:.1f} ms, "
            f"T_corr {1e3 * self.correction_per_frame:.1f} ms; T {1e3 * self.predicted():.1f} ms a frame"
        )
