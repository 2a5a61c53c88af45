"""The docs are true: their commands and code run, links lead somewhere, the reference is fresh, words are one."""

from __future__ import annotations

import doctest
import functools
import importlib
import inspect
import itertools
import json
import re
import shlex
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import evfr
from evfr import cli

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
)
GENERATED = {"cli.md", "api.md"}
BLOCK = re.compile(r"(?:<!-- (not run|real clips): ([^>]+) -->\n+)?```(\w*)\n(.*?)\n```", re.DOTALL)
# Of a whole page, below its title: every block of it wants these files of EVFR_DATA in the folder where it runs.
PAGE_CLIPS = re.compile(r"\A# [^\n]+\n+<!-- real clips: ([^>]+) -->\n")


def blocks(page: Path, *, real_clips: bool = False) -> Iterator[tuple[str, str]]:
    """Yield (language, text) of the code blocks of a page that can run on drawn clips, or on real ones."""
    text = page.read_text()
    is_page_real = PAGE_CLIPS.match(text) is not None
    for mark, _, language, block in BLOCK.findall(text):
        is_real = is_page_real or mark == "real clips"
        if mark != "not run" and is_real == real_clips and page.name not in GENERATED:
            yield language, block


def clips_of(page: Path) -> list[str]:
    """Return the files of EVFR_DATA that a page asks for."""
    text = page.read_text()
    whole = PAGE_CLIPS.match(text)
    asked = [detail for mark, detail, _, _ in BLOCK.findall(text) if mark == "real clips"]
    return " ".join([whole[1] if whole else "", *asked]).split()


def commands(text: str) -> Iterator[tuple[list[str], int]]:
    """Yield (words, exit code wanted) for each `evfr` line of a shell block; ``# exit code 3`` asks for another."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("evfr "):
            words = shlex.split(line, comments=True)
            wanted = re.search(r"# exit code (\d+)", line)
            yield words[1:], int(wanted[1]) if wanted else 0


RUNNABLE = [
    page
    for page in PAGES
    if any(
        language == "python" or any(commands(text))
        for language, text in blocks(page)
        if language in ("python", "sh")
    )
]


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what the pages name: drive.mp4, footage/, damaged/, labels of all kinds."""
    from evfr.video import draw_clip, frames

    folder = tmp_path_factory.mktemp("docs")
    draw_clip(folder / "drive.mp4", seconds=3.0, seed=1, size=(320, 180))
    photo = next(iter(frames(folder / "drive.mp4"))).image
    Image.fromarray(photo).save(folder / "photo.jpg")
    videos = folder / "footage"
    videos.mkdir()
    for number in range(2):
        draw_clip(videos / f"cam{number}.mp4", seconds=2.0, seed=number, size=(320, 180))
    damaged = folder / "damaged"
    damaged.mkdir()
    whole = draw_clip(damaged / "sound.mkv", seconds=2.0, seed=2, size=(320, 180)).read_bytes()
    (damaged / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    rows = ["video_id,frame_index,category"]
    rows += [f"cam{v}.mp4,{t},{'car' if t % 3 else 'person'}" for v in range(2) for t in range(40)]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    write_drive_labels(folder)
    return folder


def write_drive_labels(folder: Path) -> None:
    """Write labels.json (four frames of drive.mp4), truth.json (all 75), and the truth as found: two objects move."""
    from evfr._core.annotations import AnnotatedVideo, Category, ObjectRow, VideoAnnotations
    from evfr._core.masks import Rle
    from evfr.annotations import write

    def rows(frames: list[int]) -> Iterator[ObjectRow]:
        for t in frames:
            for track, (x, y) in enumerate([(20 + 2 * t, 100), (220 - t, 60)], start=1):
                mask = np.zeros((180, 320), np.bool_)
                mask[y : y + 30, x : x + 40] = True
                yield ObjectRow("drive.mp4", t, 1, track, mask=Rle.from_mask(mask))

    for name, frames in (("labels.json", [0, 25, 50, 74]), ("truth.json", list(range(75)))):
        video = AnnotatedVideo("drive.mp4", 320, 180, np.array(frames))
        labels = VideoAnnotations.build([video], [Category(1, "car")], rows(frames)).with_boxes()
        write(labels, folder / name, format="coco")
    found = VideoAnnotations.build(
        [video], [Category(1, "car")], [replace(row, score=0.9) for row in labels.objects()]
    )
    write(found, folder / "found.parquet", format="evfr")
    write(labels, folder / "valid.json", format="ytvis")
    write(found, folder / "results.json", format="ytvis", results=True)
    truth = json.loads((folder / "truth.json").read_text())
    kept = ("image_id", "category_id", "segmentation", "bbox")
    detections = [{name: row[name] for name in kept} | {"score": 0.9} for row in truth["annotations"]]
    (folder / "detections.json").write_text(json.dumps(detections))


def in_this_process(map_videos: Any, fn: Any, items: Any, **options: Any) -> Any:
    """Map over videos as asked, but without child processes."""
    return map_videos(fn, items, **{**options, "executor": "serial"})


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_and_commands_run_in_order(
    page: Path, footage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(footage)
    monkeypatch.setenv("EVFR_STORE", str(footage / "store"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    # The pages are on trial here, not child processes, which cost a second each to start.
    monkeypatch.setattr(
        evfr.distributed, "map_videos", functools.partial(in_this_process, evfr.distributed.map_videos)
    )
    namespace: dict[str, Any] = {"__name__": "docs"}
    for language, text in blocks(page):
        run_block(page, language, text, namespace, capsys)


def run_block(
    page: Path, language: str, text: str, namespace: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Run the Python or the `evfr` lines of a block."""
    if language == "python":
        exec(compile(text, page.name, "exec"), namespace)
    elif language == "sh":
        for words, wanted in commands(text):
            with pytest.raises(SystemExit) as exit_:
                cli.main(words)
            assert exit_.value.code == wanted, f"evfr {shlex.join(words)}: {capsys.readouterr().err}"


def put_clip(asked: str, data_dir: Path, folder: Path) -> None:
    """Put a file of EVFR_DATA into a folder: `PATH`, `PATH=NAME`, or `ZIP!MEMBER` taken out of a zip."""
    path, _, name = asked.partition("=")
    path, _, member = path.partition("!")
    target = folder / (name or Path(member or path).name)
    if member:
        with zipfile.ZipFile(data_dir / path) as archive:
            target.write_bytes(archive.read(member))
    elif not target.exists():
        target.symlink_to(data_dir / path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if clips_of(page)], ids=lambda p: str(p.relative_to(ROOT))
)
def test_real_clips_give_what_the_page_prints(
    page: Path,
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for asked in clips_of(page):
        put_clip(asked, data_dir, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVFR_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(
        evfr.distributed, "map_videos", functools.partial(in_this_process, evfr.distributed.map_videos)
    )
    namespace: dict[str, Any] = {"__name__": "docs"}
    for language, text in blocks(page, real_clips=True):
        if language == "text":
            wrong = first_line_not_printed(text, capsys.readouterr().out)
            assert wrong is None, f"{page.name} shows a line that was not printed: {wrong}"
        else:
            run_block(page, language, text, namespace, capsys)


def first_line_not_printed(shown: str, printed: str) -> str | None:
    """Return the first line of a page's text block that the output lacks, in order; numbers may be near."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        if line.strip() and line.strip() != "..." and not any(is_near(line, other) for other in lines):
            return line
    return None


def is_near(shown: str, printed: str) -> bool:
    """Say whether two lines have the same words and nearly the same numbers; `...` stands for any rest.

    Numbers of a carry differ in the third digit from one build of x264 or OpenCV to the next.
    """
    pattern = r"-?\d*\.?\d+|[^\s\d]+"
    for one, other in itertools.zip_longest(re.findall(pattern, shown), re.findall(pattern, printed)):
        if one == "...":
            return True
        if one is None or other is None:
            return False
        if re.fullmatch(r"-?\d*\.?\d+", one) and re.fullmatch(r"-?\d*\.?\d+", other):
            if abs(float(one) - float(other)) > max(0.02, 0.03 * abs(float(one))):
                return False
        elif one != other:
            return False
    return True


def test_a_shown_line_is_compared_word_by_word() -> None:
    assert first_line_not_printed("vos 0.97 a\n...\nend", "x\nvos 0.98 a\nmore\nend\n") is None
    assert first_line_not_printed("vos 0.97", "vos 0.93") == "vos 0.97"
    assert first_line_not_printed("b\na", "a\nb") == "a"
    assert first_line_not_printed("next frames ...", "next frames 3, 4") is None
    assert first_line_not_printed("4 of 60", "4 of 60 frames") == "4 of 60"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name}: {target} does not exist"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{page.name}: no heading for {target}"


def test_every_page_can_be_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name == "index.md" or f"({name})" in index, f"docs/index.md does not name {name}"


def test_generated_reference_is_fresh() -> None:
    assert importlib.import_module("build_docs").stale_pages() == []


# Options that every command has, and of programs that a page names without the program.
COMMON_OPTIONS = {
    "--version",
    "--config",
    "--show-config",
    "--json",
    "--quiet",
    "--debug",
    "--help",
    "--strict",
}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def test_pages_name_functions_and_options_that_exist() -> None:
    ours = [*(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    options = {*COMMON_OPTIONS, *OPTION.findall(importlib.import_module("build_docs").cli_page())}
    options |= {option for script in ours for option in OPTION.findall(script.read_text())}
    wrong = []
    for page in [page for page in PAGES if page.name not in (*GENERATED, "CHANGELOG.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            if re.fullmatch(r"evfr(\.[A-Za-z_]\w*)+(\(.*)?", code) and not code.endswith(".toml"):
                wrong += [] if exists(code.partition("(")[0]) else [f"{page.name}: {code}"]
            is_of_another = re.match(r"(?!evfr )[a-z][\w.-]* ", code)
            for option in [] if is_of_another else OPTION.findall(code):
                if not {option, option.replace("--no-", "--")} & options:
                    wrong.append(f"{page.name}: {option}")
    assert wrong == []


def exists(name: str) -> bool:
    """Say whether a dotted name leads to a module or to something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        try:
            functools.reduce(getattr, parts[count:], found)
        except AttributeError:
            return False
        return True
    return False


def modules_with_examples() -> list[str]:
    """Return the modules of the package that have doctests."""
    package = Path(evfr.__file__).parent
    found = [path for path in sorted(package.rglob("*.py")) if ">>> " in path.read_text()]
    names = [".".join(path.relative_to(package.parent).with_suffix("").parts) for path in found]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVFR_STORE", str(tmp_path / "store"))
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0, f"python -m doctest {name}"


SYNONYMS = {
    "frame_index": {"frame_idx", "frame_id", "frame_number", "frame_no", "idx"},
    "time_seconds": {"timestamp", "timestamps", "time_s", "secs", "time_sec"},
    "is_iframe": {"is_keyframe", "keyframe", "is_key_frame"},
    "n": {"num_frames_to_select", "n_select", "num_samples", "k"},
    "dissimilarity": {"dissim", "difference_score"},
    "boxes_xyxy": {"boxes", "bbox", "bboxes"},
    "labeled": {"labelled", "annotated"},
    "seed": {"random_state", "rng_seed"},
}


def public_functions() -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, function) of everything public that takes parameters."""
    for module, name, value in importlib.import_module("public_names").public_names():
        if inspect.isfunction(value):
            yield f"{module}.{name}", value
        elif inspect.isclass(value):
            for method, member in importlib.import_module("public_names").public_methods(value):
                if inspect.isfunction(member):
                    yield f"{module}.{name}.{method}", member


# How many nearest neighbours a search returns is k everywhere; it selects nothing.
NEIGHBOURS = {("evfr.search", "k"), ("evfr.verbs.search.search", "k")}


def test_one_word_per_thing() -> None:
    banned = {synonym: word for word, synonyms in SYNONYMS.items() for synonym in synonyms}
    found = [
        f"{name}({parameter}): say {banned[parameter]}"
        for name, function in public_functions()
        for parameter in inspect.signature(function).parameters
        if parameter in banned and (name, parameter) not in NEIGHBOURS
    ]
    assert found == []


def test_glossary_has_every_name_that_a_user_types() -> None:
    from evfr.sampling import SAMPLERS
    from evfr.signals import PROFILES, SIGNALS

    glossary = (ROOT / "docs" / "glossary.md").read_text()
    for name in (*SAMPLERS, *SIGNALS, *PROFILES, *SYNONYMS):
        assert f"`{name}`" in glossary or f"**{name}**" in glossary, f"docs/glossary.md lacks {name}"
