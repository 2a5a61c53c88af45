"""Embed all images below a folder on several processes, one .npz per image, as EVFR's script of this name does.

    torchrun --nproc_per_node=2 scripts/embeddings_ddp_inference.py --world_size 2 --data_dir IMAGES --output_dir OUT
        --batch_size 4 --use_processor --use_pooler

Nothing is exchanged between processes, so none waits for another: each takes the images of its RANK of WORLD_SIZE and
the GPU of its LOCAL_RANK. Files appear whole or not at all; after a failure run it again, and only what is missing is
computed. OUT/a/b.npz belongs to IMAGES/a/b.jpg; if there is an IMAGES/a/b.png too, they are b.jpg.npz and b.png.npz.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from evfr._core.atomic import atomic_write_bytes
from evfr.datasets.image_folder import ImageFolderDataset
from evfr.distributed._shards import Shard, local_device, shard
from evfr.embeddings.hf_dinov2 import HuggingFaceDinoV2Embedding
from evfr.errors import EvfrError


def main() -> None:
    """Read the options and the launcher's variables, embed this rank's images, write each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", type=Path, required=True, help="folder of images")
    parser.add_argument("--output_dir", type=Path, default=None, help="by default beside each image")
    parser.add_argument("--batch_size", type=int, default=4, help="images per run of the model")
    parser.add_argument("--use_pooler", action="store_true", help="take the pooled output where there is one")
    parser.add_argument("--use_processor", action="store_true", help="resize and normalise as the model says")
    parser.add_argument("--model_name", default=None, help="Hugging Face id or folder (facebook/dinov2-base)")
    parser.add_argument(
        "--device", default=None, help="cuda, cuda:N or cpu; by default the GPU of LOCAL_RANK"
    )
    parser.add_argument("--world_size", type=int, default=None, help="checked against the launcher's")
    for name in ("--dist_backend", "--dist_url", "--num_workers", "--log_level"):
        parser.add_argument(name, default=None, help="accepted for EVFR's sake; nothing needs it here")
    parser.add_argument("--disable_transform", action="store_true", help="accepted for EVFR's sake")
    given = parser.parse_args()
    part = Shard.parse("env") if "RANK" in os.environ else Shard(0, 1)
    if given.world_size not in (None, part.world_size):
        raise ValueError(f"--world_size is {given.world_size}, the launcher started {part.world_size}")
    if given.batch_size < 1:
        raise ValueError(f"--batch_size must be 1 or more, got {given.batch_size}")
    dataset = ImageFolderDataset(root_dir=given.data_dir)
    keys = [path.relative_to(given.data_dir).as_posix() for path in dataset.image_paths]
    targets = npz_files(keys, given.output_dir or given.data_dir)
    model = HuggingFaceDinoV2Embedding(
        model_name=given.model_name,
        use_pooler=given.use_pooler,
        use_processor=given.use_processor,
        device=given.device or local_device(part),
    )
    mine = shard(keys, part.rank, part.world_size)
    origins = {row: origin_of(dataset.image_paths[row], model.embedder.parameters) for row in mine}
    todo = [row for row in mine if not is_done(targets[row], origins[row])]
    bad = 0
    for start in range(0, len(todo), given.batch_size):
        images = {}
        for row in todo[start : start + given.batch_size]:
            try:
                images[row] = dataset[row][0]
            except EvfrError as error:
                bad += 1
                print(f"bad input: {error}", file=sys.stderr)
        vectors = model.extract_batch(list(images.values()), batch_size=given.batch_size)
        for row, vector in zip(images, vectors, strict=True):
            buffer = io.BytesIO()
            np.savez_compressed(buffer, embedding=vector, origin=np.array(origins[row]))
            atomic_write_bytes(targets[row], buffer.getvalue(), is_durable=False)
    done, there = len(todo) - bad, len(mine) - len(todo)
    print(f"rank {part.rank} of {part.world_size}: {done} images embedded, {there} there, {bad} bad")
    if bad and part.world_size == 1:
        sys.exit(3)  # among several ranks it would make torchrun stop the others


def npz_files(keys: list[str], folder: Path) -> list[Path]:
    """Return the file of each image, a different one for each."""
    stems = Counter(str(Path(key).with_suffix("")) for key in keys)
    names = [
        Path(key).with_suffix(".npz") if stems[str(Path(key).with_suffix(""))] == 1 else Path(key + ".npz")
        for key in keys
    ]
    return [folder / name for name in names]


def origin_of(image: Path, parameters: dict[str, object]) -> str:
    """Return all that an image's vector depends on, as text."""
    digest = hashlib.blake2b(image.read_bytes(), digest_size=16).hexdigest()
    return json.dumps({"image": digest, "embedder": parameters}, sort_keys=True)


def is_done(target: Path, origin: str) -> bool:
    """Return whether a file holds the vector of this very image and model."""
    try:
        with np.load(target) as file:
            return str(file["origin"]) == origin and file["embedding"].ndim == 1
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return False


if __name__ == "__main__":
    try:
        main()
    except (EvfrError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")
