"""EVFR's documented interface: names, arguments, files and scripts as its README prints them, its defects absent."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evfr.datasets.image_folder import ImageFolderDataset
from evfr.embeddings.hf_dinov2 import HuggingFaceDinoV2Embedding
from evfr.errors import InputError
from evfr.sampling.fps_faiss import FarthestPointSampler
from helpers.checkpoints import save_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny DINOv2 with random weights."""
    return save_checkpoint("dinov2", tmp_path_factory.mktemp("model") / "dinov2")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with images of two sizes and modes, two of one name in different folders."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (
        ("a/1.jpg", (40, 60)),
        ("b/1.jpg", (40, 60)),
        ("b/2.png", (60, 40)),
        ("b/2.jpg", (60, 40)),
        ("c.PNG", (40, 60)),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name)
    Image.fromarray(rng.integers(0, 256, (40, 60), np.uint8)).save(folder / "grey.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def truth(folder: Path, pictures: list[Image.Image], *, pooling: str = "pooler") -> np.ndarray:
    """Run transformers itself, one picture at a time, as EVFR does."""
    import torch
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    with torch.no_grad():
        for picture in pictures:
            out = model(**processor(images=picture.convert("RGB"), return_tensors="pt"))
            row = out.pooler_output[0] if pooling == "pooler" else out.last_hidden_state[0].mean(0)
            rows.append(row.numpy())
    return np.array(rows)


def test_the_complete_example_of_the_readme(images: Path, model_folder: Path) -> None:
    model = HuggingFaceDinoV2Embedding(model_name=str(model_folder), device="cpu")
    dataset = ImageFolderDataset(root_dir=str(images))
    embeddings = model.extract_dataset(dataset, batch_size=8)
    expected = truth(model_folder, [Image.open(path) for path in dataset.image_paths])
    assert embeddings.shape == expected.shape and embeddings.dtype == np.float32
    assert np.allclose(embeddings, expected, atol=2e-2), np.abs(embeddings - expected).max()
    selected_indices = FarthestPointSampler(metric="cosine", device="cpu").sample(points=embeddings, k=3)
    assert len({dataset.image_paths[i] for i in selected_indices}) == 3


def test_extract_batch_and_dataset_agree(images: Path, model_folder: Path) -> None:
    dataset = ImageFolderDataset(root_dir=images)
    pictures = [dataset[i][0] for i in range(len(dataset))]
    for options in ({}, {"use_pooler": False}, {"use_processor": False}):
        model = HuggingFaceDinoV2Embedding(str(model_folder), device="cpu", **options)
        rows = model.extract_batch(pictures, batch_size=2)
        assert np.allclose(rows[3], model.extract(pictures[3]), atol=1e-5)
        assert np.allclose(rows, model.extract_dataset(dataset, batch_size=4, num_workers=2), atol=1e-5)
        assert np.allclose(rows, model.extract_batch([np.asarray(p) for p in pictures]), atol=1e-5)
    mean = HuggingFaceDinoV2Embedding(str(model_folder), use_pooler=False, device="cpu")
    assert np.allclose(mean.extract_batch(pictures), truth(model_folder, pictures, pooling="mean"), atol=2e-2)


def test_without_processor_the_model_gets_the_image_as_it_is(model_folder: Path) -> None:
    import torch
    from transformers import AutoModel

    picture = np.random.default_rng(1).integers(0, 256, (40, 48, 3), np.uint8)
    model = HuggingFaceDinoV2Embedding(str(model_folder), use_processor=False, device="cpu")
    with torch.no_grad():
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
        expected = (
            AutoModel.from_pretrained(model_folder).eval()(pixel_values=pixels).pooler_output[0].numpy()
        )
    assert np.allclose(model.extract(picture), expected, atol=1e-4)


def test_frames_of_another_kind_are_refused(model_folder: Path) -> None:
    model = HuggingFaceDinoV2Embedding(str(model_folder), device="cpu")
    with pytest.raises(TypeError, match="frames must be PIL images or"):
        model.extract(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        model.extract_batch([], batch_size=0)
    with pytest.raises(InputError, match=r"the model .* does not exist"):
        HuggingFaceDinoV2Embedding("/no/such/folder")


def plain(points: np.ndarray, first: int, k: int) -> list[int]:
    nearest = np.full(len(points), np.inf)
    taken = [first]
    while len(taken) < k:
        nearest = np.minimum(nearest, ((points - points[taken[-1]]) ** 2).sum(axis=1))
        taken.append(int(np.argmax(nearest)))
    return taken


@pytest.mark.parametrize("seed", range(4))
def test_sampler_takes_what_the_plain_loop_takes(seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((60, 5)).astype(np.float32)
    first = random.Random(seed).randrange(60)
    chosen = FarthestPointSampler(metric="L2", seed=seed).sample(points=points, k=9)
    assert chosen.dtype == np.int64 and chosen.tolist() == plain(points.astype(float), first, 9)
    unit = points.astype(float) / np.linalg.norm(points.astype(float), axis=1, keepdims=True)
    cosine = FarthestPointSampler(metric="cosine", seed=seed).sample(points=points, k=9)
    assert cosine.tolist() == plain(unit, first, 9)


def test_cosine_is_no_similarity_and_no_point_comes_twice() -> None:
    # EVFR's published code takes the most similar point here, and the first one again.
    points = np.array([[1.0, 0.0], [0.99, 0.01], [0.0, 1.0], [-1.0, 0.0]])
    sampler = FarthestPointSampler(metric="cosine", seed=0)
    chosen = sampler.sample(points=points, k=4)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3]
    opposite = {0: 3, 1: 3, 3: 0, 2: 3}
    assert chosen[1] == opposite[int(chosen[0])] or chosen[0] == 2
    assert sorted(FarthestPointSampler().sample(points=np.zeros((5, 2)), k=5).tolist()) == [0, 1, 2, 3, 4]


def test_sampler_reads_npz_files_and_leaves_unusable_points_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((6, 3)).astype(np.float32)
    points[2] = np.nan
    paths = []
    for row, point in enumerate(points):
        paths.append(tmp_path / f"{row}.npz")
        np.savez_compressed(paths[-1], embedding=point)
    chosen = FarthestPointSampler("L2", "cpu").sample(paths=paths, k=5)
    assert sorted(chosen.tolist()) == [0, 1, 3, 4, 5]
    with pytest.raises(ValueError, match=r"k must be 1 to 5, .* \(6 in all\), got 6"):
        FarthestPointSampler().sample(points=points, k=6)
    with pytest.raises(ValueError, match="k must be 1 to 5"):
        FarthestPointSampler().sample(points=points, k=0)
    with pytest.raises(InputError, match="has no array 'vector'; name it by npz_key="):
        FarthestPointSampler(npz_key="vector").sample(paths=paths, k=1)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"cannot read .*bad\.npz"):
        FarthestPointSampler().sample(paths=[tmp_path / "bad.npz"], k=1)
    with pytest.raises(InputError, match=r"cannot read .*gone\.npz"):
        FarthestPointSampler().sample(paths=[tmp_path / "gone.npz"], k=1)


def test_sampler_refuses_what_it_does_not_know() -> None:
    import torch

    with pytest.raises(ValueError, match="metric must be 'L2' or 'cosine', got 'l2'"):
        FarthestPointSampler(metric="l2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="device must be 'cpu' or 'gpu', got 'cuda'"):
        FarthestPointSampler(device="cuda")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give points or paths, one of them"):
        FarthestPointSampler().sample(k=1)
    with pytest.raises(ValueError, match=r"points must be \(N, D\), got \(3,\)"):
        FarthestPointSampler().sample(points=np.zeros(3), k=1)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'gpu' needs a CUDA device"):
            FarthestPointSampler(device="gpu")


@pytest.mark.gpu
@pytest.mark.parametrize("metric", ["L2", "cosine"])
def test_gpu_takes_the_same_points(metric: Any) -> None:
    points = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    points[7] = np.nan
    cpu = FarthestPointSampler(metric=metric, device="cpu").sample(points=points, k=40)
    assert (
        FarthestPointSampler(metric=metric, device="gpu").sample(points=points, k=40).tolist() == cpu.tolist()
    )
    same = FarthestPointSampler(metric="L2", device="gpu").sample(points=np.ones((5, 2)), k=5)
    assert sorted(same.tolist()) == [0, 1, 2, 3, 4]


def test_dataset_of_images(images: Path, tmp_path: Path) -> None:
    dataset = ImageFolderDataset(root_dir=images, transform=lambda image: image.size)
    names = [path.relative_to(images).as_posix() for path in dataset.image_paths]
    assert names == sorted(names) == ["a/1.jpg", "b/1.jpg", "b/2.jpg", "b/2.png", "c.PNG", "grey.png"]
    assert dataset[0] == ((60, 40), 0) and len(dataset) == 6
    bare = ImageFolderDataset(root_dir=images, transform=lambda image: image.size, disable_transform=True)
    assert bare[5][0].mode == "RGB"
    with pytest.raises(IndexError, match=r"index 6 is not in 0\.\.5"):
        dataset[6]
    with pytest.raises(InputError, match="is no folder"):
        ImageFolderDataset(root_dir=images / "gone")
    with pytest.raises(InputError, match="no images below"):
        ImageFolderDataset(root_dir=tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot read the image"):
        ImageFolderDataset(root_dir=tmp_path)[0]


def run(*words: object, env: dict[str, str] | None = None, code: int = 0) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        timeout=240,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_scripts_run_as_printed(images: Path, model_folder: Path, tmp_path: Path) -> None:
    single = (sys.executable, "scripts/embeddings_single_inference.py")
    out = tmp_path / "single"
    run(
        *single,
        "--input_dir",
        images,
        "--output_dir",
        out,
        "--batch_size",
        8,
        "--device",
        "cpu",
        "--model_name",
        model_folder,
    )
    with np.load(out / "embeddings.npz") as file:
        together, paths = file["embeddings"], file["image_paths"]
    dataset = ImageFolderDataset(root_dir=images)
    assert paths.tolist() == [str(path) for path in dataset.image_paths]
    text = run(
        *single, "--input_dir", tmp_path / "gone", "--output_dir", out, "--model_name", model_folder, code=1
    )
    assert "error:" in text and "is no folder" in text and "Traceback" not in text
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2")
    each = tmp_path / "each"
    options = (
        "--world_size",
        2,
        "--data_dir",
        images,
        "--output_dir",
        each,
        "--batch_size",
        4,
        "--use_processor",
        "--use_pooler",
        "--model_name",
        model_folder,
    )
    ddp = (*torchrun, "scripts/embeddings_ddp_inference.py", *options)
    first = run(*ddp)
    files = sorted(path.relative_to(each).as_posix() for path in each.rglob("*.npz"))
    assert files == ["a/1.npz", "b/1.npz", "b/2.jpg.npz", "b/2.png.npz", "c.npz", "grey.npz"], (
        "one file for each image"
    )
    assert first.count(" 0 there, 0 bad") == 2 and "3 images embedded" in first
    for row, name in enumerate(["a/1", "b/1", "b/2.jpg", "b/2.png", "c", "grey"]):
        with np.load(each / f"{name}.npz") as file:
            assert np.allclose(file["embedding"], together[row], atol=1e-5)
    assert run(*ddp).count(" 0 images embedded, 3 there") == 2
    text = run(
        sys.executable,
        "scripts/fps_with_faiss.py",
        "--npz",
        *sorted(each.rglob("*.npz")),
        "-k",
        3,
        "--device",
        "cpu",
    )
    assert "[cpu-L2] selected" in text and "[cpu-cosine] selected" in text
    assert "[cpu-cosine] selected" in run(sys.executable, "scripts/fps_with_faiss.py")


@pytest.mark.slow
def test_two_nodes_a_killed_rank_and_a_rerun(images: Path, model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = (
        sys.executable,
        "scripts/embeddings_ddp_inference.py",
        "--data_dir",
        images,
        "--output_dir",
        out,
        "--use_processor",
        "--use_pooler",
        "--model_name",
        model_folder,
        "--device",
        "cpu",
    )
    for rank in (0, 2):  # ranks 1 and 3 were killed before they began: nobody waits for them
        run(*script, env={"RANK": str(rank), "WORLD_SIZE": "4", "LOCAL_RANK": str(rank % 2)})
    half = {path: path.read_bytes() for path in out.rglob("*.npz")}
    assert 0 < len(half) < 6
    torn = next(iter(half))
    torn.write_bytes(half[torn][:50])
    (torn.parent / ".evfr-1-abc.tmp").write_bytes(b"left by a rank that was killed while it wrote")
    text = run(*script)
    assert f"{6 - len(half) + 1} images embedded, {len(half) - 1} there" in text
    assert len(list(out.rglob("*.npz"))) == 6
    assert all(path.read_bytes() == data for path, data in half.items() if path != torn)
    text = run(*script, "--world_size", 2, code=1)
    assert "--world_size is 2, the launcher started 1" in text


@pytest.mark.slow
def test_unreadable_image_among_good_ones(images: Path, model_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    (folder / "bad.png").write_bytes(b"no image")
    script = (
        sys.executable,
        "scripts/embeddings_ddp_inference.py",
        "--data_dir",
        folder,
        "--model_name",
        model_folder,
    )
    text = run(*script, "--use_processor", code=3)
    assert "bad input: cannot read the image" in text and "6 images embedded, 0 there, 1 bad" in text
    assert (folder / "a" / "1.npz").is_file(), "beside the images by default"
    text = run(*script, "--batch_size", 0, code=1)
    assert "--batch_size must be 1 or more, got 0" in text
