"""torchvision's ResNet-50 as an ONNX graph, its batch normalisations folded into the convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from evfr._core.lazy import require

__all__ = ["onnxruntime_runner", "resnet50_to_onnx"]


def resnet50_to_onnx(network: Any) -> bytes:
    """Return the ONNX file of a torchvision ResNet with bottleneck blocks, up to the average pooling.

    Parameters
    ----------
    network : torchvision.models.ResNet
        In evaluation mode.

    Returns
    -------
    bytes
        Input ``pixels`` (N, 3, h, w) float32, output ``features`` (N, D) float32.
    """
    onnx = require("onnx", extra="onnx")
    nodes: list[Any] = []
    weights: list[Any] = []

    def add(kind: str, inputs: list[str], **options: Any) -> str:
        nodes.append(onnx.helper.make_node(kind, inputs, [f"n{len(nodes)}"], **options))
        return str(nodes[-1].output[0])

    def convolve(x: str, layer: Any, norm: Any) -> str:
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        kernel = layer.weight.double() * scale.reshape(-1, 1, 1, 1)
        shift = norm.bias.double() - norm.running_mean.double() * scale
        names = []
        for values in (kernel, shift):
            names.append(f"w{len(weights)}")
            array = values.detach().numpy().astype(np.float32)
            weights.append(onnx.numpy_helper.from_array(array, names[-1]))
        pads, strides = list(layer.padding) * 2, list(layer.stride)
        return add("Conv", [x, *names], strides=strides, pads=pads, group=layer.groups)

    x = add("Relu", [convolve("pixels", network.conv1, network.bn1)])
    x = add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            side = x if block.downsample is None else convolve(x, *block.downsample)
            x = add("Relu", [convolve(x, block.conv1, block.bn1)])
            x = add("Relu", [convolve(x, block.conv2, block.bn2)])
            x = add("Relu", [add("Add", [convolve(x, block.conv3, block.bn3), side])])
    x = add("Flatten", [add("GlobalAveragePool", [x])])
    nodes.append(onnx.helper.make_node("Identity", [x], ["features"]))
    info, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "resnet",
        [info("pixels", kind, ["N", 3, "h", "w"])],
        [info("features", kind, ["N", "D"])],
        weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def onnxruntime_runner(model: bytes) -> Any:
    """Return a function from a (B, 3, h, w) float32 tensor on the CPU to a (B, D) tensor, on torch's threads."""
    runtime, torch = require("onnxruntime", extra="onnx"), require("torch", extra="torch")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(pixels: Any) -> Any:
        inputs = {"pixels": np.ascontiguousarray(pixels.numpy())}
        return torch.from_numpy(session.run(["features"], inputs)[0])

    return run
