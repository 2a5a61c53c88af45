"""Show a selection or carried labels: one HTML page that opens offline, and figures for paper.

The contract: functions from values to text or files. `render_report` turns a `SelectionReport` into a page,
`read_report` turns the page back into the values, and `write_figures` draws the figures of
Yoon & Choi 2023 with matplotlib (extra ``plot``), as `write_training_figure` draws a run's losses.
`write_carry_report` makes the page of carried labels from a `CarryReport`, and `draw_labels` draws labels on a frame.
Nothing here reads a video.

To add a figure: a function in ``_figures.py`` and one line in its ``FIGURES``. To add something to the
page: a field with a default in ``_values.py``, its line in ``_encode.py`` (both ways), and its drawing in
``assets/``. ``vendor/`` holds uPlot as published, with its licence and checksums.
"""

from evfr.reports._carry_page import render_carry_report, write_carry_report
from evfr.reports._carry_values import (
    STATES,
    CarryObject,
    CarryPicture,
    CarryReport,
    ReviewRow,
    picture_frames,
)
from evfr.reports._figures import write_figures
from evfr.reports._overlay import draw_labels, track_colour
from evfr.reports._page import read_report, render_report
from evfr.reports._pictures import PackedThumbnails, Sheet, Thumbnails
from evfr.reports._thumbnails import pack_thumbnails, thumbnail_budgets, thumbnail_frames
from evfr.reports._training_figures import write_training_figure
from evfr.reports._values import Segment, SelectionReport, StrideRow, VideoReport

__all__ = [
    "STATES",
    "CarryObject",
    "CarryPicture",
    "CarryReport",
    "PackedThumbnails",
    "ReviewRow",
    "Segment",
    "SelectionReport",
    "Sheet",
    "StrideRow",
    "Thumbnails",
    "VideoReport",
    "draw_labels",
    "pack_thumbnails",
    "picture_frames",
    "read_report",
    "render_carry_report",
    "render_report",
    "thumbnail_budgets",
    "thumbnail_frames",
    "track_colour",
    "write_carry_report",
    "write_figures",
    "write_training_figure",
]
