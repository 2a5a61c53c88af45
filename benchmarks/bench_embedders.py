"""ResNet-50 features on the CPU: in bf16 and by onnxruntime against torchvision's eager fp32, and what it costs FSD.

No trained ResNet-50 can be had here without a download, so its weights are random (seed 0), with the statistics
of batch normalisation taken from real frames; pass ``--weights FILE`` for trained ones. What bf16 does to a
trained network is judged on MobileNetV2 (ImageNet), run by torch from its ONNX file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import _measure
from evfr.embeddings import OnnxEmbedder, Preprocess, TorchEmbedder, make_embedder
from evfr.embeddings._torch import LoadedModel
from evfr.video import frames

BATCH = 8
CLIPS = {
    "video/driving_highway.mp4": 41,
    "video/basketball.mp4": 41,
    "video/bikes_cuts.mp4": 41,
    "video/cars_topdown.mp4": 41,
    "video/people_one_by_one.mp4": 41,
    "seq/chair.mp4": 41,
}


def read(path: Path, count: int) -> list[np.ndarray]:
    found = []
    for frame in frames(path):
        found.append(frame.image)
        if len(found) == count:
            break
    return found


def fsd(vectors: np.ndarray) -> np.ndarray:
    """Return 1 - cosine of consecutive rows (FSD, Eq. 5 of Yoon & Choi 2023)."""
    unit = vectors.astype(np.float64) / np.linalg.norm(vectors, axis=1, keepdims=True)
    return 1 - (unit[1:] * unit[:-1]).sum(axis=1)


def random_resnet50(path: Path, pictures: np.ndarray) -> None:
    """Save a seeded ResNet-50 whose batch normalisations have seen real frames."""
    import torch
    from torchvision.models import resnet50

    torch.manual_seed(0)
    network = resnet50(weights=None).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean over what it sees
    with torch.no_grad():
        network(torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))))
    from safetensors.torch import save_file

    save_file({name: value.clone() for name, value in network.state_dict().items()}, path)


class Imported:
    """A `ModelSource`: the operators of MobileNetV2's ONNX file, run by torch."""

    def __init__(self, path: Path, preprocess: Preprocess) -> None:
        self.path, self.preprocess = path, preprocess
        self.parameters = {"name": "imported", "model": path.name}
        self.cache_key = str(path)

    def load(self) -> LoadedModel:
        import onnx
        import torch
        from onnx import numpy_helper

        graph = onnx.load(self.path).graph
        constants = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "DequantizeLinear":
                values, scale, zero = (constants[name] for name in node.input)
                axis = [-1] + [1] * (values.ndim - 1) if scale.numel() > 1 else []
                shifted = values.to(torch.float32) - zero.to(torch.float32).reshape(axis)
                constants[node.output[0]] = shifted * scale.reshape(axis)

        def run(pixels: Any) -> Any:
            found = {**constants, graph.input[0].name: pixels}
            for node in graph.node:
                inputs = [found[name] for name in node.input]
                options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
                if node.op_type == "DequantizeLinear":
                    continue
                found[node.output[0]] = _operator(torch, node.op_type, inputs, options)
                if node.output[0] == "features":
                    break
            return found["features"]

        return LoadedModel(torch.nn.Identity(), run)


def _operator(torch: Any, kind: str, inputs: list[Any], options: dict[str, Any]) -> Any:
    if kind == "Conv":
        top, left, bottom, right = options.get("pads", [0] * 4)
        padded = torch.nn.functional.pad(inputs[0], (left, right, top, bottom))
        return torch.nn.functional.conv2d(
            padded, *inputs[1:], stride=options.get("strides", [1, 1]), groups=options.get("group", 1)
        )
    if kind == "Clip":
        return inputs[0].clamp(float(inputs[1]), float(inputs[2]))
    if kind == "Add":
        return inputs[0] + inputs[1]
    if kind == "GlobalAveragePool":
        return inputs[0].mean(dim=(2, 3), keepdim=True)
    if kind == "Flatten":
        return inputs[0].flatten(1)
    if kind in ("Identity", "Softmax"):
        return inputs[0]
    raise ValueError(f"no operator {kind}")


def main() -> None:
    """Measure speed and ranks, print them, and fail where a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="trained ResNet-50 (.pth); random ones otherwise")
    weights = parser.parse_args().weights
    _measure.print_header("embedders on the CPU", f"{len(CLIPS)} real clips, 41 frames each")
    import torch
    import torchvision

    torch.set_num_threads(1)
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    print(
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, onnxruntime {version('onnxruntime')}"
    )
    print(f"this CPU {'has' if has_bf16 else 'has NOT'} instructions for bf16")
    clips = {Path(name).stem: read(_measure.data_folder() / name, count) for name, count in CLIPS.items()}
    with tempfile.TemporaryDirectory() as folder:
        claims = compare(weights, Path(folder), clips)
    _measure.judge(claims)


def compare(weights: Path | None, folder: Path, clips: dict[str, list[np.ndarray]]) -> dict[str, bool]:
    """Print both tables and return the claims."""
    import torch
    from torchvision.models import resnet50

    said = "random weights (seed 0)" if weights is None else weights.name
    if weights is None:
        weights = folder / "resnet50.safetensors"
        prepare = Preprocess("shortest", 256, crop=(224, 224), crop_rounding="even")
        some = np.stack([prepare(images[i]) for images in clips.values() for i in (0, 20, 40)])
        random_resnet50(weights, prepare.normalised(some))
    exact = make_embedder("resnet50", weights=weights, device="cpu", precision="fp32", batch_size=BATCH)
    lower = make_embedder("resnet50", weights=weights, device="cpu", precision="bf16", batch_size=BATCH)
    from safetensors.torch import load_file

    eager = resnet50(weights=None).eval()
    eager.load_state_dict(load_file(weights))
    eager.fc = torch.nn.Identity()
    runtime = make_embedder(
        "resnet50", weights=weights, device="cpu", batch_size=BATCH, options={"runtime": "onnxruntime"}
    )
    prepared = np.stack([exact.preprocess(image) for image in next(iter(clips.values()))[:BATCH]])
    inputs = torch.from_numpy(
        np.ascontiguousarray(exact.preprocess.normalised(prepared).transpose(0, 3, 1, 2))
    )

    def plain() -> Any:
        with torch.inference_mode():
            return eager(inputs).numpy()

    cases: dict[str, Callable[[], Any]] = {
        "torchvision eager fp32": plain,
        "evfr fp32": lambda: exact.embed_prepared(prepared),
        "evfr onnxruntime": lambda: runtime.embed_prepared(prepared),
        "evfr bf16": lambda: lower.embed_prepared(prepared),
    }
    largest = np.abs(plain()).max()
    off = {name: np.abs(case() - plain()).max() / largest for name, case in cases.items()}
    times = _measure.cpu_seconds(cases, turns=5)
    print(f"\nResNet-50, {said}, batch {BATCH}; the eager row's pictures are normalised beforehand")
    for name, seconds in times.items():
        ratio = times["torchvision eager fp32"] / seconds
        print(
            f"{name:>24}: {seconds / BATCH * 1e3:6.1f} ms a frame, {ratio:.2f}x, off by {off[name]:.1e} of the largest"
        )
    source = Imported(
        _measure.data_folder() / "weights" / "mobilenetv2_imagenet.onnx",
        Preprocess("exact", (224, 224), "area", rescale=1.0, mean=(128.0,) * 3, std=(128.0,) * 3),
    )
    trained = {
        p: TorchEmbedder(source, device="cpu", precision=p, batch_size=BATCH) for p in ("fp32", "bf16")
    }
    by_onnx = OnnxEmbedder(source.path, mean=128, scale=128, device="cpu")
    first = next(iter(clips.values()))[:2]
    same = float(np.abs(by_onnx(first) - trained["fp32"](first)).max())
    print(f"\nMobileNetV2 by torch differs from onnxruntime by at most {same:.1e}")
    print("Spearman of FSD against torch in fp32 (median FSD in brackets):")
    pairs = {
        "ResNet-50 onnxruntime": (exact, runtime),
        "ResNet-50 bf16": (exact, lower),
        "MobileNetV2 bf16": tuple(trained.values()),
    }
    ranks: dict[str, list[float]] = {name: [] for name in pairs}
    for clip, images in clips.items():
        line = f"{clip:>24}:"
        for name, (a, b) in pairs.items():
            full = fsd(a(images))
            ranks[name].append(_measure.spearman(full, fsd(b(images))))
            line += f"  {name} {ranks[name][-1]:.4f} ({np.median(full):.1e})"
        print(line)
    means = {name: float(np.mean(values)) for name, values in ranks.items()}
    print("                    mean: " + "  ".join(f"{name} {value:.4f}" for name, value in means.items()))
    for name in ("ResNet-50 bf16", "MobileNetV2 bf16"):
        verdict = "keeps" if means[name] >= 0.98 else "does NOT keep"
        print(f"{name} {verdict} the ranks of FSD (Spearman >= .98)")
    ratio = times["torchvision eager fp32"] / times["evfr onnxruntime"]
    return {
        "ResNet-50 by onnxruntime >= 1.4x eager fp32": ratio >= 1.4,
        "its Spearman of FSD >= .98": min(ranks["ResNet-50 onnxruntime"]) >= 0.98,
    }


if __name__ == "__main__":
    main()
