"""Things that are no file, and sound files with names that break careless programs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from torture.case import Case, Maker, Workshop, copy, failed, ok

__all__ = ["CASES"]


def fifo(w: Workshop, path: Path) -> None:
    os.mkfifo(path)


def empty_folder(w: Workshop, path: Path) -> None:
    path.mkdir()


def loop(w: Workshop, path: Path) -> None:
    other = path.with_name("other.mp4")
    path.symlink_to(other)
    other.symlink_to(path)


def dangling(w: Workshop, path: Path) -> None:
    path.symlink_to(path.with_name("gone.mp4"))


def device(w: Workshop, path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(w: Workshop, path: Path) -> None:
    # The address of a socket may have 107 bytes only, so it is bound by a short relative name.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def locked(w: Workshop, path: Path) -> None:
    path.write_bytes(w.read("small.mp4"))
    path.chmod(0)


def link(w: Workshop, path: Path) -> None:
    target = path.with_name("target of the link")
    target.write_bytes(w.read("small.mp4"))
    path.symlink_to(target)


def inside_a_file(w: Workshop, path: Path) -> Path:
    path.write_bytes(w.read("small.mp4"))
    return path / "clip.mp4"


def named(name: str | bytes) -> Maker:
    """Write a sound clip of 10 frames under a name (below the case's folder)."""

    def make(w: Workshop, path: Path) -> Path:
        target = path.parent / (os.fsdecode(name) if isinstance(name, bytes) else name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(w.read("small.mp4"))
        return target

    return make


def absent(name: str) -> Maker:
    """Name something that is not there."""
    return lambda w, path: Path(name) if ":" in name else path.with_name(name)


_ROOT = os.geteuid() == 0

NO_FILES = (
    failed("fifo.mp4", fifo, "E_NOT_REGULAR"),
    failed("folder.mp4", empty_folder, "E_EMPTY E_NOT_REGULAR"),
    failed("loop.mp4", loop, "E_UNREADABLE"),
    failed("dangling.mp4", dangling, "E_NOT_FOUND"),
    failed("device.mp4", device, "E_NOT_REGULAR"),
    failed("socket.mp4", unix_socket, "E_NOT_REGULAR"),
    failed("absent.mp4", absent("absent.mp4"), "E_NOT_FOUND"),
    failed("inside_a_file", inside_a_file, "E_NOT_FOUND"),
    failed("name_too_long", absent("x" * 300 + ".mp4"), "E_NOT_FOUND E_UNREADABLE"),
    failed("url_http", absent("http://127.0.0.1:9/a.mp4"), "E_NOT_FOUND"),
    failed("url_concat", absent("concat:a.mp4|b.mp4"), "E_NOT_FOUND"),
    failed("url_pipe", absent("pipe:0"), "E_NOT_FOUND"),
    failed("url_lavfi", absent("lavfi:testsrc"), "E_NOT_FOUND"),
    # Root may read everything; anybody else is refused.
    ok("locked.mp4", 10, locked) if _ROOT else failed("locked.mp4", locked, "E_UNREADABLE"),
    ok("link.mp4", 10, link),
)

NAMES = (
    ok("name_newline", 10, named("two\nlines.mp4")),
    ok("name_quotes", 10, named('it\'s "quoted".mp4')),
    ok("name_percent", 10, named("%04d.mp4")),
    ok("name_markup", 10, named("[/x].mp4")),
    ok("name_markup_bold", 10, named("[bold red]clip[link=x].mp4")),
    ok("name_byte_ff", 10, named(b"caf\xff.mp4")),
    ok("name_dash", 10, named("-rf.mp4")),
    ok("name_html", 10, named("<img src=x onerror=alert(1)>.mp4")),
    ok("name_script", 10, named("</script><script>alert(1)</script>.mp4")),
    ok("name_glob", 10, named("a*b?c[0-9].mp4")),
    ok("name_space", 10, named("  two  spaces .mp4")),
    ok("name_none", 10, named(".mp4")),
    ok("name_no_suffix", 10, named("clip")),
    ok("name_wrong_suffix", 10, named("clip.txt")),
    ok("name_image_suffix", 10, named("clip.png")),
    ok("name_rtl", 10, named("\u202egnp.exe.mp4")),
    ok("name_emoji", 10, named("🎬 été 東京.mp4")),
    ok("name_escape", 10, named("\x1b]0;title\x07\x1b[31mred.mp4")),
    ok("name_backslash", 10, named("a\\b\\..\\c.mp4")),
    ok("name_protocol", 10, named("file:clip.mp4")),
    ok("name_pipe", 10, named("concat:a|b.mp4")),
    ok("name_list", 10, named("@list.mp4")),
    ok("name_formula", 10, named("=cmd|'calc'!A1.mp4")),
    ok("name_long", 10, named("x" * 251 + ".mp4")),
    ok("name_copy", 10, copy("small.mp4"), file="sm\u00f6ll.mp4"),
)

CASES: tuple[Case, ...] = (*NO_FILES, *NAMES)
