"""Embed all images below a folder into one file, as EVFR's script of this name does.

    python scripts/embeddings_single_inference.py --input_dir IMAGES --output_dir OUT --batch_size 8 --device cpu

OUT/embeddings.npz holds ``embeddings`` (N, D) and ``image_paths`` (N,). `evfr embed` does the same straight from video,
goes on where it was interrupted, and keeps the vectors in a store.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from evfr.datasets.image_folder import ImageFolderDataset
from evfr.embeddings.hf_dinov2 import HuggingFaceDinoV2Embedding
from evfr.errors import EvfrError


def main() -> None:
    """Read the options, embed, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--input_dir", type=Path, required=True, help="folder of images")
    parser.add_argument("--output_dir", type=Path, required=True, help="folder to write embeddings.npz to")
    parser.add_argument("--batch_size", type=int, default=8, help="images per run of the model")
    parser.add_argument("--device", default=None, help="cuda or cpu; by default cuda where it is")
    parser.add_argument("--model_name", default=None, help="Hugging Face id or folder (facebook/dinov2-base)")
    given = parser.parse_args()
    model = HuggingFaceDinoV2Embedding(model_name=given.model_name, device=given.device)
    dataset = ImageFolderDataset(root_dir=given.input_dir, disable_transform=True)
    embeddings = model.extract_dataset(
        dataset, batch_size=given.batch_size, num_workers=0 if model.device == "cpu" else 4
    )
    given.output_dir.mkdir(parents=True, exist_ok=True)
    target = given.output_dir / "embeddings.npz"
    names = [str(path) for path in dataset.image_paths]
    np.savez_compressed(target, embeddings=embeddings, image_paths=np.array(names))
    print(f"{embeddings.shape[0]} embeddings of {embeddings.shape[1]} numbers in {target}")


if __name__ == "__main__":
    try:
        main()
    except (EvfrError, ValueError) as error:
        sys.exit(f"error: {error}")
