"""ONNX files whose outputs are constants: detectors with known answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def constant_model(
    path: Path,
    outputs: Mapping[str, np.ndarray],
    *,
    shape=(1, 3, 32, 64),
    metadata: Mapping[str, str] | None = None,
    told: Mapping[str, list] | None = None,
    kind: str = "FLOAT",
    more_inputs: tuple[str, ...] = (),
) -> Path:
    """Save a model that takes a picture and returns constants; ``told`` overrides the shapes it claims."""
    import onnx

    helper = onnx.helper
    nodes, infos = [], []
    for name, values in outputs.items():
        nodes.append(
            helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(values, name + "_c"))
        )
        code = helper.np_dtype_to_tensor_dtype(values.dtype)
        infos.append(helper.make_tensor_value_info(name, code, (told or {}).get(name, list(values.shape))))
    inputs = [helper.make_tensor_value_info("images", getattr(onnx.TensorProto, kind), list(shape))]
    inputs += [helper.make_tensor_value_info(name, onnx.TensorProto.INT64, [1, 2]) for name in more_inputs]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, infos),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path
