"""The page as text: its policy, its escaping, its size, and that it can be read back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evfr.errors import SelectionFileError
from evfr.reports import (
    SelectionReport,
    Thumbnails,
    VideoReport,
    read_report,
    render_report,
    thumbnail_frames,
)
from helpers.report_data import HOSTILE, scene, selection_report, stride_rows, video_report


class Scan(HTMLParser):
    """Collect the tags of a page, and the text of its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in self.texts and data.strip():
            self.texts[self.tags[-1][0]].append(data)


def hostile_report() -> SelectionReport:
    videos = tuple(
        video_report(name, n_frames=20, n=2, reasons=(name, name), method_reason=name, with_thumbnails=False)
        for name in HOSTILE
    )
    return selection_report(videos, title=HOSTILE[1], manifest={name: name for name in HOSTILE})


def test_policy_names_the_hashes_of_the_only_script_and_style() -> None:
    html = render_report(selection_report())
    scan = Scan(html)
    policy = next(
        attrs["content"] for tag, attrs in scan.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "unsafe" not in policy and "http" not in policy
    runs = [attrs for tag, attrs in scan.tags if tag == "script" and attrs.get("type") != "application/json"]
    assert runs == [{}]
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    for name, texts in (("script-src", script), ("style-src", style)):
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"


def test_policy_stands_before_anything_that_could_load() -> None:
    scan = Scan(render_report(selection_report()))
    places = {
        attrs.get("http-equiv") or tag: place for place, (tag, attrs) in reversed(list(enumerate(scan.tags)))
    }
    assert places["Content-Security-Policy"] < min(places["script"], places["style"], places["link"])


def test_no_attribute_styles_or_handlers() -> None:
    for tag, attrs in Scan(render_report(hostile_report())).tags:
        assert not any(name == "style" or name.startswith("on") for name in attrs), tag


def test_hostile_text_stays_inside_its_block() -> None:
    html = render_report(hostile_report())
    plain = render_report(
        selection_report((video_report(n_frames=20, n=2, with_thumbnails=False),) * len(HOSTILE))
    )
    assert [tag for tag, _ in Scan(html).tags] == [tag for tag, _ in Scan(plain).tags]
    assert html.isascii()
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL):
        assert not set("<>&\u2028\u2029") & set(block)
    assert Scan(html).texts["title"] == [HOSTILE[1]]


def test_same_report_same_bytes() -> None:
    assert render_report(selection_report()) == render_report(selection_report())


def test_marks_in_data_are_not_filled_in() -> None:
    report = selection_report((), title="{{script}} {{data}}", command="{{style}}")
    html = render_report(report)
    assert "<title>{{script}} {{data}}</title>" in html
    assert '"command":"{{style}}"' in html


def assert_same(one: Any, other: Any, where: str = "") -> None:
    if isinstance(one, np.ndarray):
        rounded = one.astype(np.float32) if where.startswith("curves") else one
        np.testing.assert_array_equal(rounded, other, err_msg=where)
        assert one.dtype == other.dtype, where
    elif isinstance(one, VideoReport | SelectionReport):
        for field in fields(one):
            if field.name != "thumbnails":
                assert_same(getattr(one, field.name), getattr(other, field.name), field.name)
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for name in one:
            assert_same(one[name], other[name], where)
    elif isinstance(one, tuple) and where in ("videos", "strides"):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b, where)
    elif isinstance(one, float):
        np.testing.assert_equal(one, other, err_msg=where)
    else:
        assert repr(one) == repr(other), where


@pytest.mark.parametrize("name", ["plain", "hostile"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    report = hostile_report()
    if name == "plain":
        report = selection_report()
        report = replace(report, strides=stride_rows(report.videos), minimum=1)
        first = replace(report.videos[0], files=tuple(f"frames/ü {k}#.jpg" for k in range(90)), exclude=(3,))
        report = replace(report, videos=(first, *report.videos[1:]))
    page = tmp_path / "report.html"
    page.write_text(render_report(report), encoding="ascii")
    again = read_report(page)
    assert_same(report, again)
    for before, after in zip(report.videos, again.videos, strict=True):
        assert (before.thumbnails is None) == (after.thumbnails is None)
    second = tmp_path / "second.html"
    second.write_text(render_report(again), encoding="ascii")
    assert_same(again, read_report(second))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no report written by evfr select"),
        ("<html>", "no report written by evfr select"),
        ('<script type="application/json" id="evfr-report">{"schema":"other"}</script>', "schema 'other'"),
        ('<script type="application/json" id="evfr-report">{"schema"</script>', "no report written by"),
        ("\u00e9", "cannot be read as a report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, match: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(SelectionFileError, match=match):
        read_report(page)


def test_a_cut_report_is_refused(tmp_path: Path) -> None:
    html = render_report(selection_report())
    page = tmp_path / "page.html"
    page.write_text(html[: len(html) // 4], encoding="ascii")
    with pytest.raises(SelectionFileError, match="no report written by evfr select"):
        read_report(page)
    with pytest.raises(SelectionFileError, match="cannot be read as a report"):
        read_report(tmp_path / "absent.html")


def test_ten_videos_of_2000_frames_stay_under_15_mb() -> None:
    """Noise is the worst that JPEG can meet: the budget must hold all the same."""
    rng = np.random.default_rng(0)
    selected = np.arange(0, 2000, 10, dtype=np.int64)
    wanted = thumbnail_frames(selected, 2000)
    drawn = scene(wanted, 2000, 0, (256, 144))
    noise = rng.integers(0, 256, (len(wanted), 120, 214, 3), dtype=np.uint8)
    videos = tuple(
        video_report(
            f"clip {k}.mp4",
            n_frames=2000,
            n=200,
            seed=k,
            thumbnails=Thumbnails(wanted, noise if k < 3 else drawn),
        )
        for k in range(10)
    )
    html = render_report(selection_report(videos))
    assert len(html) < 15_000_000
    per_frame = (len(html) - len(render_report(selection_report(())))) / 20_000
    assert per_frame < 700, f"{per_frame:.0f} bytes a frame"


def test_a_long_video_stays_bounded() -> None:
    n = 100_000
    selected = np.arange(0, n, 10, dtype=np.int64)
    wanted = thumbnail_frames(selected, n)
    assert len(wanted) <= 2 * 1200 + 1 + 96
    video = video_report(
        "long.mp4",
        n_frames=n,
        n=0,
        with_thumbnails=False,
        selected=selected,
        reasons=("every tenth",) * len(selected),
        rank=np.arange(len(selected)),
        inclusion=np.full(len(selected), 0.1),
    )
    assert len(render_report(selection_report((video,)))) < 80 * n


def test_json_of_the_page_is_plain() -> None:
    """NaN and infinity are no JSON: they become null."""
    report = selection_report(
        parameters={"a": float("nan"), "b": np.float64("inf"), "c": np.arange(2), "d": {1}}
    )
    found = re.search(r'id="evfr-report">(.*?)</script>', render_report(report), re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["parameters"] == {"a": None, "b": None, "c": [0, 1], "d": [1]}
