"""From a hub id or a folder to a local folder with a config, a processor and safetensors."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evfr._core.lazy import require
from evfr._core.tensor_files import files_digest
from evfr.errors import InputError

__all__ = ["Checkpoint", "fetch", "open_checkpoint"]

SMALL_FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
)
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth", "model.bin")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model folder of Hugging Face's form.

    Attributes
    ----------
    name : str
        The hub id, or the folder's name.
    folder : Path
        Where it is.
    revision : str or None
        The hub's commit; None for a folder of one's own.
    config : dict
        ``config.json``.
    files : tuple of Path
        The safetensors files, sorted.
    digest : str
        Hash of ``config.json`` and the safetensors.
    """

    name: str
    folder: Path
    revision: str | None
    config: dict[str, Any]
    files: tuple[Path, ...]
    digest: str


def open_checkpoint(name: str, revision: str | None = None) -> Checkpoint:
    """Return a hub model or a local folder, its weights on disk and hashed.

    Raises
    ------
    InputError
        If it cannot be had, has no readable ``config.json``, or no weights as safetensors.
    """
    folder, commit = fetch(name, revision, weights=True)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{folder} is no model folder: config.json: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{folder} is no model folder: config.json is no JSON: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise InputError(f"{folder} is no model folder: config.json names no model_type")
    files = _weight_files(folder, f"{name} on the hub, at revision {commit}," if commit else str(folder))
    digest = files_digest([folder / "config.json", *files])
    return Checkpoint(name if commit else folder.resolve().name, folder, commit, config, files, digest)


def fetch(name: str, revision: str | None = None, *, weights: bool) -> tuple[Path, str | None]:
    """Return the local folder of a hub id or of a folder, and the hub's commit.

    Parameters
    ----------
    name : str
        An existing folder, or ``owner/model``.
    revision : str, optional
        Branch, tag or commit on the hub.
    weights : bool
        Whether the weights are wanted too, or only the small files.

    Returns
    -------
    (Path, str or None)

    Raises
    ------
    InputError
        If the hub has no such model, wants a login, or cannot be reached and the cache has it not.
    ValueError
        If a revision is asked of a folder.
    """
    folder = Path(name)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision is for models on the hub, {name} is a folder")
        return folder, None
    hub = require("huggingface_hub", extra="torch")
    errors = require("huggingface_hub.errors", extra="torch")
    patterns = [*SMALL_FILES, *WEIGHT_FILES] if weights else list(SMALL_FILES)
    try:
        found = Path(hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except errors.GatedRepoError as error:
        raise InputError(
            f"{name} is gated: accept its terms on its page on the hub, then log in with 'hf auth login'"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise InputError(
            f"the Hugging Face hub has no model {name}"
            + (f" at revision {revision}" if revision else "")
            + ", and there is no such folder; a private one needs 'hf auth login'"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError) as error:
        raise InputError(
            f"cannot get {name}: it is no folder here, not in the cache, and the Hugging Face hub cannot be reached; "
            f"run 'hf download {name}' where there is a network, or pass the path of a copy"
        ) from error
    return found, found.name


def _weight_files(folder: Path, said: str) -> tuple[Path, ...]:
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
            raise InputError(f"{index} is no index of safetensors files") from error
        for name in names:
            if not isinstance(name, str) or not re.fullmatch(r"[\w.-]{1,200}\.safetensors", name):
                raise InputError(f"{index} must name files NAME.safetensors beside it, it names {name!r:.80}")
        missing = sorted(name for name in names if not (folder / name).is_file())
        if missing:
            raise InputError(f"{folder} lacks {missing[0]}, which {index.name} names")
        return tuple(folder / name for name in sorted(names))
    for pickle in PICKLES:
        if (folder / pickle).is_file():
            raise InputError(
                f"{folder} has its weights only as {pickle}, a pickle, which can run code; evfr reads "
                "model.safetensors: save_pretrained with transformers writes it"
            )
    raise InputError(
        f"{said} has no weights as safetensors (model.safetensors); evfr reads no pickles: "
        "save_pretrained with transformers writes safetensors"
    )
