"""Sessions of transformers' video models, with tiny random weights that the tests save themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evfr._core.annotations import FrameLabels
from evfr._core.masks import Rle
from evfr.errors import InputError
from evfr.propagation import Interval
from evfr.propagation._session import session
from evfr.propagation._session_transformers import _loaded, transformers_session
from helpers.video_models import save_video_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("timm")

H, W, T = 45, 71, 6


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_video_model("sam2_video", tmp_path_factory.mktemp("sam2"))


def frames() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 256, (H, W, 3), dtype=np.uint8) for _ in range(T)]


def block() -> np.ndarray:
    mask = np.zeros((H, W), bool)
    mask[8:30, 10:40] = True
    return mask


def label(frame: int, masks: dict[int, np.ndarray]) -> FrameLabels:
    return FrameLabels(
        frame,
        np.array(sorted(masks), np.int64),
        np.ones(len(masks), np.int64),
        np.full((len(masks), 4), np.nan),
        tuple(Rle.from_mask(masks[track]) for track in sorted(masks)),
    )


def step_through(
    maker: Any, keys: dict[int, dict[int, np.ndarray]], order: Any
) -> dict[int, dict[int, np.ndarray]]:
    model = maker()
    for at, masks in keys.items():
        model.add_key(at, frames()[at], masks)
    found = {at: dict(model.step(at, frames()[at])) for at in order}
    model.close()
    return found


def offline(folder: Path, keys: dict[int, np.ndarray], *, is_reversed: bool = False) -> dict[int, np.ndarray]:
    """Follow one object by the model's own loop over a whole video."""
    model = transformers.Sam2VideoModel.from_pretrained(folder).eval()
    processor = transformers.Sam2VideoProcessor.from_pretrained(folder)
    pixels = processor(images=frames(), return_tensors="pt").pixel_values
    state = processor.init_video_session(inference_device="cpu")
    state.processed_frames = dict(enumerate(pixels))
    state.video_height, state.video_width = H, W
    for at, mask in keys.items():
        processor.add_inputs_to_inference_session(state, frame_idx=at, obj_ids=7, input_masks=mask)
        model(inference_session=state, frame_idx=at)
    found = {}
    start = max(keys) if is_reversed else min(keys)
    for out in model.propagate_in_video_iterator(state, start_frame_idx=start, reverse=is_reversed):
        logits = processor.post_process_masks([out.pred_masks], original_sizes=[[H, W]], binarize=False)[0]
        found[out.frame_idx] = torch.sigmoid(logits)[0, 0].numpy()
    return found


@pytest.mark.parametrize(
    ("keys", "order"), [((0,), range(1, T)), ((0, T - 1), range(1, T - 1)), ((T - 1,), range(T - 2, -1, -1))]
)
def test_streaming_equals_the_models_own_loop(sam2: Path, keys: tuple[int, ...], order: range) -> None:
    """The oracle is `propagate_in_video_iterator` on a video that is all in memory, with one object."""
    expected = offline(sam2, {at: block() for at in keys}, is_reversed=order.step < 0)
    found = step_through(transformers_session(sam2, device="cpu"), {at: {7: block()} for at in keys}, order)
    for at in order:
        assert found[at][7].shape == (H, W) and found[at][7].dtype == np.float32
        assert np.ptp(expected[at]) > 0.2, "a flat answer would prove nothing"
        np.testing.assert_allclose(found[at][7], expected[at], atol=1e-4)


def test_tracks_do_not_change_each_other(sam2: Path) -> None:
    """A track that a second labelled frame lacks is what it would be alone, and the other as well."""
    maker = transformers_session(sam2, device="cpu")
    both = step_through(maker, {0: {1: block(), 2: ~block()}, T - 1: {2: ~block()}}, range(1, T - 1))
    first = step_through(maker, {0: {1: block()}}, range(1, T - 1))
    second = step_through(maker, {0: {2: ~block()}, T - 1: {2: ~block()}}, range(1, T - 1))
    for at in range(1, T - 1):
        np.testing.assert_allclose(both[at][1], first[at][1], atol=1e-6)
        np.testing.assert_allclose(both[at][2], second[at][2], atol=1e-6)


def test_memory_stays_small(sam2: Path) -> None:
    model = transformers_session(sam2, device="cpu")()
    model.add_key(0, frames()[0], {1: block()})
    for at in range(1, 9):
        model.step(at, frames()[at % T])
    (state,) = model._sessions.values()
    assert state.processed_frames == {}
    assert len(state.output_dict_per_obj[0]["non_cond_frame_outputs"]) == model._kept + 1
    assert len(model._features._vision_features) == 1
    model.close()
    assert model._sessions == {}


def test_the_method_carries_by_a_folder(sam2: Path) -> None:
    left, right = label(0, {1: block(), 2: ~block()}), label(T - 1, {1: block()})
    stretch = Interval(frames(), np.arange(T), left, right)
    carried = session(stretch, session=str(sam2), device="cpu")
    assert carried.masks[0] == left.masks and carried.masks[T - 1] == (right.masks[0], None)
    assert all(end.reason == "lost" for end in carried.ends)
    for t in range(1, T - 1):
        found = [mask.to_mask() for mask in carried.masks[t] if mask is not None]
        assert found and not (np.sum(found, axis=0) > 1).any()
    again = session(stretch, session=transformers_session(sam2, device="cpu"))
    assert again.masks == carried.masks


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["edgetam_video", "sam3_tracker_video"])
def test_other_models_are_driven_alike(kind: str, tmp_path: Path) -> None:
    maker = transformers_session(save_video_model(kind, tmp_path), device="cpu")
    keys = {0: {1: block(), 2: ~block()}, T - 1: {2: ~block(), 3: block()}}
    found = step_through(maker, keys, range(1, T - 1))
    for masks in found.values():
        assert set(masks) == {1, 2, 3}
        for soft in masks.values():
            assert soft.shape == (H, W) and 0 <= soft.min() <= soft.max() <= 1 and np.ptp(soft) > 0.05
    back = step_through(maker, {T - 1: {1: block()}}, range(T - 2, -1, -1))
    assert set(back) == set(range(T - 1))


@pytest.mark.slow
def test_a_checkpoint_of_sam_3_with_its_detector_gives_the_same_tracker(tmp_path: Path) -> None:
    """The published layout: detector_model (with the vision encoder that both use), tracker_neck, tracker_model."""
    from safetensors.torch import load_file, save_file

    alone, both = tmp_path / "tracker", tmp_path / "both"
    save_video_model("sam3_tracker_video", alone)
    both.mkdir()
    shared = ("tracker_model.detector_model.", "tracker_model.tracker_neck.")
    tensors = {
        name.removeprefix("tracker_model.") if name.startswith(shared) else name: tensor
        for name, tensor in load_file(alone / "model.safetensors").items()
    }
    assert {name.split(".")[0] for name in tensors} == {"detector_model", "tracker_neck", "tracker_model"}
    tensors["detector_model.detr_decoder.weight"] = torch.zeros(3)
    save_file(tensors, both / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((alone / "config.json").read_text())
    (both / "config.json").write_text(json.dumps({"model_type": "sam3_video", "tracker_config": config}))
    (both / "processor_config.json").write_bytes((alone / "processor_config.json").read_bytes())
    keys = {0: {1: block()}}
    one = step_through(transformers_session(alone, device="cpu"), keys, range(1, 3))
    other = step_through(transformers_session(both, device="cpu"), keys, range(1, 3))
    np.testing.assert_allclose(other[2][1], one[2][1], atol=1e-3)


def test_bad_folders_are_refused(sam2: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder; give a local folder with config"):
        transformers_session(tmp_path / "facebook" / "sam2", device="cpu")
    with pytest.raises(InputError, match=r"has no config\.json that names a model_type"):
        transformers_session(tmp_path, device="cpu")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        InputError, match="holds a model of type 'bert'; sessions know sam2_video, sam3_tracker"
    ):
        transformers_session(tmp_path, device="cpu")
    (tmp_path / "config.json").write_bytes((sam2 / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match=r"has no \*\.safetensors; other forms can run code"):
        transformers_session(tmp_path, device="cpu")
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"transformers 5.* cannot load"):
        transformers_session(tmp_path, device="cpu")


def test_weights_that_do_not_fit_are_refused(sam2: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(sam2 / "model.safetensors")
    del tensors["memory_encoder.feature_projection.bias"]
    for name in ("config.json", "processor_config.json"):
        (tmp_path / name).write_bytes((sam2 / name).read_bytes())
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="do not fit its config: missing keys: memory_encoder"):
        transformers_session(tmp_path, device="cpu")


def test_devices_are_checked(sam2: Path) -> None:
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or cuda:N, got 'tpu'"):
        transformers_session(sam2, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device is 'cuda:1', but torch sees no GPU"):
            transformers_session(sam2, device="cuda:1")


def test_weights_are_read_once_and_again_when_they_change(sam2: Path) -> None:
    _loaded.cache_clear()
    transformers_session(sam2, device="cpu")
    transformers_session(sam2, device="cpu")
    assert _loaded.cache_info().misses == 1
    (sam2 / "config.json").write_text((sam2 / "config.json").read_text() + "\n")
    transformers_session(sam2, device="cpu")
    assert _loaded.cache_info().misses == 2
