"""What is vendored is what was published, and the page's own script keeps its promises."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import evfr.reports
from evfr.reports._carry_page import CARRY_SCRIPTS, CARRY_STYLES
from evfr.reports._page import SCRIPTS, STYLES
from evfr.reports._viewer_page import VIEWER_SCRIPTS, VIEWER_STYLES

FOLDER = Path(evfr.reports.__file__).parent
OWN = sorted((FOLDER / "assets").glob("*.js"))


def test_vendored_files_have_their_checksums() -> None:
    listed = {}
    for line in (FOLDER / "vendor" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        listed[name] = digest
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (FOLDER / "vendor").iterdir()
        if path.name not in ("SHA256SUMS", "README.md")
    }
    assert found == listed
    assert {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE.uplot.txt"} <= set(found)
    assert "MIT License" in (FOLDER / "vendor" / "LICENSE.uplot.txt").read_text()


def test_every_asset_is_used_and_is_ascii() -> None:
    templates = {"assets/template.html", "assets/viewer.html"}
    used = {*SCRIPTS, *STYLES, *CARRY_SCRIPTS, *CARRY_STYLES, *VIEWER_SCRIPTS, *VIEWER_STYLES, *templates}
    there = {f"{path.parent.name}/{path.name}" for path in (FOLDER / "assets").iterdir()}
    assert there == {name for name in used if name.startswith("assets/")}
    for name in used:
        text = (FOLDER / name).read_text(encoding="ascii")
        assert "</script" not in text or name.endswith(".html")
        assert "</style" not in text or name.endswith(".html")


def test_a_report_holds_no_script_that_asks_a_server() -> None:
    """What a report holds is offline; of the viewer's scripts, it has only those that know no server."""
    for scripts in (SCRIPTS, CARRY_SCRIPTS):
        assert not [name for name in scripts if "viewer" in name]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_own_script_puts_text_in_only_as_text(path: Path) -> None:
    text = path.read_text(encoding="ascii")
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc|cssText"
    assert re.findall(banned, text) == []
    asks = re.findall(r"\bfetch\b|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts", text)
    assert asks == (["fetch"] if path.name == "viewer_api.js" else [])
    assert re.findall(r'setAttribute\("(style|on)', text) == []
    assert not re.search(r"https?://", text)
    assert len(text.splitlines()) <= 400
    assert '"use strict";' in text


def test_own_style_asks_for_nothing() -> None:
    for name in sorted(path.name for path in (FOLDER / "assets").glob("*.css")):
        text = (FOLDER / "assets" / name).read_text()
        assert "url(" not in text and "@import" not in text
