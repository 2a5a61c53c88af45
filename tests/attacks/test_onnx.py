"""ONNX files that name files elsewhere, or are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks.guard import refused
from evfr.errors import InputError


def model(path: Path, location: str) -> Path:
    """Write a model whose weights lie in another file."""
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    weights = kinds(name="w", data_type=kinds.FLOAT, dims=[1, 3, 1, 1], data_location=kinds.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "12")):
        weights.external_data.add(key=key, value=value)
    ends = [make.make_tensor_value_info(name, kinds.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = make.make_graph([make.make_node("Mul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weights])
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize("where", ["../outside/secret.txt", "absolute", "link.bin"])
def test_weights_are_not_read_from_elsewhere(work, outside, where):
    pytest.importorskip("onnxruntime")
    from evfr.embeddings import make_embedder
    from evfr.models import open_detector

    (work / "link.bin").symlink_to(outside.secret)
    path = model(work / "model.onnx", str(outside.secret) if where == "absolute" else where)
    for door in (make_embedder, open_detector):
        refused(lambda door=door: door(str(path)), r"is no ONNX model that", InputError, megabytes=4096)


@pytest.mark.parametrize("data", [b"", b"junk", b"\x3a\xff\xff\xff\x7f" * 1000, b"\x80\x02." * 100])
def test_what_is_no_model(work, data):
    pytest.importorskip("onnxruntime")
    from evfr.embeddings import make_embedder
    from evfr.models import open_detector

    path = work / "model.onnx"
    path.write_bytes(data)
    for door in (make_embedder, open_detector):
        refused(lambda door=door: door(str(path)), r"is no ONNX model that", InputError, megabytes=4096)
