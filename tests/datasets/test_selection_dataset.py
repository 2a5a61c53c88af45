"""The torch dataset over a selection: exact, in any order, in workers of any kind."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from evfr._core.selection import SELECTION_SCHEMA, Selection
from evfr._core.types import PTS_NONE
from evfr.datasets import FrameSample, SelectionDataset
from evfr.errors import ExtractionError, VideoError
from evfr.video import _sparse as sparse_module
from evfr.video import extract_frames, scan
from helpers.barcode import draw, encode, form, index_of

if TYPE_CHECKING:
    from pathlib import Path

    from evfr._core.types import FrameTable

WANTED = {"h264-mp4": (0, 3, 14, 17, 18, 30, 39), "chroma-only-264": (2, 9, 25), "vp9-webm": (11, 12, 13, 20)}


def select(paths: dict[str, Path], wanted: dict[str, tuple[int, ...]]) -> Selection:
    tables = {name: scan(path)[0] for name, path in paths.items()}
    rows = [(name, index, tables[name]) for name in paths for index in wanted[name]]

    def column(of: object) -> list[object]:
        return [of(table, index) for _, index, table in rows]

    def stamp(table: FrameTable, index: int) -> int | None:
        value = int(table.pts[index])
        return None if value == PTS_NONE else value

    columns = {
        "video_id": [name for name, _, _ in rows],
        "frame_index": [index for _, index, _ in rows],
        "pts": column(stamp),
        "time_base_num": column(lambda table, _: table.time_base.numerator),
        "time_base_den": column(lambda table, _: table.time_base.denominator),
        "time_seconds": column(lambda table, index: float(table.time_seconds[index])),
        "luma_hash": column(lambda table, index: int(table.luma_hash[index])),
        "weight": [None] * len(rows),
        "inclusion_probability": [None] * len(rows),
        "rank": list(range(len(rows))),
        "reason": ["test"] * len(rows),
        "gain": [None] * len(rows),
    }
    manifest = {"inputs": [{"video_id": name, "path": str(path)} for name, path in paths.items()]}
    return Selection(pa.table(columns, schema=SELECTION_SCHEMA), manifest)


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> Selection:
    folder = tmp_path_factory.mktemp("clips")
    paths = {name: encode(folder / f"{name}.{form(name).suffix}", form(name)) for name in WANTED}
    return select(paths, WANTED)


def shown(sample: FrameSample) -> int:
    image = sample.image.numpy().transpose(1, 2, 0)
    return index_of(image, is_chroma_only=sample.video_id.startswith("chroma-only"))


ROWS = [(name, index) for name, indices in WANTED.items() for index in indices]


def test_every_sample_is_its_row(selection: Selection) -> None:
    dataset = SelectionDataset(selection)
    assert isinstance(dataset, torch.utils.data.Dataset)
    assert len(dataset) == len(ROWS)
    assert repr(dataset) == "SelectionDataset(14 frames of 3 videos)"
    for row, (name, index) in enumerate(ROWS):
        sample = dataset[row]
        assert (sample.video_id, sample.frame_index, shown(sample)) == (name, index, index)
        assert (sample.image.shape, sample.image.dtype) == ((3, 64, 96), torch.uint8)
        pts = selection.table["pts"][row].as_py()
        assert sample.pts == (PTS_NONE if pts is None else pts)
        assert sample.time_seconds == selection.table["time_seconds"][row].as_py()


def test_pixels_equal_extraction(selection: Selection) -> None:
    dataset = SelectionDataset(selection)
    path = selection.sources["h264-mp4"]
    frames = list(extract_frames(path, WANTED["h264-mp4"], scan(path)[0]))
    for row, frame in enumerate(frames):
        np.testing.assert_array_equal(dataset[row].image.numpy(), frame.image.transpose(2, 0, 1))


@pytest.mark.parametrize("open_videos", [1, 4])
def test_any_order(selection: Selection, open_videos: int) -> None:
    dataset = SelectionDataset(selection, open_videos=open_videos)
    rng = np.random.default_rng(0)
    for row in rng.integers(-len(ROWS), len(ROWS), 60).tolist():
        name, index = ROWS[row]
        assert (dataset[row].video_id, shown(dataset[row])) == (name, index)
    for _ in range(10):
        rows = rng.integers(0, len(ROWS), 6).tolist()
        samples = dataset.__getitems__(rows)
        assert [(sample.video_id, shown(sample)) for sample in samples] == [ROWS[row] for row in rows]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.slow
def test_workers(selection: Selection, context: str) -> None:
    dataset = SelectionDataset(selection)
    dataset[1]
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=4, num_workers=2, multiprocessing_context=context, shuffle=False
    )
    batches = list(loader)
    assert all(isinstance(batch, FrameSample) for batch in batches)
    assert [shape for batch in batches for shape in [tuple(batch.image.shape)]] == [(4, 3, 64, 96)] * 3 + [
        (2, 3, 64, 96)
    ]
    seen = [(name, int(index)) for batch in batches for name, index in zip(batch[1], batch[2], strict=True)]
    assert seen == ROWS
    assert batches[0].pts.dtype == torch.int64
    assert batches[0].time_seconds.dtype == torch.float64
    for batch in batches:
        for image, name, index in zip(batch.image, batch.video_id, batch.frame_index, strict=True):
            assert shown(FrameSample(image, name, int(index), 0, 0.0)) == index
    assert shown(dataset[2]) == ROWS[2][1]


def test_shuffled_batches(selection: Selection) -> None:
    loader = torch.utils.data.DataLoader(
        SelectionDataset(selection), batch_size=5, shuffle=True, generator=torch.Generator().manual_seed(1)
    )
    seen = sorted(
        (name, int(index)) for batch in loader for name, index in zip(batch[1], batch[2], strict=True)
    )
    assert seen == sorted(ROWS)


def test_transform_and_pickle(selection: Selection) -> None:
    dataset = SelectionDataset(selection, transform=torch.Tensor.float)
    before = dataset[3]
    copy = pickle.loads(pickle.dumps(dataset))
    assert before.image.dtype == torch.float32
    assert torch.equal(copy[3].image, before.image)


def test_packets_suffice_where_time_stamps_do(selection: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded the whole video")

    monkeypatch.setattr(sparse_module, "scan", refuse)
    dataset = SelectionDataset(selection)
    for row in [*range(7), *range(10, 14)]:
        assert shown(dataset[row]) == ROWS[row][1]
    with pytest.raises(AssertionError, match="decoded the whole video"):
        dataset[8]
    tables = {"chroma-only-264": scan(selection.sources["chroma-only-264"])[0]}
    assert shown(SelectionDataset(selection, tables=tables)[8]) == ROWS[8][1]


def test_images_are_a_video(tmp_path: Path) -> None:
    for index in range(6):
        Image.fromarray(draw(index)).save(tmp_path / f"{index}.png")
    dataset = SelectionDataset(select({"images": tmp_path}, {"images": (1, 4)}))
    assert [shown(dataset[row]) for row in range(2)] == [1, 4]


def test_a_changed_video_is_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", form("h264-mp4"))
    dataset = SelectionDataset(select({"a": path}, {"a": (5, 30)}))
    encode(path, form("h264-no-b"), 20)
    with pytest.raises(
        ExtractionError, match=r"frame 30 is not there, the video has 20; the file has changed"
    ):
        dataset[1]
    encode(path, form("h264-vfr-mp4"))
    with pytest.raises(ExtractionError, match="the file has changed"):
        dataset[1]
    path.unlink()
    with pytest.raises(VideoError, match="E_NOT_FOUND"):
        SelectionDataset(select_of_nothing(dataset, path))[0]


def select_of_nothing(dataset: SelectionDataset, path: Path) -> Selection:
    rows = dataset._rows[0]
    columns = {
        "video_id": ["a"],
        "frame_index": rows.frame_index[:1],
        "pts": rows.pts[:1],
        "time_base_num": [1],
        "time_base_den": [25],
        "time_seconds": rows.time_seconds[:1],
        "luma_hash": rows.luma_hash[:1],
        "weight": [None],
        "inclusion_probability": [None],
        "rank": [0],
        "reason": [""],
        "gain": [None],
    }
    manifest = {"inputs": [{"video_id": "a", "path": str(path)}]}
    return Selection(pa.table(columns, schema=SELECTION_SCHEMA), manifest)


def test_wrong_arguments(selection: Selection) -> None:
    dataset = SelectionDataset(selection)
    with pytest.raises(IndexError, match="index 14 is out of range for 14 samples"):
        dataset[14]
    with pytest.raises(IndexError, match="index -15 is out of range"):
        dataset[-15]
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        SelectionDataset(selection, threads=0)
    with pytest.raises(ValueError, match="open_videos must be 1 or more, got 0"):
        SelectionDataset(selection, open_videos=0)


def test_torch_is_loaded_on_first_use_only() -> None:
    code = (
        "import sys, evfr.datasets\n"
        "assert 'torch' not in sys.modules\n"
        "sys.modules['torch'] = None\n"
        "try:\n"
        "    evfr.datasets.SelectionDataset\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch is not installed; run: python -m pip install 'evfr[torch]'" in done.stdout


def test_unknown_name() -> None:
    import evfr.datasets

    with pytest.raises(AttributeError, match="has no attribute 'Other'"):
        _ = evfr.datasets.Other
    assert set(evfr.datasets.__all__) <= set(dir(evfr.datasets))
