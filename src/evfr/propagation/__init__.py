"""Carry labels: labels on a few frames in, labels on every frame out, with what was measured to judge them.

A propagator is ``(interval, *, steps=None, <own options>) -> Carried``. An `Interval` is one stretch between two
labelled frames (or beyond the first or last one) and `Carried` has the labels of all its frames. The contract: labelled
frames come back as the same objects; tracks ascend by id; nothing is carried across a cut or a damaged frame, and
every object that did not get through is named in ``ends``; played backwards the result is the same. ``steps`` holds
makers of step fields by name, given by the caller ("proxy", "stream"); `STEP_FIELDS` are the family's own.

To add one: write one file with one function, add one line to `PROPAGATORS`, give `assemble` what was carried. Options
of the command line, contract tests and the reference page follow from its signature and docstring.
"""

from __future__ import annotations

from evfr.propagation._interval import (
    SIDES,
    Carried,
    CarryEnd,
    Evidence,
    Interval,
    Propagator,
    Side,
    assemble,
    label_of,
    label_rows,
)

__all__ = [
    "SIDES",
    "Carried",
    "CarryEnd",
    "Evidence",
    "Interval",
    "Propagator",
    "Side",
    "assemble",
    "label_of",
    "label_rows",
]
