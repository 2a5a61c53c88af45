"""Pickles, whatever they are called: no function that takes weights, arrays or a model folder unpickles one."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from attacks.guard import cli, refused
from attacks.makers import npy, npz, pickled, safetensors


def torch_zip(path: Path, mark: Path) -> None:
    """A checkpoint in torch's form, without torch: a zip with a pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(mark))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")


def legacy(path: Path, mark: Path) -> None:
    """A checkpoint in torch's form before zips: pickles one after another."""
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(parts) + pickled(mark) + pickle.dumps([], 2))


def plain(path: Path, mark: Path) -> None:
    path.write_bytes(pickled(mark, 4))


def tar(path: Path, mark: Path) -> None:
    """A checkpoint in torch's oldest form: a tar, here with a member that leads out."""
    with tarfile.open(path, "w") as archive:
        for name in ("../../outside/mark", "pickle"):
            info = tarfile.TarInfo(name)
            data = pickled(mark)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def deep(path: Path, mark: Path) -> None:
    """Lists in lists, which end a process whose stack they fill."""
    path.write_bytes(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("make", [torch_zip, legacy, plain, tar, deep])
def test_weights_are_never_unpickled(work, outside, make, suffix):
    pytest.importorskip("torch")
    from evfr._core.tensor_files import read_state_dict

    path = work / f"weights{suffix}"
    make(path, outside.mark)
    said = r"is a pickle, which can run code and is never opened"
    said = r"no safetensors file" if suffix == ".safetensors" else said
    refused(lambda: read_state_dict(path, extra="train"), said, megabytes=2048)


def loaders():
    from evfr import models, training

    return {
        "detector": models.open_detector,
        "maskrcnn detector": lambda path: models.open_detector(path, kind="maskrcnn", names=["a"]),
        "covos features": models.low_level_features,
        "covos decoder": lambda path: models.covos_decoder(path),
        "vgg": lambda path: models.vgg_taps(path),
        "trained maskrcnn": training.load_maskrcnn,
        "trained segmentation": training.load_segmentation,
        "trained svm": training.load_svm,
        "trained tiny": training.load_tiny,
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("detector", "maskrcnn detector", "covos features", "covos decoder", "vgg"),
        *("trained maskrcnn", "trained segmentation", "trained svm", "trained tiny"),
    ],
)
def test_every_loader_refuses_a_pickle(work, outside, name):
    pytest.importorskip("torchvision")
    load = loaders()[name]
    for make in (torch_zip, plain):
        path = work / "weights.pt"
        make(path, outside.mark)
        refused(lambda path=path: load(path), r"weights\.pt", megabytes=4096)


def test_a_run_is_not_resumed_from_a_pickle(work, outside):
    torch = pytest.importorskip("torch")
    from evfr.training import Recipe
    from evfr.training._checkpoints import resume

    module = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    path = work / "checkpoint.safetensors"
    for make in (torch_zip, plain):
        make(path, outside.mark)
        refused(
            lambda: resume(torch, module, optimizer, None, Recipe(iterations=1), path),
            r"checkpoint\.safetensors is no checkpoint of evfr: it is no whole safetensors file",
            megabytes=2048,
        )


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.pkl", "tf_model.h5"])
def test_a_model_folder_with_code_and_pickles_is_refused(work, outside, weights):
    """``auto_map`` names Python in the folder that transformers would run if it were allowed to."""
    from evfr.embeddings._hub import open_checkpoint
    from evfr.propagation._session_transformers import _model_type

    folder = work / "model"
    folder.mkdir()
    (folder / weights).write_bytes(pickled(outside.mark))
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(outside.mark)!r})\nclass Model: pass\n")
    for kind in ("dinov2", "sam2_video"):
        told = {"model_type": kind, "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Model"}}
        (folder / "config.json").write_text(json.dumps({**told, "trust_remote_code": True}))
        refused(
            lambda: open_checkpoint(str(folder)), r"no weights as safetensors|a pickle, which can run code"
        )
    refused(lambda: _model_type(folder), r"has no \*\.safetensors|holds a model of type")


@pytest.mark.slow  # transformers is imported
def test_code_beside_safetensors_is_not_run(work, outside):
    """The weights are sound in form, so that transformers is asked, with code and a pickle beside them."""
    pytest.importorskip("transformers")
    from evfr.embeddings import make_embedder
    from evfr.propagation import open_session

    folder = work / "model"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(pickled(outside.mark))
    safetensors(
        folder / "model.safetensors", {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)
    )
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(outside.mark)!r})\nclass Model: pass\n")
    processor = {
        "image_processor_type": "BitImageProcessor",
        "auto_map": {"AutoImageProcessor": "evil.Model"},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    for kind in ("dinov2", "unheard_of", "sam2_video"):
        told = {"model_type": kind, "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Model"}}
        (folder / "config.json").write_text(json.dumps({**told, "trust_remote_code": True}))
        for door in (make_embedder, open_session):
            with pytest.raises((ValueError, Exception), match=r"."):
                made = door(str(folder))
                made()  # a session loads when it is made


def arrays(path: Path, door: str):
    """Return what a door does with an ``.npz`` file."""
    from evfr.metrics import CocoMatches
    from evfr.sampling import fps_faiss

    if door == "clips":
        from evfr.experiments._plan import CLIPS, load_clips

        (path.parent / CLIPS).mkdir(exist_ok=True)
        path.replace(path.parent / CLIPS / "train-0000.npz")
        load_clips.cache_clear()
        return lambda: load_clips(path.parent, "train")
    if door == "matches":
        return lambda: CocoMatches.load(path)
    if door == "points":
        return lambda: fps_faiss.FarthestPointSampler(npz_key="x").sample(paths=[path], k=1)
    raise AssertionError(door)


@pytest.mark.parametrize("door", ["clips", "matches", "points"])
@pytest.mark.parametrize("form", ["objects", "no array", "no zip"])
def test_arrays_of_objects_are_refused(work, outside, door, form):
    path = work / "arrays.npz"
    data = pickled(outside.mark)
    if form == "no zip":
        path.write_bytes(data)
    else:
        npz(path, x=data if form == "no array" else npy("(1,)", "'|O'", data))
    refused(arrays(path, door), r"arrays\.npz|train-0000\.npz")


def test_a_cached_clip_of_objects_is_made_anew(work, outside):
    from evfr.verbs._labelled_clips_cache import load

    path = npz(work / "clip.npz", counts=npy("(1,)", "'|O'", pickled(outside.mark)))
    assert load(path, "a", ("x",)) is None


def test_samples_of_objects_are_refused(work, outside):
    from dataclasses import fields

    from evfr.training import CovosSamples

    for part in fields(CovosSamples):
        (work / f"{part.name}.npy").write_bytes(npy("(1,)", "'|O'", pickled(outside.mark)))
    refused(lambda: CovosSamples.load(work), r"holds no whole samples of CoVOS")


def test_an_index_of_neighbours_is_read_only_as_it_was_written(work, outside):
    pytest.importorskip("faiss")
    from evfr.embeddings._neighbour_file import load_index

    path = work / "index"
    path.write_bytes(pickled(outside.mark))
    (work / "index.json").write_text(json.dumps({"hash": "0" * 32, "rows": 4, "metric": "cosine"}))
    assert load_index(np.eye(4, dtype=np.float32), path) is None


@pytest.mark.slow
@pytest.mark.parametrize("command", ["propose", "embed"])
def test_the_command_line_runs_no_weights(work, outside, command, capsys, data_dir):
    pytest.importorskip("torch")
    weights = work / "model.pt"
    torch_zip(weights, outside.mark)
    clip = data_dir / "video" / "cars_topdown.mp4"
    words = {
        "propose": (clip, "--detector", weights, "--out", work / "labels.parquet"),
        "embed": (clip, "--model", "resnet50", "--weights", weights),
    }[command]
    assert cli(command, *words) in (1, 2, 3)
    lines = capsys.readouterr().err.splitlines()
    assert any("model.pt" in line for line in lines), lines
    assert not any("internal error" in line for line in lines), lines
