"""What users give, turned into videos with printable, unique ids."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from evfr._core.types import Problem
from evfr.errors import InputError, ProblemCode, VideoError
from evfr.video import VideoSource, content_hash, failed_info, open_video, resolve_inputs
from evfr.video._inputs import kind_of


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make videos/{clip2,clip10}.mp4 with a thumbnail, videos/more/{a.MKV,b.txt}, shots/s1/*.jpg, shots/s2/*.png."""
    for name in (
        "videos/clip10.mp4", "videos/clip2.mp4", "videos/thumb.jpg", "videos/more/a.MKV", "videos/more/b.txt",
        "videos/.hidden.mp4", "shots/s1/1.jpg", "shots/s1/2.jpg", "shots/s2/1.png", "shots/readme.md",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "shots.zip", "w") as file:
        file.writestr("1.jpg", b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(*paths: str | Path) -> list[str]:
    return [source.video_id for source in resolve_inputs(paths)]


def kinds(*paths: str | Path) -> list[str]:
    return [source.kind for source in resolve_inputs(paths)]


def test_one_file_is_its_name(tree: Path) -> None:
    assert resolve_inputs(["videos/clip2.mp4"]) == (
        VideoSource("clip2.mp4", Path("videos/clip2.mp4"), "file"),
    )
    assert ids(tree / "videos" / "clip2.mp4") == ["clip2.mp4"]


def test_a_folder_of_videos_in_natural_order(tree: Path) -> None:
    assert ids("videos") == ["clip2.mp4", "clip10.mp4", "more/a.MKV"]
    assert kinds("videos") == ["file"] * 3
    assert ids(".") == ["shots/s1", "shots/s2", "videos/clip2.mp4", "videos/clip10.mp4", "videos/more/a.MKV"]


def test_a_folder_of_images_is_one_video(tree: Path) -> None:
    assert resolve_inputs(["shots/s1"]) == (VideoSource("s1", Path("shots/s1"), "images"),)
    assert ids("shots") == ["s1", "s2"]
    assert kinds("shots") == ["images", "images"]
    assert kinds("shots.zip") == ["archive"]


def test_ids_start_at_the_common_parent(tree: Path) -> None:
    assert ids("videos/clip2.mp4", "shots/s1") == ["videos/clip2.mp4", "shots/s1"]
    assert ids("videos/clip2.mp4", "videos/more/a.MKV") == ["clip2.mp4", "more/a.MKV"]


def test_the_same_path_twice_counts_once(tree: Path) -> None:
    assert ids("videos/clip2.mp4", "./videos/clip2.mp4", "videos") == [
        "clip2.mp4",
        "clip10.mp4",
        "more/a.MKV",
    ]


def test_globs_only_where_no_such_path_exists(tree: Path) -> None:
    assert ids("videos/*.mp4") == ["clip2.mp4", "clip10.mp4"]
    assert ids("**/*.MKV") == ["a.MKV"]
    (tree / "[1].mp4").write_bytes(b"x")
    (tree / "1.mp4").write_bytes(b"x")
    assert ids("[1].mp4") == ["[1].mp4"]
    assert ids("nothing*.mp4") == ["nothing*.mp4"]


def test_lists(tree: Path) -> None:
    (tree / "videos" / "list.txt").write_text("# two\nclip10.mp4\r\n\n@more.txt\n")
    (tree / "videos" / "more.txt").write_text("more/a.MKV\n../shots/s1\n")
    assert ids("@videos/list.txt") == ["videos/clip10.mp4", "videos/more/a.MKV", "shots/s1"]
    (tree / "@at.mp4").write_bytes(b"x")
    assert ids("@at.mp4") == ["@at.mp4"]
    (tree / "loop.txt").write_text("@loop.txt\n")
    with pytest.raises(InputError, match="lists name lists more than 8 deep"):
        resolve_inputs(["@loop.txt"])
    with pytest.raises(InputError, match=r"the list cannot be read: .*no such file"):
        resolve_inputs(["@none.txt"])
    (tree / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match=r"no videos in what was given \(@empty\.txt\)"):
        resolve_inputs(["@empty.txt"])
    with open(tree / "big.txt", "wb") as file:  # noqa: PTH123
        file.truncate((1 << 26) + 1)
    with pytest.raises(InputError, match="is larger than 64 MiB"):
        resolve_inputs(["@big.txt"])


def test_what_does_not_exist_becomes_a_source(tree: Path) -> None:
    assert resolve_inputs(["none.mp4"]) == (VideoSource("none.mp4", Path("none.mp4"), "file"),)
    (tree / "void").mkdir()
    assert resolve_inputs(["void"]) == (VideoSource("void", Path("void"), "images"),)
    with pytest.raises(VideoError) as caught:
        open_video("void")
    assert caught.value.problem.code is ProblemCode.E_EMPTY


def test_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match=r"no videos in what was given \(nothing\)"):
        resolve_inputs([])
    with pytest.raises(InputError, match="an empty path was given"):
        resolve_inputs([""])
    with pytest.raises(TypeError, match="paths must be a sequence of paths, got one path 'a'"):
        resolve_inputs("a")


ODD = ("a\nb.mp4", "it's \"q\".mp4", "%04d.mp4", "[x].mp4", "-i.mp4", "<b>&.mp4", "\x1b[31m.mp4", "file:x.mp4",
       os.fsdecode(b"caf\xff.mp4"), "concat:a|b.mp4", " .mp4", "a\\nb.mp4", "\u202egnp.mp4", "#c.mp4")  # fmt: skip


def test_odd_names_stay_themselves_and_print(tmp_path: Path) -> None:
    for name in ODD:
        (tmp_path / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    sources = resolve_inputs([tmp_path])
    assert {os.path.basename(source.path) for source in sources} == set(ODD)  # noqa: PTH119
    assert all(source.video_id.isprintable() for source in sources)
    assert len({source.video_id for source in sources}) == len(ODD)
    for source in sources:
        assert len(content_hash(source.path)) == 32
        with pytest.raises(VideoError) as caught:
            open_video(source.path)
        assert caught.value.problem.code is ProblemCode.E_CONTAINER
        assert str(caught.value).isprintable()


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4").write_bytes(b"x")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "gone.mp4").symlink_to("nowhere.mp4")
    assert ids(tmp_path) == ["a/gone.mp4", "a/x.mp4"]


def test_kind_never_hangs_or_raises(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert [kind_of(p) for p in (tmp_path / "fifo", tmp_path / "none", tmp_path, "/dev/null")] == [
        "file", "file", "images", "file",
    ]  # fmt: skip


def test_failed_info_says_so(tmp_path: Path) -> None:
    problem = Problem(ProblemCode.E_EMPTY, "the file is empty", "x")
    info = failed_info(VideoSource("x", tmp_path / "x", "file"), problem)
    assert (info.status, info.problems, info.frame_count) == ("failed", (problem,), 0)
    assert info.to_dict()["problems"][0]["code"] == "E_EMPTY"
