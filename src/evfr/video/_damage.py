"""Know which frames damage may have reached.

A damaged packet spoils its own frame and every frame decoded after it, until a clean key frame: one that decoded
without complaint. Pictures shown before that key frame but decoded after it (open GOP) still lean on what came
before. Decoding order is the order of packets (``order``), presentation order that of pts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

__all__ = ["Damage"]


class Damage:
    """Track damaged packets and clean key frames of one pass, in decoding order."""

    def __init__(self) -> None:
        self._damaged: list[int] = []
        self._keys: list[tuple[int, int | None]] = []

    def __bool__(self) -> bool:
        return bool(self._damaged)

    def add(self, order: int) -> None:
        """Record that the packet with this place in decoding order is damaged (or a lost one came before it)."""
        place = bisect_left(self._damaged, order)
        if place == len(self._damaged) or self._damaged[place] != order:
            self._damaged.insert(place, order)

    def add_key(self, order: int, pts: int | None) -> None:
        """Record a key frame that came out without complaint."""
        place = bisect_left(self._damaged, order)
        if place < len(self._damaged) and self._damaged[place] == order:
            return
        if self._damaged:
            insort(self._keys, (order, pts), key=lambda key: key[0])
        else:
            self._keys = [(order, pts)]
        self._forget()

    def reaches(self, order: int, pts: int | None) -> bool:
        """Whether damage may have reached the frame of this packet."""
        if not self._damaged:
            return False
        since = -1
        for key_order, key_pts in reversed(self._keys):
            if key_order <= order and (pts is None or key_pts is None or key_pts <= pts):
                since = key_order
                break
        # A key frame stands for itself: only damage after it counts.
        first = bisect_right(self._damaged, since)
        return first < len(self._damaged) and self._damaged[first] <= order

    def _forget(self) -> None:
        # Frames that lean on anything before the last few key frames have long been presented.
        if len(self._keys) > 8:
            self._keys = self._keys[-8:]
            self._damaged = self._damaged[max(0, bisect_left(self._damaged, self._keys[0][0]) - 1) :]
