"""A grid on a real street camera, split by time: plan, run and report as a user does, at the size of a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evfr.experiments import plan, report, run


@pytest.mark.slow
def test_forty_frames_of_one_camera_teach_what_it_shows_later(data_dir: Path, tmp_path: Path) -> None:
    """Trained on frames 470 to 1229, tested on 1270 to 1698: found where they are, not where others were."""
    split = {"version": 1, "by": "time", "buffer": "40f", "buffer_frames": {"highway_gt": 40}}
    sides = {"train": {"highway_gt": [[470, 1229]]}, "val": {"highway_gt": [[1270, 1698]]}}
    (tmp_path / "split.json").write_text(json.dumps(split | sides))
    made = plan(
        tmp_path / "hw",
        [data_dir / "research" / "highway_asp.avi"],
        labels=data_dir / "research" / "highway_gt.zip",
        label_format="cdnet",
        label_options={"last": 1699},
        split=tmp_path / "split.json",
        components=True,
        strides=(1, 20),
        samplers=("uniform",),
        copy_paste="none",
        iterations=150,
        learning_rate=4e-3,
        model_options={"batch_size": 8},
        seeds=2,
        no_timing=True,
    )
    assert dict(made.frames) == {"S1": 760, "S20 uniform": 38} and dict(made.tests) == {"new": 429}
    assert any("vanished by resizing" in text for text in made.warnings)
    assert run(tmp_path / "hw").left == 0
    found = report(tmp_path / "hw", no_figures=True)
    print(found)
    assert all(arm.mean > 0.1 and arm.mean > 3 * arm.blind for arm in found.arms)
    (only,) = found.verdicts
    assert only.clip_count == 1
    assert "(these test clips alone)" in (found.folder / "report.md").read_text()
