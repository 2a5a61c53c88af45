"""What FiftyOne 1.22 and Datumaro 1.13 write of our exports comes back on its frames (helpers.real_tools wrote it)."""

from __future__ import annotations

from pathlib import Path

import pytest

import evfr
from helpers.exports import FRAMES
from helpers.real_tools import LOOPS, WRITTEN, export_for_tools

CHANGED = {
    # Datumaro makes polygons through the pixels' centres of masks: one pixel is gone on two sides.
    ("datumaro", "coco", True): 4,
    # FiftyOne rounds the boxes of its CVAT files to whole pixels; every box here has a half.
    ("fiftyone", "cvat", False): 8,
}
"""Objects that the tool itself changes, so that they count as a person's."""


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory, store: Path) -> dict[tuple[str, bool], Path]:
    """Return the folder of each export."""
    folder = tmp_path_factory.mktemp("real")
    return {(to, has_masks): out for to, has_masks, out in export_for_tools(folder, store)}


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: "-".join(map(str, loop)))
def test_labels_that_a_tool_read_and_wrote(
    loop: tuple[str, str, bool], exports: dict[tuple[str, bool], Path], tmp_path: Path
) -> None:
    tool, kind, has_masks = loop
    export = exports[kind, has_masks]
    file = WRITTEN / f"{tool}-{kind}-{'masks' if has_masks else 'boxes'}" / LOOPS[loop]
    result = evfr.import_(file, selection=export, out=tmp_path / "out.parquet")
    assert (result.matched_by_name, result.unmatched, result.missing, result.guessed) == (4, (), (), 0)
    assert result.labels.videos[0].frame_index.tolist() == list(FRAMES)
    assert len(result.labels) == 8
    assert result.untouched == 8 - CHANGED.get(loop, 0)
    before = evfr.annotations.read(export / "pre-annotations.parquet").with_boxes()
    after = result.labels.with_boxes()
    for frame in FRAMES:
        # Sorted by left edge: a tool may list objects in another order.
        mine, theirs = (
            sorted(value.boxes_xyxy[value.rows_at("my clip.mp4", frame)].tolist())
            for value in (before, after)
        )
        assert (
            max(abs(a - b) for m, t in zip(mine, theirs, strict=True) for a, b in zip(m, t, strict=True))
            <= 1.0
        )
