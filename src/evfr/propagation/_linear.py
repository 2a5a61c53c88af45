"""Straight lines between boxes: what annotation tools do, and the measure of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from evfr.propagation._boxes_evidence import area_jumps, residuals
from evfr.propagation._boxes_labels import departures, is_whole, label_boxes
from evfr.propagation._boxes_pictures import GreyPictures
from evfr.propagation._interval import SIDES, Carried, CarryEnd, Interval, assemble

if TYPE_CHECKING:
    from evfr._core.motion import StepFieldMaker

__all__ = ["linear"]


def linear(interval: Interval, *, steps: Mapping[str, StepFieldMaker] | None = None) -> Carried:
    """Interpolate boxes linearly between two labels, and hold them still beside one (no source; plain practice).

    Parameters
    ----------
    interval : Interval
        Frames and labels. Of a label with a mask its box is interpolated; shapes are not.
    steps : mapping of str to StepFieldMaker, or None
        Not used.

    Returns
    -------
    Carried
        Boxes only, between the labelled frames. The pictures are read for the residual alone.

    Notes
    -----
    box_t = (1 - a) L + a R, corner by corner, a = (f_t - f_0) / (f_T - f_0) by frame index.

    A track that one frame labels keeps its box. Where the other end is labelled too but does not name the track,
    it has left somewhere on the way: it ends as ``"lost"`` where that end becomes the nearer one. At a cut or a
    damaged frame each side keeps its box up to there.
    """
    count, tracks, index = len(interval), interval.track_ids, interval.frame_index
    labels = {side: label_boxes(interval, side) for side in SIDES}
    boxes = np.full((count, len(tracks), 4), np.nan)
    has_both, leaves = is_whole(interval), departures(interval)
    share = ((index - index[0]) / max(int(index[-1] - index[0]), 1))[:, None]
    ends = []
    for k, track in enumerate(tracks.tolist()):
        left, right = labels["left"][k], labels["right"][k]
        if has_both and not np.isnan([left, right]).any():
            boxes[:, k] = (1.0 - share) * left + share * right
            continue
        for side in SIDES:
            if np.isnan(labels[side][k]).any():
                continue
            for t in interval.reach(side)[0]:
                if leaves.get((k, side)) == t:
                    ends.append(CarryEnd(track, int(index[t]), side, "lost"))
                    break
                boxes[t, k] = labels[side][k]
    pictures = GreyPictures(interval.frames)
    evidence = {
        "residual": residuals(interval, pictures, boxes),
        "area_jump": area_jumps(interval, boxes),
    }
    return assemble(interval, boxes_xyxy=boxes, evidence=evidence, ends=ends)
