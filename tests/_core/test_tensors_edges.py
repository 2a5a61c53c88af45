"""Files of weights that are gone, cut or of another kind: one error, and what it says."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from evfr._core.tensor_files import file_state, files_digest, read_state_dict, tensor_names
from evfr._core.tensor_state import STATE, read_state, write_state
from evfr.errors import InputError
from fuzz import seeds


def test_names_and_tensors_of_a_file(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(seeds.tensors())
    assert tensor_names(path) == {"a", "b"}
    found = read_state_dict(path, extra="train")
    assert {name: tuple(value.shape) for name, value in found.items()} == {"a": (2, 2), "b": (3,)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no safetensors file"),
        (struct.pack("<Q", 1 << 40) + b"{}", "is no safetensors file"),
        (struct.pack("<Q", 2) + b"[]", "is no safetensors file"),
        (struct.pack("<Q", 3) + b"{x}", "is no safetensors file"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "is no safetensors file"),
        (seeds.tensors()[:-4], "is no whole safetensors file"),
    ],
)
def test_files_that_are_no_tensors(tmp_path, data, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_state_dict(path, extra="train")


def test_weights_that_are_gone_or_of_another_kind(tmp_path):
    gone = tmp_path / "gone.safetensors"
    for function in (tensor_names, file_state, lambda path: files_digest([path])):
        with pytest.raises(InputError, match=r"cannot read the weights .*gone\.safetensors: No such file"):
            function(gone)
    with pytest.raises(InputError, match=r"weights must be a \.safetensors file, got"):
        read_state_dict(tmp_path / "a.npz", extra="train")


def test_weights_are_known_by_their_bytes(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"x" * 10)
    two.write_bytes(b"y")
    assert len(files_digest([one])) == 32
    import hashlib

    assert files_digest([one], "sha256") == hashlib.sha256(b"x" * 10).hexdigest()
    assert (
        len({files_digest([one]), files_digest([two]), files_digest([one, two]), files_digest([two, one])})
        == 4
    )
    # Where one file ends and the next begins counts.
    (tmp_path / "c").write_bytes(b"x" * 9)
    (tmp_path / "d").write_bytes(b"xy")
    assert files_digest([one, two]) != files_digest([tmp_path / "c", tmp_path / "d"])
    assert file_state(one)[1] == 10


def test_networks_that_evfr_trained_are_weights_too(tmp_path):
    """Nested values come back as they were; of a network's file the state dict is what others read."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.safetensors"
    weight = torch.arange(4.0)
    state = {
        "format": "one",
        "classes": ("a", "b"),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 0.1, "params": [0, 1]}]},
        "best": float("-inf"),
        "none": None,
        "module": {"w": weight, "same": weight},
    }
    write_state(state, path, extra="train")
    found = read_state(path, extra="train")
    assert found["classes"] == ("a", "b")
    assert found["optimizer"]["groups"] == [{"lr": 0.1, "params": [0, 1]}]
    assert found["optimizer"]["state"][0]["step"].item() == 3
    assert found["best"] == float("-inf")
    assert found["none"] is None
    assert list(found) == list(state)
    assert torch.equal(read_state_dict(path, extra="train")["w"], weight)
    write_state({"loss": [1.0]}, path, extra="train")
    with pytest.raises(InputError, match=r"holds no state_dict \(names to tensors\)"):
        read_state_dict(path, extra="train")
    with pytest.raises(TypeError, match=r"a\.b is a set, which a file of tensors cannot hold"):
        write_state({"a": {"b": {1}}}, path, extra="train")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "[" * 200_000,
        '{"tensor":"none"}',
        '{"pairs":[[1]]}',
        '{"float":"x"}',
        '{"run":"x"}',
    ],
)
def test_damaged_states_are_refused(tmp_path, text):
    pytest.importorskip("torch")
    from safetensors.numpy import save_file

    path = tmp_path / "a.safetensors"
    save_file({"w": np.zeros(2, np.float32)}, path, metadata={STATE: text})
    with pytest.raises(ValueError, match=r"its metadata evfr-state is (damaged|no mapping)"):
        read_state(path, extra="train")
    with pytest.raises(InputError, match="is no whole safetensors file: its metadata"):
        read_state_dict(path, extra="train")
    save_file({"w": np.zeros(2, np.float32)}, path)
    with pytest.raises(ValueError, match="of another program"):
        read_state(path, extra="train")
