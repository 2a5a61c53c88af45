"""Preparation equals what transformers, torchvision and timm do, to one grey level, without any of them.

All on noise, which is the worst case. Where a picture is enlarged, torchvision's own fixed point differs from
Pillow's by up to two.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evfr.embeddings import Preprocess
from evfr.embeddings._processor_config import preprocess_from_config, preprocess_from_folder

SIZES = [(90, 160), (161, 91), (224, 224), (40, 33), (480, 271)]


def noise(height, width, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow(frame, height, width, resampling):
    """Resize in two steps, along the rows first: in one step Pillow picks the order by the cost."""
    image = Image.fromarray(frame).resize((width, len(frame)), resampling)
    return np.asarray(image.resize((width, height), resampling))


def tolerance(preprocess, size):
    return 1.001 if min(preprocess._resized_size(*size)) <= min(size) else 2.001


def grey_levels(preprocess, picture, expected):
    """Return the largest difference of our normalised picture from theirs, in grey levels."""
    ours = preprocess.normalised(picture)
    theirs = np.asarray(expected).transpose(1, 2, 0)
    assert ours.shape == theirs.shape
    return np.abs((ours - theirs) * np.float32(preprocess.std) / preprocess.rescale).max()


PROCESSORS = [
    ("BitImageProcessor", {"size": {"shortest_edge": 256}}),
    ("BitImageProcessor", {"size": {"shortest_edge": 61}, "crop_size": {"height": 48, "width": 31}}),
    ("CLIPImageProcessor", {}),
    ("CLIPImageProcessor", {"do_resize": False, "crop_size": {"height": 64, "width": 64}}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 50}, "crop_size": {"height": 60, "width": 60}}),
    ("ViTImageProcessor", {}),
    ("ViTImageProcessor", {"size": {"height": 100, "width": 60}, "resample": 3}),
    ("ViTImageProcessor", {"do_normalize": False, "do_rescale": False}),
    ("ViTImageProcessor", {"resample": 0, "do_center_crop": True, "crop_size": {"height": 99, "width": 99}}),
    ("SiglipImageProcessor", {}),
    ("DINOv3ViTImageProcessor", {}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}, "crop_pct": 0.9}),
]


@pytest.mark.parametrize(("kind", "options"), PROCESSORS)
def test_equals_the_processor_of_transformers(kind, options, tmp_path):
    import transformers

    getattr(transformers, kind)(**options).save_pretrained(tmp_path)
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    ours = preprocess_from_folder(tmp_path)
    for size in SIZES:
        frame = noise(*size)
        picture = ours(frame)
        assert (picture.dtype, picture.shape[:2]) == (np.uint8, ours.output_size(*size))
        expected = theirs(Image.fromarray(frame), return_tensors="np")["pixel_values"][0]
        assert grey_levels(ours, picture, expected) <= tolerance(ours, size), (size, ours)


@pytest.mark.parametrize("resample", [1, 2, 3, 4, 5])
def test_filters_equal_those_of_pillow(resample):
    ours = preprocess_from_config(
        {
            "image_processor_type": "ViTImageProcessor",
            "resample": resample,
            "size": {"height": 70, "width": 90},
        }
    )
    for size in SIZES:
        frame = noise(*size)
        np.testing.assert_array_equal(ours(frame), pillow(frame, 70, 90, Image.Resampling(resample)))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(20, 300),
    st.integers(20, 300),
    st.integers(16, 64),
    st.integers(8, 64),
    st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    st.sampled_from(["floor", "even"]),
)
def test_only_the_kept_part_is_resampled(height, width, edge, crop, interpolation, rounding):
    """Resize all and cut after: the plain way, which costs up to twice the time."""
    crop = min(crop, edge)
    ours = Preprocess("shortest", edge, interpolation, (crop, crop), rounding)
    frame = noise(height, width)
    short, long = min(height, width), max(height, width)
    other = int(edge * long / short)
    size = (edge, other) if width >= height else (other, edge)
    whole = pillow(frame, *size, Image.Resampling[interpolation.upper()])
    margins = [side - crop for side in whole.shape[:2]]
    top, left = (m // 2 if rounding == "floor" else round(m / 2) for m in margins)
    expected = whole[top : top + crop, left : left + crop].astype(int)
    assert np.abs(ours(frame) - expected).max() <= 1


@pytest.mark.parametrize("recipe", ["v1", "v2"])
def test_equals_the_transforms_of_torchvision(recipe):
    from torchvision.models import ResNet50_Weights

    from evfr.embeddings._imagenet import resnet50_preprocess

    ours = resnet50_preprocess(None, recipe=recipe)
    theirs = getattr(ResNet50_Weights, f"IMAGENET1K_{recipe.upper()}").transforms()
    for size in SIZES:
        expected = theirs(Image.fromarray(noise(*size))).numpy()
        assert grey_levels(ours, ours(noise(*size)), expected) <= tolerance(ours, size)


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0])
def test_equals_the_transforms_of_timm(mode, crop_pct):
    from timm.data import create_transform

    from evfr.embeddings._imagenet import preprocess_from_data_config

    config = {
        "input_size": (3, 96, 96),
        "interpolation": "bicubic",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
        "crop_pct": crop_pct,
        "crop_mode": mode,
    }
    ours, theirs = preprocess_from_data_config(config), create_transform(**config, is_training=False)
    for size in SIZES:
        # Flat enough not to clip at 0 and 255, so that the order of the two axes, which Pillow picks, is no matter.
        frame = noise(*size) // 2 + 64
        expected = theirs(Image.fromarray(frame)).numpy()
        assert grey_levels(ours, ours(frame), expected) <= tolerance(ours, size)


def test_timm_configs_that_are_refused():
    from evfr.embeddings._imagenet import preprocess_from_data_config

    config = {
        "input_size": (3, 96, 96),
        "interpolation": "bicubic",
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
        "crop_pct": None,
        "crop_mode": "center",
    }
    assert preprocess_from_data_config(config).size == 109
    with pytest.raises(ValueError, match="crop_mode 'border' of"):
        preprocess_from_data_config({**config, "crop_mode": "border"})
    with pytest.raises(ValueError, match="crop_mode 'center' of"):
        preprocess_from_data_config({**config, "input_size": (3, 96, 64)})
    with pytest.raises(ValueError, match="takes 1 channels, frames have 3"):
        preprocess_from_data_config({**config, "input_size": (1, 96, 96)})


def test_fits():
    frame = noise(60, 100)
    assert Preprocess("none", None)(frame).tobytes() == frame.tobytes()
    assert Preprocess("longest", 50)(frame).shape == (30, 50, 3)
    assert Preprocess("shortest", 50)(frame).shape == (50, 83, 3)
    assert Preprocess("shortest", 50)(frame.swapaxes(0, 1)).shape == (83, 50, 3)
    assert Preprocess("longest", 10)(noise(1, 500)).shape == (1, 10, 3)
    covered = Preprocess("cover", (60, 60), "area")(frame)
    np.testing.assert_array_equal(covered, frame[:, 20:80])
    swapped = Preprocess("none", None, channels="bgr")(frame)
    np.testing.assert_array_equal(swapped, frame[..., ::-1])
    padded = Preprocess("none", None, crop=(70, 50))(frame)
    np.testing.assert_array_equal(padded[5:65], frame[:, 25:75])
    assert not padded[:5].any() and not padded[65:].any()


def test_the_picture_is_the_callers_own():
    frame = noise(8, 8)
    picture = Preprocess("none", None)(frame)
    picture[:] = 0
    assert frame.any()
    assert Preprocess("exact", (4, 4))(frame).flags.writeable
    views = frame[::-1, ::-1]
    np.testing.assert_array_equal(
        Preprocess("exact", (4, 4))(views), Preprocess("exact", (4, 4))(views.copy())
    )


def test_goes_to_other_processes_without_torch(tmp_path):
    preprocess = Preprocess("shortest", 40, "bicubic", (32, 32), mean=(0.5, 0.4, 0.3))
    (tmp_path / "it").write_bytes(pickle.dumps(preprocess))
    script = (
        "import pickle, sys, numpy as np\n"
        f"preprocess = pickle.load(open({str(tmp_path / 'it')!r}, 'rb'))\n"
        "picture = preprocess(np.arange(50 * 60 * 3, dtype=np.uint8).reshape(50, 60, 3))\n"
        "heavy = [m for m in ('torch', 'transformers', 'torchvision', 'timm', 'onnxruntime') if m in sys.modules]\n"
        "print(picture.sum(), heavy)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    total = preprocess(np.arange(50 * 60 * 3, dtype=np.uint8).reshape(50, 60, 3)).sum()
    assert done.stdout.split("\n")[0] == f"{total} []"


def test_parameters_are_all_of_it():
    preprocess = Preprocess("shortest", 40, "bicubic", (32, 32))
    assert json.loads(json.dumps(preprocess.parameters)) == preprocess.parameters
    assert preprocess.parameters["crop"] == [32, 32]
    assert set(preprocess.parameters) == set(Preprocess.__dataclass_fields__)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "pad"}, "fit must be one of none, exact, shortest, longest, cover, got 'pad'"),
        ({"fit": "none", "size": 3}, "fit='none' takes no size, got 3"),
        ({"fit": "shortest"}, r"fit='shortest' needs size as one number of pixels, got \(224, 224\)"),
        ({"fit": "longest", "size": 0}, "fit='longest' needs size as one number of pixels, got 0"),
        ({"size": 224}, r"fit='exact' needs size as \(height, width\) in pixels, got 224"),
        ({"crop": (3, 0)}, r"crop must be \(height, width\) in pixels, got \(3, 0\)"),
        ({"interpolation": "cubic"}, "interpolation must be one of nearest, .* got 'cubic'"),
        ({"crop_rounding": "up"}, "crop_rounding must be 'floor' or 'even', got 'up'"),
        ({"channels": "yuv"}, "channels must be 'rgb' or 'bgr', got 'yuv'"),
        ({"mean": (1.0, float("nan"), 0.0)}, "mean must be three finite numbers"),
        ({"std": (1.0, 2.0)}, "std must be three finite numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "std and rescale must not be 0"),
        ({"rescale": 0.0}, "std and rescale must not be 0"),
    ],
)
def test_wrong_values(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocess(**options)


def test_wrong_frames():
    with pytest.raises(ValueError, match=r"frame 0 has shape \(4, 4\)"):
        Preprocess()(np.zeros((4, 4), np.uint8))
    with pytest.raises(TypeError, match="frame 0 is float32"):
        Preprocess()(np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"the image processor \(not named\) is not known; known are BitImageProcessor, "),
        ({"image_processor_type": "SamImageProcessor"}, "the image processor SamImageProcessor is not known"),
        ({"size": {"longest_edge": 3}}, "size must be height and width, or the shortest edge, got"),
        ({"size": {"shortest_edge": 3, "longest_edge": 9}}, "size must be height and width, or the shortest"),
        ({"do_pad": True}, "ViTImageProcessor with do_pad is not supported"),
        ({"resample": 9}, "resample must be one of Pillow's filters 0 to 5, got 9"),
        ({"do_center_crop": True, "crop_size": {"height": 3}}, "crop_size must be height and width"),
        ({"image_mean": [1, 2]}, "image_mean and image_std must be three numbers"),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 3, "width": 3}},
            "ConvNextImageProcessor needs size as the shortest edge",
        ),
    ],
)
def test_configs_that_are_refused(config, message):
    known = {"image_processor_type": "ViTImageProcessor"} if config else {}
    with pytest.raises(ValueError, match=message):
        preprocess_from_config({**known, **config})


def test_old_forms_of_the_config():
    """Feature extractors, sizes of one number, fast processors: as files of 2021 to 2025 have them."""
    clip = preprocess_from_config(
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224}
    )
    assert (clip.fit, clip.size, clip.crop, clip.interpolation) == ("shortest", 224, (224, 224), "bicubic")
    vit = preprocess_from_config({"feature_extractor_type": "ViTFeatureExtractor", "size": 224})
    assert (vit.fit, vit.size, vit.crop, vit.mean) == ("exact", (224, 224), None, (0.5, 0.5, 0.5))
    fast = preprocess_from_config(
        {"image_processor_type": "DINOv3ViTImageProcessorFast", "do_center_crop": None}
    )
    assert (fast.size, fast.interpolation) == ((224, 224), "bilinear")


def test_a_processor_inside_a_processor(tmp_path):
    inner = {"image_processor_type": "ViTImageProcessor", "size": {"height": 9, "width": 7}}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": inner}))
    assert preprocess_from_folder(tmp_path).size == (9, 7)
