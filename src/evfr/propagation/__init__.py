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

from typing import TYPE_CHECKING

from evfr.propagation._boxes import carry_boxes
from evfr.propagation._copy import copy
from evfr.propagation._covos import covos
from evfr.propagation._covos_cost import CovosCost
from evfr.propagation._flow import default, flow, motion
from evfr.propagation._forward import ForwardCarry, ForwardLabel
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
from evfr.propagation._linear import linear
from evfr.propagation._session import PropagationSession, SessionMaker, open_session, session
from evfr.propagation._session_cutie import cutie_session
from evfr.propagation._session_transformers import transformers_session
from evfr.propagation._steps import STEP_FIELDS, SharedSteps, best_fields, dis, dis_medium, farneback
from evfr.propagation._trackers import tracker
from evfr.propagation._trust import HeldOut, TrustDecision, apply_min_trust, carried_trust, held_out
from evfr.propagation._trust_check import (
    ExpectedIou,
    TrustCheck,
    calibration_error,
    check_trust,
    expected_iou,
    spearman,
)
from evfr.propagation._trust_model import (
    BUILT_IN_TRUST,
    TRUST_FEATURES,
    TrustModel,
    fit_trust,
    trust_features,
)
from evfr.propagation._trust_queue import ReviewQueue, review_queue

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BUILT_IN_TRUST",
    "PROPAGATORS",
    "SIDES",
    "STEP_FIELDS",
    "TRUST_FEATURES",
    "Carried",
    "CarryEnd",
    "CovosCost",
    "Evidence",
    "ExpectedIou",
    "ForwardCarry",
    "ForwardLabel",
    "HeldOut",
    "Interval",
    "PropagationSession",
    "Propagator",
    "ReviewQueue",
    "SessionMaker",
    "SharedSteps",
    "Side",
    "TrustCheck",
    "TrustDecision",
    "TrustModel",
    "apply_min_trust",
    "assemble",
    "best_fields",
    "calibration_error",
    "carried_trust",
    "carry_boxes",
    "check_trust",
    "copy",
    "covos",
    "cutie_session",
    "default",
    "dis",
    "dis_medium",
    "expected_iou",
    "farneback",
    "fit_trust",
    "flow",
    "held_out",
    "label_of",
    "label_rows",
    "linear",
    "motion",
    "open_session",
    "review_queue",
    "session",
    "spearman",
    "tracker",
    "transformers_session",
    "trust_features",
]

PROPAGATORS: dict[str, Callable[..., Carried]] = {
    "copy": copy,
    "linear": linear,
    "tracker": tracker,
    "flow": flow,
    "motion": motion,
    "default": default,
    "session": session,
}
"""Every method of label carry by name."""
