"""Videos that are addresses, scripts or playlists: no connection, no other file, one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacks.guard import cli, refused
from evfr._core.annotations import ObjectRow
from evfr.errors import InputError, VideoError
from helpers.labels import annotations_of
from torture.case import Workshop
from torture.cases_forms import PLAYLISTS
from torture.coding import encode

ADDRESSES = (
    *("http://127.0.0.1:{http}/a.mp4", "HTTP://127.0.0.1:{http}/a.mp4", "ftp://127.0.0.1:{tcp}/a.mp4"),
    *(
        "rtsp://127.0.0.1:{rtsp}/a",
        "rtmp://127.0.0.1:{tcp}/a",
        "rtp://127.0.0.1:{udp}",
        "srt://127.0.0.1:{udp}",
    ),
    *(
        "tcp://127.0.0.1:{tcp}",
        "udp://127.0.0.1:{udp}",
        "tls://127.0.0.1:{https}",
        "icecast://127.0.0.1:{http}/a",
    ),
    *(
        "httpproxy://127.0.0.1:{http}/a",
        "mmsh://127.0.0.1:{http}/a",
        "gopher://127.0.0.1:{http}/a",
        "sftp://127.0.0.1/a",
    ),
    *(
        "hls+http://127.0.0.1:{http}/a.m3u8",
        "crypto+http://127.0.0.1:{http}/a",
        "crypto:{secret}",
        "file:{secret}",
    ),
    *("file://{secret}", "concat:{secret}|{secret}", "concatf:{secret}", "subfile,,start,0,end,9,,:{secret}"),
    *("data:video/mp4;base64,AAAA", "cache:http://127.0.0.1:{http}/a", "async:http://127.0.0.1:{http}/a"),
    *(
        "pipe:0",
        "fd:0",
        "unix:{secret}",
        "md5:{secret}",
        "tee:{secret}",
        "ipfs://a",
        "lavfi:testsrc",
        "-",
        "|touch {mark}",
    ),
    *(
        "image2:frames/%03d.png",
        "%03d.png",
        "amovie={secret}",
        "gdigrab:desktop",
        "/dev/video0",
        "/dev/stdin",
    ),
)


def filled(text: str, listener, outside) -> str:
    ports = {name: getattr(listener, name) for name in ("http", "https", "rtsp", "tcp", "udp")}
    return text.format(secret=outside.secret, mark=outside.mark, **ports)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_no_video(work, outside, listener, address):
    """It is a name like any other: there is no such file. What is a device is no file."""
    from evfr.video import scan

    said = r"E_NOT_FOUND|E_NOT_REGULAR|E_UNREADABLE|E_EMPTY"
    refused(lambda: scan(filled(address, listener, outside)), said, VideoError, seconds=5)


def test_a_file_called_as_an_address_is_itself(work, listener):
    from evfr.video import scan

    for name in ("http:a.mp4", f"tcp:127.0.0.1:{listener.tcp}", "concat:a|b.mp4", "%03d.mp4", "pipe:0", "-i"):
        encode(work / "clip.mp4", "libx264", count=2, size=(64, 64))
        (work / "clip.mp4").rename(work / name)
        assert len(scan(name)[0]) == 2


@pytest.mark.slow
def test_the_command_line_takes_no_address(work, outside, listener, capsys):
    words = [filled(address, listener, outside) for address in ADDRESSES if not address.startswith("-")]
    names = [word for word in words if "://" not in word]
    assert cli("inspect", "--", *names) == 3
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("evfr: bad input: ")]) == len(names)
    assert not any("internal error" in line for line in lines)
    for word in words:
        if "://" in word:
            assert cli("inspect", word) in (1, 3)
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1 and "internal error" not in lines[0], lines


@pytest.mark.parametrize("scheme", ["http", "https", "s3", "gs"])
def test_remote_files_need_leave(work, outside, listener, capsys, scheme):
    """Also from a list, a manifest or a list of prefixes that another begins like."""
    address = f"{scheme}://127.0.0.1:{listener.http}/a.mp4"
    (work / "list.txt").write_text(f"{address}\n")
    for words in (
        (address,),
        ("@list.txt",),
        (address, "--allow-remote", f"{scheme}://127.0.0.1:{listener.http}/b"),
    ):
        assert cli("inspect", *words) in (1, 2, 3)
        said = capsys.readouterr().err
        assert "127.0.0.1" in said and "internal error" not in said


def test_a_manifest_names_no_address(work, listener):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from evfr._core.selection import MANIFEST_FORMAT, MANIFEST_SCHEMA, SELECTION_SCHEMA
    from evfr.verbs.extract import extract

    told = {"format": MANIFEST_FORMAT, "schema": MANIFEST_SCHEMA, "parameters": {}, "problems": []}
    row = {field.name: ["a"] if pa.types.is_string(field.type) else [0] for field in SELECTION_SCHEMA}
    pq.write_table(pa.table(row).cast(SELECTION_SCHEMA), work / "selection.parquet")
    for scheme in ("https", "s3", "gs", "http"):
        address = f"{scheme}://127.0.0.1:{listener.https}/a.mp4"
        told["inputs"] = [{"video_id": "a", "path": address, "kind": "file"}]
        (work / "selection.json").write_text(json.dumps(told))
        refused(lambda: extract(work, out=work / "out"), r"127\.0\.0\.1", (InputError, VideoError))


@pytest.mark.parametrize("case", PLAYLISTS, ids=lambda case: case.name)
def test_playlists_and_scripts(work, outside, listener, case, data_dir, tmp_path):
    from evfr.video import scan

    path = case.write(Workshop(work / "bases", data_dir, listener.http), work / "case")
    refused(lambda: scan(path), "|".join(case.failures), VideoError, seconds=20)


SCRIPTS = {
    "segments.m3u8": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{http}/k"\n#EXTINF:1,\nfile://{secret}\n',
    "map.m3u8": '#EXTM3U\n#EXT-X-MAP:URI="data:,x"\n#EXTINF:1,\nconcat:{secret}|http://127.0.0.1:{http}/\n#EXT-X-ENDLIST\n',
    "list.ffconcat": "ffconcat version 1.0\nfile 'http://127.0.0.1:{http}/a'\nfile '{secret}'\noption safe 0\n",
    "graph.ffmeta": ";FFMETADATA1\ntitle=x\n[STREAM]\nurl=http://127.0.0.1:{http}/\n",
    "feed.imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://127.0.0.1:{http}/"><Id>x</Id></CompositionPlaylist>',
    "page.svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:{http}/a.png"/></svg>',
    "style.ass": "[Script Info]\n[V4+ Styles]\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,x,,0,0,0,,a\n",
    "clip.avs": 'DirectShowSource("http://127.0.0.1:{http}/a")\n',
    "clip.vpy": "import os\nos.mkdir('{mark}')\n",
    "clip.lua": "os.execute('mkdir {mark}')\n",
    "redirect.asf": "[Reference]\nRef1=http://127.0.0.1:{http}/a.asf?MSWMExt=.asf\n",
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("called", [None, "clip.mp4"], ids=["its own name", "clip.mp4"])
def test_texts_that_players_follow(work, outside, listener, name, called):
    from evfr.video import scan

    path = work / (called or name)
    path.write_text(filled(SCRIPTS[name].replace("{ffmpeg}", ""), listener, outside))
    refused(lambda: scan(path), r"E_CONTAINER|E_NO_VIDEO|E_NO_FRAMES", VideoError, seconds=10)


def _element(identity: str, data: bytes) -> bytes:
    return bytes.fromhex(identity) + (len(data) | 1 << 56).to_bytes(8, "big") + data


def test_a_matroska_file_that_links_and_brings_fonts(work, listener):
    """It names its neighbours by id and by file, attaches a font, and gives an address for it: it is read alone."""
    from evfr.video import scan

    path = work / "clip.mkv"
    encode(path, "libx264", count=4, size=(64, 64))
    (work / "next.mkv").write_bytes(path.read_bytes())
    data = path.read_bytes()
    place = data.find(bytes.fromhex("1549a966"))
    address = f"http://127.0.0.1:{listener.http}/font.ttf".encode()
    links = _element("3eb923", bytes(16)) + _element("3e83bb", b"next.mkv")
    font = (
        _element("466e", b"../x.ttf")
        + _element("4660", b"font/ttf")
        + _element("46ae", b"\1")
        + _element("465c", address)
    )
    tail = _element("1941a469", _element("61a7", font)) + _element("1549a966", links)
    path.write_bytes(data + tail)
    assert place > 0
    assert len(scan(path)[0]) == 4


def test_results_are_not_written_to_addresses(work, listener, capsys):
    for out in (
        f"http://127.0.0.1:{listener.http}/out",
        "s3://bucket/out",
        f"https://127.0.0.1:{listener.https}/o",
    ):
        encode(work / "clip.mp4", "libx264", count=4, size=(64, 64))
        assert cli("select", work / "clip.mp4", "--n", "1", "--executor", "serial", "--out", out) in (1, 2)
        assert "results are written to local folders only" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["draw", pytest.param("overlay", marks=pytest.mark.slow)])
def test_a_clip_is_written_to_a_file_whatever_its_folder_is_called(work, listener, verb):
    """FFmpeg takes ``tcp:...`` at the head of a relative path for a protocol, and connects."""
    from evfr.annotations import write
    from evfr.video.synthetic import draw_clip

    folder = Path(f"tcp:127.0.0.1:{listener.tcp}")
    folder.mkdir()
    if verb == "draw":
        draw_clip(folder / "drawn.mp4", seconds=2.0, size=(64, 64))
    else:
        encode(work / "clip.mp4", "libx264", count=2, size=(8, 8))
        row = ObjectRow("clip", 0, 1, 1, (1.0, 1.0, 4.0, 4.0))
        labels = write(annotations_of(row, size=(8, 8), frames=[0]), work / "a.parquet", format="evfr")
        assert cli("overlay", work / "clip.mp4", "--labels", labels, "--out", folder / "drawn.mp4") == 0
    assert (folder / "drawn.mp4").is_file()
