"""SAM 2, SAM 3's tracker and EdgeTAM by transformers, from a folder of the user's weights."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from evfr._core.lazy import require
from evfr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MODELS", "transformers_session"]

MODELS = {
    "sam2_video": ("Sam2VideoModel", "Sam2VideoProcessor"),
    "sam3_tracker_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
    "sam3_video": ("Sam3TrackerVideoModel", "Sam3TrackerVideoProcessor"),
    "edgetam_video": ("EdgeTamVideoModel", "Sam2VideoProcessor"),
}
"""Classes by the ``model_type`` of config.json; a SAM 3 checkpoint holds the tracker beside its detector."""


def transformers_session(folder: str | Path, *, device: str = "auto") -> Callable[[], TransformersSession]:
    """Return what opens sessions of a video model of transformers; its weights are read once.

    Parameters
    ----------
    folder : str or Path
        Holds ``config.json``, the weights as ``*.safetensors`` and the processor's file. Nothing is downloaded, and
        no code of the folder's own is run.
    device : str
        ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.

    Returns
    -------
    callable
        Opens a session, of kind ``"multi_key"``.

    Raises
    ------
    InputError
        If the folder holds no such model, or the weights do not fit it.
    ValueError
        If the device is unknown or not there.
    MissingExtraError
        If transformers or torch is not installed.
    """
    path = Path(folder)
    torch = require("torch", extra="torch")
    place = _device(torch, device)
    kind = _model_type(path)
    model, processor = _loaded(path.absolute(), kind, place, _state(path))
    return lambda: TransformersSession(model, processor, torch, place)


class TransformersSession:
    """Follow objects by a model's streaming inference sessions; see `evfr.propagation.PropagationSession`.

    Frames may come in falling order: the model's memory then looks to later frames. Each track has an inference
    session of its own, all sharing the features of the current frame: in a common one, a labelled frame that lacks a
    track would be a tracked frame to it, encoded as if it were labelled.
    """

    kind: Literal["multi_key", "pairwise"] = "multi_key"

    def __init__(self, model: Any, processor: Any, torch: Any, device: str) -> None:
        self._model = model
        self._processor = processor
        self._torch = torch
        self._device = device
        self._sessions: dict[int, Any] = {}
        self._features: Any = None
        self._last: int | None = None
        config = model.config
        self._kept = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    def add_key(
        self, frame_index: int, image: NDArray[np.uint8], masks: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Make the labelled frame one that every later step is conditioned on."""
        pixels = self._pixels(image)
        for track, mask in masks.items():
            session = self._session(track, image.shape[0], image.shape[1])
            self._processor.add_inputs_to_inference_session(
                session,
                frame_idx=frame_index,
                obj_ids=[track],
                input_masks=[self._torch.from_numpy(np.ascontiguousarray(mask))],
            )
            self._model(inference_session=session, frame=pixels, frame_idx=frame_index)
            self._forget(session, frame_index)
        if self._last is None:
            self._last = frame_index

    def step(self, frame_index: int, image: NDArray[np.uint8]) -> Mapping[int, NDArray[np.float32]]:
        """Return sigmoids of the mask logits, resized to the frame."""
        pixels = self._pixels(image)
        is_backward = self._last is not None and frame_index < self._last
        self._last = frame_index
        found = {}
        for track, session in self._sessions.items():
            out = self._model(
                inference_session=session, frame=pixels, frame_idx=frame_index, reverse=is_backward
            )
            self._forget(session, frame_index)
            logits = self._processor.post_process_masks(
                [out.pred_masks], original_sizes=[list(image.shape[:2])], binarize=False
            )[0]
            found[track] = self._torch.sigmoid(logits[0, 0].float()).cpu().numpy()
        return found

    def close(self) -> None:
        """Forget frames and memory."""
        self._sessions.clear()
        self._features = None

    def _session(self, track: int, height: int, width: int) -> Any:
        if track not in self._sessions:
            fresh = self._processor.init_video_session(
                inference_device=self._device, dtype=self._torch.float32
            )
            fresh.video_height, fresh.video_width = height, width
            self._features = fresh.cache if self._features is None else self._features
            fresh.cache = self._features
            self._sessions[track] = fresh
        return self._sessions[track]

    def _pixels(self, image: NDArray[np.uint8]) -> Any:
        return self._processor(images=image, return_tensors="pt").to(self._device).pixel_values[0]

    def _forget(self, session: Any, frame_index: int) -> None:
        """Drop the picture, and memories that the model no longer looks at: a long stretch stays small."""
        session.processed_frames.pop(frame_index, None)
        for outputs in session.output_dict_per_obj.values():
            memories = outputs["non_cond_frame_outputs"]
            for index in [index for index in memories if abs(index - frame_index) > self._kept]:
                del memories[index]


def _device(torch: Any, device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device != "cpu" and device.split(":")[0] != "cuda":
        raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but torch sees no GPU; use cpu")
    return device


def _model_type(folder: Path) -> str:
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder; give a local folder with config.json and *.safetensors (evfr downloads no weights)"
        )
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{folder} has no config.json that names a model_type: {error}") from error
    if not isinstance(kind, str) or kind not in MODELS:
        raise InputError(f"{folder} holds a model of type {kind!r}; sessions know {', '.join(MODELS)}")
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{folder} has no *.safetensors; other forms can run code when they are read, so they are not"
        )
    return str(kind)


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what tells a folder whose files were replaced."""
    found = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in found)


@functools.lru_cache(maxsize=1)
def _loaded(folder: Path, kind: str, device: str, _: tuple[tuple[str, int, int], ...]) -> tuple[Any, Any]:
    transformers = require("transformers", extra="torch")
    torch = require("torch", extra="torch")
    broken = require("safetensors", extra="torch").SafetensorError
    model_class, processor_class = MODELS[kind]
    common = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet(transformers):
            model, info = getattr(transformers, model_class).from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **common
            )
            processor = getattr(transformers, processor_class).from_pretrained(folder, **common)
    except (ValueError, OSError, RuntimeError, KeyError, TypeError, AttributeError, broken) as error:
        first = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InputError(f"transformers {transformers.__version__} cannot load {folder}: {first}") from error
    for what in ("missing_keys", "mismatched_keys"):
        names = sorted(str(name) for name in info.get(what, ()))
        if names:
            some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise InputError(
                f"the weights in {folder} do not fit its config: {what.replace('_', ' ')}: {some}"
            )
    return model.to(device).eval(), processor


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers' bars and warnings off the terminal: what is wrong is raised."""
    logging = transformers.utils.logging
    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()
