"""What is fuzzed: for each kind of file its sound seeds, how it is damaged, and what reads it.

``run(path)`` must return, or raise an `EvfrError` (a ``ValueError`` only where it is documented); it also holds what
was read to what every reader promises. `ALLOWED` is the whole of what may come out.
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evfr.errors import EvfrError
from fuzz import seeds
from fuzz.mutators import (
    mutate_boxes,
    mutate_bytes,
    mutate_json,
    mutate_page,
    mutate_parquet,
    mutate_tensors,
    mutate_text,
    mutate_zip,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["ALLOWED", "TARGETS", "Kind", "kind_of_file", "place", "run_file"]

ALLOWED = (EvfrError,)
"""What may come out of any reader."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    Attributes
    ----------
    name : str
        Unique in its target; found files carry it.
    file_name : str
        What the file is called where it is read.
    seed : callable
        ``seed(folder) -> bytes`` of a sound file; the folder is for scratch.
    mutate : callable
        ``mutate(data, rng) -> bytes``.
    run : callable
        ``run(path)`` reads the file.
    also : tuple of type
        Errors besides `ALLOWED` that its documentation names.
    beside : callable or None
        ``beside(folder)`` puts sound files beside it, once.
    """

    name: str
    file_name: str
    seed: Callable[[Path], bytes]
    mutate: Callable[[bytes, random.Random], bytes]
    run: Callable[[Path], None]
    also: tuple[type[Exception], ...] = ()
    beside: Callable[[Path], None] | None = field(default=None)


def choice(data: bytes, count: int) -> int:
    """Return a number below ``count`` that follows from the bytes, so that replaying takes the same way."""
    return zlib.crc32(data) % count


# -- video ------------------------------------------------------------------------------------------------------------

MAX_PIXELS = 1 << 20


def read_clip(path: Path) -> None:
    """Decode all, fetch the first and last sound frames again, and hold both ways to the same pixels."""
    from evfr.errors import ExtractionError
    from evfr.video import extract_frames, inspect_video, open_video

    data = path.read_bytes()
    kept: dict[int, bytes] = {}
    damaged = ("drop", "keep", "fail")[choice(data, 3)]
    with open_video(
        path, damaged=damaged, motion_vectors=choice(data, 2) == 0, max_pixels=MAX_PIXELS
    ) as video:  # type: ignore[arg-type]
        last = -1
        for frame in video:
            assert frame.frame_index > last, "frames are out of order"
            last = frame.frame_index
            assert frame.luma().shape == frame.shape
            frame.motion_vectors()
            if last % 4 == 0:
                kept[last] = frame.rgb().tobytes()
        table = video.table()
        str(video.info)
        video.problems  # noqa: B018  (it may raise)
    assert len(table) > last, "the table lacks frames that were handed out"
    wanted = [index for index in kept if table.is_selectable[index]]
    if wanted:
        try:
            for frame in extract_frames(path, wanted, table):
                assert frame.image.tobytes() == kept[frame.frame_index], "another picture at the same index"
        except ExtractionError:
            pass
    inspect_video(path, max_pixels=MAX_PIXELS)


def _scan(path: Path, heartbeat: Any) -> int:
    heartbeat(0, None)
    from evfr.video import scan

    return len(scan(path, max_pixels=MAX_PIXELS)[0])


def contain_clips(path: Path) -> None:
    """Read the file and mutants of it in a child, as every command does: a value or a problem for each."""
    import random

    from evfr.distributed import map_videos
    from evfr.errors import ProblemCode

    data = path.read_bytes()
    rng = random.Random(zlib.crc32(data))
    paths = [path]
    for number in range(16):
        paths.append(path.with_name(f"{number}{path.suffix}"))
        paths[-1].write_bytes(_mutator(path.suffix[1:])(data, rng))
    outcomes = map_videos(
        _scan, paths, executor="processes", jobs=1, memory_limit_mb=1024, timeout_seconds=20, tries=1
    )
    for outcome, one in zip(outcomes, paths, strict=True):
        if outcome.problem is not None and outcome.problem.code in (
            ProblemCode.E_CRASH,
            ProblemCode.E_TIMEOUT,
        ):
            path.write_bytes(one.read_bytes())
            raise AssertionError(
                f"contained, but it should not happen: {outcome.problem}: {outcome.traceback}"
            )


def _mutator(kind: str) -> Callable[[bytes, random.Random], bytes]:
    return {"mp4": mutate_boxes, "mov": mutate_boxes, "zip": mutate_zip}.get(kind, mutate_bytes)


def _clips(run: Callable[[Path], None]) -> tuple[Kind, ...]:
    return tuple(
        Kind(kind, f"a.{kind}", partial(seeds.clip, kind=kind), _mutator(kind), run)
        for kind in (*seeds.CLIPS, "zip")
    )


def read_input_list(path: Path) -> None:
    """Resolve a list of inputs."""
    from evfr.video import resolve_inputs

    lines = [line.lstrip("@ ") for line in path.read_bytes().decode("latin-1").splitlines()]
    if not any(line.startswith("/") or ".." in line for line in lines):  # the whole machine is not walked
        resolve_inputs([f"@{path}"])


# -- labels -----------------------------------------------------------------------------------------------------------


def read_labels(path: Path, *, format: str, options: tuple[dict[str, Any], ...] = ({},)) -> None:
    """Read labels; what is accepted must go through the native table unchanged."""
    from evfr.annotations import read
    from evfr.annotations._native import read_native, write_native

    given = options[choice(path.read_bytes(), len(options))]
    is_guessed = not given and choice(path.read_bytes(), 5) == 0
    found = read(path, format="auto" if is_guessed else format, **given)
    back = read_native(write_native(found, path.with_name("back.parquet")))
    assert back.equals(found), "labels change on their way through evfr's own table"
    for video in found.videos:
        for index in video.frame_index[:3].tolist():
            if video.width * video.height <= 1 << 22:
                found.masks_at(video.video_id, index)
    found.with_boxes()


def _labels(name: str, file_name: str, format: str, *made: Any, options: Any = ({},), **writing: Any) -> Kind:
    mutate = {"json": mutate_json, "zip": mutate_zip, "parquet": mutate_parquet}.get(
        file_name.rpartition(".")[2], mutate_text
    )
    seed = partial(
        _label_seed, name=file_name, format=format, which=made[0] if made else "masks", writing=writing
    )
    return Kind(name, file_name, seed, mutate, partial(read_labels, format=format, options=options))


def _label_seed(folder: Path, *, name: str, format: str, which: str, writing: dict[str, Any]) -> bytes:
    here = folder / "labels"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(parents=True)
    return seeds.labels(here, name, format, which, **writing)


def _cvat_zip(folder: Path) -> bytes:
    xml = _label_seed(folder, name="a.xml", format="cvat", which="boxes", writing={})
    return seeds.archive({"annotations.xml": xml})


def read_map(path: Path) -> None:
    """Read a map of classes and apply it."""
    from evfr.annotations import merge_categories, read_category_map

    merge_categories(seeds.boxes(), read_category_map(path), absent="skip")


SIZE = {"width": 8, "height": 6}
LABELS = (
    _labels("evfr", "a.parquet", "evfr"),
    _labels("coco", "a.json", "coco", options=({}, {"by_order": True}, {"stills": True})),
    _labels("coco-boxes", "b.json", "coco", "boxes"),
    _labels("ytvis", "a.json", "ytvis"),
    _labels("davis", "a.zip", "davis"),
    _labels("masks", "a.zip", "masks", options=({"values": "tracks"}, {"values": {1: "a", 2: None}})),
    _labels("yolo", "a.zip", "yolo", "boxes", options=({"size": (8, 6)}, {})),
    _labels(
        *("yolo-polygons", "b.zip", "yolo"),
        shape="polygon",
        options=({"size": (16, 12), "shape": "polygon"},),
    ),
    _labels("mot", "a.txt", "mot", "boxes", options=(SIZE, {**SIZE, "kind": "detected"}, {})),
    _labels("mots", "a.txt", "mots", renumber=True),
    _labels("mots-png", "a.zip", "mots", renumber=True, kind="png"),
    _labels("cvat-video", "a.xml", "cvat", "boxes", options=({}, {"unsupported": "skip"})),
    _labels("cvat-images", "b.xml", "cvat", mode="images", options=({}, {"unsupported": "skip"})),
    Kind("cvat-zip", "a.zip", _cvat_zip, mutate_zip, partial(read_labels, format="cvat")),
    _labels("bdd-boxes", "a.json", "bdd100k", "boxes", options=({}, {"unsupported": "skip"})),
    _labels("bdd-masks", "b.json", "bdd100k", options=({}, {"unsupported": "skip", **SIZE})),
    _labels("bdd-bitmask", "a.zip", "bdd100k", kind="bitmask"),
    _labels(
        "studio-video", "a.json", "label-studio", "boxes", options=(SIZE, {"unsupported": "skip", **SIZE})
    ),
    _labels(
        "studio-images",
        "b.json",
        "label-studio",
        mode="images",
        options=({}, {"unsupported": "skip", "results": "predictions", **SIZE}),
    ),
    _labels("camvid", "a.zip", "camvid", "classes", options=({}, {"components": True})),
    _labels("cdnet", "a.zip", "cdnet", options=({}, {"components": True})),
    Kind("map-json", "a.json", lambda _: b'{"animal": ["object", "owl"], "b": ["c"]}', mutate_json, read_map),
    Kind("map-toml", "a.toml", lambda _: b'animal = ["object", "owl"]\nb = ["c"]\n', mutate_text, read_map),
)


# -- the store --------------------------------------------------------------------------------------------------------


def read_entry_file(path: Path, *, stage: str, made: Callable[[Path], tuple[str, bytes]]) -> None:
    """Read an entry in every way there is; what passes must be what was written."""
    from evfr._core import store_format
    from evfr._core.embedding_set import EmbeddingSet
    from evfr._core.store import Store

    scratch = path.parent
    name, sound = made(scratch / "made")
    original = store_format.read_entry(scratch / "made" / f"store-{made.__name__.split('_')[0]}" / name)
    root = scratch / "root"
    shutil.rmtree(root, ignore_errors=True)
    place_ = root / name
    place_.parent.mkdir(parents=True)
    place_.write_bytes(path.read_bytes())
    store = Store(root)
    (finding,) = store.verify()
    tries: tuple[Callable[[], Any], ...] = (
        lambda: store_format.read_head(place_),
        lambda: store_format.read_footer(place_),
        lambda: list(store_format.iterate_rows(place_, original.table.column_names)),
        lambda: store.compact(stage, out=scratch / "merged.parquet"),
        lambda: store.read_metadata(original.key),
        *([lambda: EmbeddingSet.open(store, memory_mb=0).to_array()] if stage == "embedding" else ()),
    )
    for attempt in tries:
        try:
            attempt()
        except EvfrError:
            continue
    entry = store.read_entry(original.key)
    assert finding.status == "ok", "verify refuses what read_entry accepts"
    assert entry.metadata == original.metadata, "other metadata under the same key"
    del sound


def read_remembered_hash(path: Path) -> None:
    """Ask for a hash that the cache remembers: whatever it holds, the answer is right."""
    from evfr._core.content_cache import _identity, cached_hash
    from evfr._core.store_format import digest_of

    video = path.with_name("video.bin")
    identity = _identity(video)
    assert identity is not None
    name = digest_of("hash", *identity)
    kept = path.parent / "hashes" / name[:2] / f"{name}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    data = path.read_bytes().replace(b"@identity", json.dumps(list(identity)).encode())
    kept.write_bytes(data)
    assert cached_hash(path.parent / "hashes", video, lambda _: "truth") == "truth"


def _a_video(folder: Path) -> None:
    (folder / "video.bin").write_bytes(b"x" * 10)


STORE = (
    Kind(
        "signals",
        "a.parquet",
        lambda folder: seeds.signals_entry(folder)[1],
        mutate_parquet,
        partial(read_entry_file, stage="signals", made=seeds.signals_entry),
    ),
    Kind(
        "embedding",
        "a.parquet",
        lambda folder: seeds.embedding_entry(folder)[1],
        mutate_parquet,
        partial(read_entry_file, stage="embedding", made=seeds.embedding_entry),
    ),
    Kind(
        "hash",
        "a.json",
        lambda _: b'{"identity": "@identity", "hash": "ab", "check": "ab"}',
        mutate_json,
        read_remembered_hash,
        beside=_a_video,
    ),
)


# -- manifests --------------------------------------------------------------------------------------------------------


def read_selection(path: Path) -> None:
    """Load a selection and use all that it offers; save it and load it again."""
    from evfr._core.selection import Selection

    found = Selection.load(path)
    found.problems, found.failed_count, found.plan, repr(found), found.to_dict()
    for video_id in found.sources:
        part = found.for_video(video_id)
        assert len(part.indices) == len(part)


def use_selection(path: Path) -> None:
    """Read the selection as every command does that takes one."""
    from evfr.verbs._request import frame_names

    frame_names([str(path.parent)], "include")


def read_both(path: Path) -> None:
    """Load it in both ways."""
    try:
        use_selection(path)
    except EvfrError:
        pass
    read_selection(path)


def _table_beside(folder: Path) -> None:
    (folder / "selection.parquet").write_bytes(seeds.selection_table())


def _manifest_beside(folder: Path) -> None:
    (folder / "selection.json").write_bytes(seeds.manifest())


def _list_beside(folder: Path) -> None:
    (folder / "b.txt").write_bytes(b"c.mkv\n")


def read_page(path: Path) -> None:
    """Read a report page back; what is accepted can be drawn again."""
    from evfr.reports import read_report, render_report

    render_report(read_report(path))


def read_split_file(path: Path) -> None:
    """Read a split; what is accepted comes back the same from its own file."""
    from evfr.verbs._split_value import read_split

    found = read_split(path)
    assert read_split(found.write(path.with_name("again.json"))) == found


def _split(_: Path) -> bytes:
    data = {
        "version": 1,
        "train": {"a.mp4": [[0, 99]], "b.mp4": [[0, 9], [20, 29]]},
        "val": {"b.mp4": [[12, 17]]},
    }
    more = {
        "dropped": {"b.mp4": [[10, 11], [18, 19]]},
        "by": "frame",
        "buffer": "2f",
        "buffer_frames": {},
        "seed": 3,
    }
    return json.dumps({**data, **more}).encode()


def read_plan_file(path: Path) -> None:
    """Read the plan of an experiment and walk through it."""
    from evfr.experiments._plan import read_plan

    plan = read_plan(path.parent)
    for cell in plan.cells[:3]:
        plan.recipe_of(cell)


def _plan(folder: Path) -> bytes:
    from evfr.experiments._arms import Arm, Comparison
    from evfr.experiments._plan import PLAN, Plan, write_plan
    from evfr.training import Recipe

    arms = (Arm("all", stride=1), Arm("half", stride=2))
    recipe = Recipe(iterations=4, learning_rate=1e-3, checkpoint_every=2)
    pair = (Comparison("half", "all"),)
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(
        Plan("custom", "tiny", "instances", {}, recipe, arms, pair, 2, {"new": ("a",)}, ("x",)), folder
    )
    return (folder / PLAN).read_bytes()


def read_grid_file(path: Path) -> None:
    """Read a grid of one's own."""
    from evfr.experiments._grid import read_grid

    read_grid(path)


GRID = b"""[[arm]]
name = "all"
stride = 1

[[arm]]
name = "few"
n = 10
sampler = "adaptive:ssim"
flip = 0.5

[[compare]]
arm = "few"
baseline = "all"
"""


def read_export_file(path: Path) -> None:
    """Read the map of an export; what is accepted comes back the same when it is written again."""
    from evfr.verbs._export_file import read_export, write_export

    found = read_export(path)
    list(found.picks())
    again = path.parent / "again"
    again.mkdir(exist_ok=True)
    other = read_export(write_export(replace(found, folder=again)))
    assert (other.frames, other.videos, other.categories) == (found.frames, found.videos, found.categories)


def _export(folder: Path) -> bytes:
    from fractions import Fraction

    from evfr._core.annotations import Category
    from evfr.verbs._export_file import write_export
    from evfr.verbs._export_package import ExportFrame, ExportPackage, ExportVideo

    here = folder / "export"
    here.mkdir(parents=True, exist_ok=True)
    video = ExportVideo("clip", "clip.mp4", "ab" * 16, 10, 16, 12)
    fields = {"sha256": "ab" * 32, "pixels_sha256": "cd" * 32}
    frames = tuple(
        ExportFrame(
            f"clip_f{i}.png", "clip", i, 40 * i, Fraction(1, 1000), i / 25, i, 16, 12, role, of, **fields
        )  # type: ignore[arg-type]
        for i, role, of in ((0, "label", None), (1, "context", 0), (3, "label", None))
    )
    package = ExportPackage(here, "coco", (video,), frames, (Category(1, "object"),), seeds.squares(4), 0.1)
    return write_export(package).read_bytes()


def _labels_beside(folder: Path) -> None:
    from evfr.annotations import write

    write(seeds.squares(4), folder / "pre-annotations.parquet", format="evfr")


def read_options(path: Path) -> None:
    """Read a file of options."""
    from evfr._core.config_file import read_config

    read_config(path)


def read_frame_list(path: Path) -> None:
    """Read a list of frames to include."""
    from evfr.verbs._request import frame_names

    frame_names([str(path)], "include")


def _frames_table(folder: Path) -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"video_id": ["a.mp4", "b.mp4"], "frame_index": [3, 7]}), sink)
    return sink.getvalue()


MANIFESTS = (
    Kind(
        "selection",
        "selection.json",
        lambda _: seeds.manifest(),
        mutate_json,
        read_both,
        beside=_table_beside,
    ),
    Kind(
        "selection-table",
        "selection.parquet",
        lambda _: seeds.selection_table(),
        mutate_parquet,
        read_both,
        beside=_manifest_beside,
    ),
    Kind("page", "report.html", lambda _: seeds.page(), mutate_page, read_page),
    Kind("split", "split.json", _split, mutate_json, read_split_file),
    Kind("plan", "plan.json", _plan, mutate_json, read_plan_file),
    Kind("grid", "grid.toml", lambda _: GRID, mutate_text, read_grid_file),
    Kind(
        "frames-csv",
        "a.csv",
        lambda _: b"video_id,frame_index\na.mp4,3\nb.mp4,7\n",
        mutate_text,
        read_frame_list,
        also=(ValueError,),
    ),
    Kind("frames-table", "a.parquet", _frames_table, mutate_parquet, read_frame_list, also=(ValueError,)),
    Kind("export", "export.json", _export, mutate_json, read_export_file, beside=_labels_beside),
    Kind(
        "options",
        "evfr.toml",
        lambda _: b'seed = 3\n[select]\nn = 10\nmethod = "systematic"\n',
        mutate_text,
        read_options,
        also=(ValueError,),
    ),
    Kind(
        "input-list",
        "a.txt",
        lambda _: b"# clips\na.mp4\nsub/*.mp4\n@b.txt\n",
        mutate_text,
        read_input_list,
        beside=_list_beside,
    ),
)


# -- models' configuration --------------------------------------------------------------------------------------------


def read_processor(path: Path) -> None:
    """Read how a model wants its pictures, and prepare one."""
    import numpy as np

    from evfr.embeddings._processor_config import preprocess_from_folder

    prepared = preprocess_from_folder(path.parent)
    repr(prepared), prepared.parameters
    del np


def read_checkpoint(path: Path) -> None:
    """Open a model folder."""
    from evfr.embeddings._hub import open_checkpoint

    open_checkpoint(str(path.parent))


def read_network_settings(path: Path) -> None:
    """Read what a network is."""
    from evfr.models._seq_maskrcnn_files import read_settings

    read_settings(path.with_name("model.safetensors"))


def read_tensors(path: Path) -> None:
    """Read names and tensors."""
    from evfr._core.tensor_files import read_state_dict, tensor_names

    tensor_names(path)
    read_state_dict(path, extra="train")


def _weights_beside(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(seeds.tensors())


def _config_beside(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"model_type": "vit"}')
    _shard_beside(folder)


def _shard_beside(folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(seeds.tensors())


def _json(data: Any) -> Callable[[Path], bytes]:
    return lambda _: json.dumps(data).encode()


PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
NETWORK = {
    "kind": "seq-maskrcnn",
    "categories": [{"id": 1, "name": "cell"}],
    "backbone": "resnet50",
    "channels": 64,
    "size": [512, 288],
    "memory_every": 5,
    "memory_limit": 4,
    "training": {},
}
INDEX = {"metadata": {}, "weight_map": {"x": "a.safetensors", "y": "a.safetensors"}}
CONFIG = (
    Kind("processor", "preprocessor_config.json", _json(PROCESSOR), mutate_json, read_processor),
    Kind(
        "processor-clip",
        "processor_config.json",
        _json(
            {
                "image_processor": {
                    "image_processor_type": "CLIPImageProcessorFast",
                    "size": {"shortest_edge": 224},
                }
            }
        ),
        mutate_json,
        read_processor,
    ),
    Kind(
        "processor-convnext",
        "preprocessor_config.json",
        _json(
            {
                "feature_extractor_type": "ConvNextFeatureExtractor",
                "size": 224,
                "crop_pct": 0.875,
                "resample": 3,
            }
        ),
        mutate_json,
        read_processor,
    ),
    Kind(
        "model-config",
        "config.json",
        _json({"model_type": "vit", "hidden_size": 4}),
        mutate_json,
        read_checkpoint,
        beside=_weights_beside,
    ),
    Kind(
        "weight-index",
        "model.safetensors.index.json",
        _json(INDEX),
        mutate_json,
        read_checkpoint,
        beside=_config_beside,
    ),
    Kind("network", "model.json", _json(NETWORK), mutate_json, read_network_settings),
    Kind("tensors", "a.safetensors", lambda _: seeds.tensors(), mutate_tensors, read_tensors),
)

TARGETS: dict[str, tuple[Kind, ...]] = {
    "decode": _clips(read_clip),
    "executor": _clips(contain_clips),
    "annotations": LABELS,
    "store": STORE,
    "manifests": MANIFESTS,
    "config": CONFIG,
}
"""Kinds of files by target."""


def place(kind: Kind, folder: Path, data: bytes) -> Path:
    """Write the file where it is read, with what belongs beside it, and return its path."""
    here = folder / kind.name
    if not here.is_dir():
        here.mkdir(parents=True)
        if kind.beside is not None:
            kind.beside(here)
    path = here / kind.file_name
    path.write_bytes(data)
    return path


def run_file(kind: Kind, folder: Path, data: bytes) -> BaseException | None:
    """Read the bytes; return the error that must not have come out, or None."""
    path = place(kind, folder, data)
    try:
        kind.run(path)
    except (*ALLOWED, *kind.also):
        return None
    except Exception as error:  # noqa: BLE001  (this is what is looked for)
        return error
    return None


@lru_cache(maxsize=1)
def _by_name() -> dict[tuple[str, str], Kind]:
    return {(target, kind.name): kind for target, kinds in TARGETS.items() for kind in kinds}


def kind_of_file(path: Path) -> Kind:
    """Return the kind of a kept file ``TARGET/KIND.what-it-is.suffix``."""
    key = (path.parent.name, path.name.split(".")[0])
    if key not in _by_name():
        raise SystemExit(f"{path}: no kind of file {key[1]!r} in target {key[0]!r}")
    return _by_name()[key]
