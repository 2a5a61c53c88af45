"""What people see: every fact of a result, nothing folded on a wide screen, nothing obeyed from a file name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evfr._cli.printers import print_doctor, print_extract, print_inspect, print_select, print_summary

HOSTILE = "a\nb\x1b[31m[/x]<b>\udcff.mp4"


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def video(**changes: Any) -> SimpleNamespace:
    facts: dict[str, Any] = {
        "path": "drive.mp4",
        "status": "ok",
        "codec": "h264",
        "pixel_format": "yuv420p",
        "width": 960,
        "height": 540,
        "rotation": 0,
        "frame_count": 221,
        "claimed_frame_count": 221,
        "fps": 25.0,
        "is_variable_rate": False,
        "is_time_estimated": False,
        "duration_seconds": 8.84,
        "gop_length_mean": 27.625,
        "gop_length_max": 30,
        "picture_types": {"P": 213, "I": 8},
        "has_motion_vectors": True,
        "motion_vector_frame_count": 213,
        "motion_vector_lists": (0,),
        "intra_share": 0.031,
        "b_run_max": 0,
        "problems": (),
    }
    return SimpleNamespace(**{**facts, **changes})


def inspected(capsys: pytest.CaptureFixture[str], *videos: SimpleNamespace) -> str:
    print_inspect(SimpleNamespace(videos=videos))
    return capsys.readouterr().out


def test_inspect_has_a_row_per_video(capsys: pytest.CaptureFixture[str]) -> None:
    out = inspected(
        capsys, video(), video(path="b.mkv", rotation=90, is_variable_rate=True, claimed_frame_count=300)
    )
    header, _, first, second = out.splitlines()
    assert header.split() == [
        "file",
        "codec",
        "size",
        "frames",
        "fps",
        "duration",
        "GOP",
        "types",
        "MVs",
        "problems",
    ]
    assert first.split() == [
        "drive.mp4",
        "h264",
        "yuv420p",
        "960x540",
        "221",
        "25",
        "8.8",
        "s",
        "27.6",
        "(max",
        "30)",
        "I:8",
        "P:213",
        "213/213",
        "L0",
        "intra",
        "3%",
    ]
    assert "221 (claims 300)" in second
    assert "960x540 rot90" in second
    assert "25 VFR" in second


def test_inspect_says_what_vectors_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    types = {"I": 1, "P": 15, "B": 44}
    out = inspected(
        capsys,
        video(picture_types=types, b_run_max=3, motion_vector_lists=(0, 1), motion_vector_frame_count=59),
    )
    assert "B:44 I:1 P:15 (3 B in a row)" in out and "59/59 L0+1 intra 3%" in out
    plain = inspected(capsys, video(motion_vector_lists=(), intra_share=0.0))
    assert "213/213\n" in "\n".join(line.rstrip() for line in plain.splitlines()) + "\n"


def test_inspect_of_a_failed_video_and_of_unknown_rate(capsys: pytest.CaptureFixture[str]) -> None:
    codes = [SimpleNamespace(code="E_CONTAINER"), SimpleNamespace(code="E_CONTAINER")]
    out = inspected(capsys, video(status="failed", problems=codes, codec=None), video(fps=None))
    assert out.splitlines()[2].split() == ["drive.mp4", "E_CONTAINER"]
    assert " ? " in out.splitlines()[3]


def test_inspect_on_a_narrow_screen_folds_no_cell(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = inspected(capsys, video(has_motion_vectors=False))
    assert max(map(len, out.splitlines())) <= 60
    assert out.splitlines()[0] == "drive.mp4"
    assert "frames 221, fps 25" in " ".join(out.split())
    assert "MVs no" in out


@pytest.mark.parametrize("columns", ["60", "300"])
def test_no_name_reaches_the_terminal_unescaped(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    out = inspected(capsys, video(path=HOSTILE))
    assert r"a\nb\x1b[31m[/x]<b>\udcff.mp4" in out
    print_extract(SimpleNamespace(files={"x": ("1.jpg", "2.jpg"), "y": ()}, folder=HOSTILE))
    assert capsys.readouterr().out == "2 images of 1 videos in a\\nb\\x1b[31m[/x]<b>\\udcff.mp4\n"
    print_summary(f"one\ntwo {HOSTILE[4:]}")
    assert "\x1b" not in capsys.readouterr().out


def test_plan_of_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    entries = [
        {"video_id": "a.mp4", "claimed_frames": 100, "is_cached": False, "problem": None},
        {"video_id": "b.mp4", "claimed_frames": None, "is_cached": True, "problem": None},
        {
            "video_id": "c.mp4",
            "claimed_frames": None,
            "is_cached": False,
            "problem": "c.mp4: E_EMPTY: nothing",
        },
    ]
    plan = {"videos": entries, "decode_frames": 100, "decode_videos": 1, "seconds": 125.0, "jobs": 2}
    print_select(SimpleNamespace(plan=plan))
    out = capsys.readouterr().out
    assert "a.mp4   100                to be decoded" in out
    assert "b.mp4   ?                  in the store" in out
    assert "c.mp4   ?                  c.mp4: E_EMPTY: nothing" in out
    assert "would decode 100 frames of 1 videos in about 2:05 with 2 processes; nothing was written" in out
    print_select(SimpleNamespace(plan={**plan, "seconds": None}))
    assert "in an unknown time" in capsys.readouterr().out


def test_doctor_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    checks = [
        SimpleNamespace(status="ok", name="numpy", found="2.0", advice=""),
        SimpleNamespace(status="bad", name="opencv", found="two", advice="run this"),
    ]
    print_doctor(SimpleNamespace(checks=checks))
    out = capsys.readouterr().out
    assert "bad   opencv   two" in out
    assert out.endswith("opencv: run this\n")
