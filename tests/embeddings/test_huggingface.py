"""Models of transformers: what comes out equals a plain call, and what cannot be trusted is refused."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest

from evfr.embeddings import ModelEmbedder, TextEmbedder, TorchEmbedder, make_embedder, preprocess_of
from evfr.errors import InputError
from helpers.checkpoints import KINDS, WORDS, save_checkpoint

POOLED = ("dinov2", "dinov3", "vit", "swin", "convnext")


def on_cpu(folder, **options):
    return make_embedder(folder, device="cpu", options=options)


def plain_inputs(folder, embedder, frames):
    """What transformers' own processor gives for pictures that need no resizing any more."""
    import transformers

    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    pictures = [np.asarray(embedder.preprocess(frame)) for frame in frames]
    return processor(pictures, do_resize=False, do_center_crop=False, return_tensors="pt")


def plain_model(folder, name="AutoModel"):
    import transformers

    return getattr(transformers, name).from_pretrained(folder).eval()


@pytest.mark.parametrize("kind", POOLED)
def test_pooled_output_equals_a_plain_call(kind, checkpoint, noise):
    import torch

    folder = checkpoint(kind)
    embedder = on_cpu(folder)
    vectors = embedder(noise)
    with torch.no_grad():
        expected = plain_model(folder)(**plain_inputs(folder, embedder, noise)).pooler_output
    np.testing.assert_allclose(vectors, expected.flatten(1).numpy(), atol=1e-4)
    assert (embedder.parameters["pooling"], embedder.dimension) == ("pooler", 32)
    assert len(np.unique(vectors, axis=0)) == 5


@pytest.mark.parametrize("kind", ["dinov2", "vit", "swin", "convnext"])
def test_mean_of_the_last_hidden_state(kind, checkpoint, noise):
    import torch

    folder = checkpoint(kind)
    embedder = on_cpu(folder, pooling="mean")
    with torch.no_grad():
        hidden = plain_model(folder)(**plain_inputs(folder, embedder, noise)).last_hidden_state
    expected = hidden.mean(1) if hidden.ndim == 3 else hidden.mean((2, 3))
    np.testing.assert_allclose(embedder(noise), expected.numpy(), atol=1e-4)
    assert embedder.parameters["pooling"] == "mean"


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_pictures_and_texts_share_a_space(kind, checkpoint, noise):
    import torch

    folder = checkpoint(kind)
    embedder = on_cpu(folder)
    assert isinstance(embedder, TextEmbedder)
    assert embedder.parameters["pooling"] == "features"
    texts = ["a red bus", "cat"]
    padding = 12 if kind == "siglip" else 5
    rows = [[2, *(WORDS.index(word) for word in text.split()), 3] for text in texts]
    tokens = torch.tensor([row + [1] * (padding - len(row)) for row in rows])
    model = plain_model(folder)
    with torch.no_grad():
        out = model(
            input_ids=tokens, attention_mask=(tokens != 1).long(), **plain_inputs(folder, embedder, noise)
        )
    for vectors, expected in [
        (embedder(noise), out.image_embeds),
        (embedder.embed_text(texts), out.text_embeds),
    ]:
        lengths = np.linalg.norm(
            vectors, axis=1, keepdims=True
        )  # the model's output is normalised, ours is not
        np.testing.assert_allclose(vectors / lengths, expected.numpy(), atol=1e-4)
    assert embedder.embed_text([]).shape == (0, embedder.dimension)
    with pytest.raises(TypeError, match=r"several strings, got one: 'a cat'; pass \[text\]"):
        embedder.embed_text("a cat")
    for other in (on_cpu(folder, pooling="mean"), on_cpu(folder, pooling="pooler")):
        assert not hasattr(other, "embed_text")
        assert other(noise).shape == (5, 32)


def test_vision_without_a_pooler_is_averaged_and_says_so(checkpoint, noise):
    """A classifier's file has no pooler; transformers alone would draw a random one."""
    folder = checkpoint("vit_classifier")
    embedder = on_cpu(folder)
    assert embedder.parameters["pooling"] == "mean"
    np.testing.assert_array_equal(embedder(noise), on_cpu(folder, pooling="mean")(noise))
    with pytest.raises(ValueError, match=r"the weights of .* have no pooler; pass pooling='mean'"):
        on_cpu(folder, pooling="pooler")


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind, checkpoint, noise):
    folder = checkpoint(kind)
    embedder = on_cpu(folder)
    assert isinstance(embedder, ModelEmbedder)
    assert preprocess_of(folder) == embedder.preprocess
    vectors = embedder(noise)
    assert (vectors.shape, vectors.dtype) == ((5, embedder.dimension), np.float32)
    prepared = np.stack([embedder.preprocess(frame) for frame in noise])
    np.testing.assert_array_equal(embedder.embed_prepared(prepared), vectors)
    assert (embedder([]).shape, embedder.embed_prepared(prepared[:0]).shape) == ((0, embedder.dimension),) * 2
    # The size of a batch moves the last digits of float32 only, and the order stays.
    single = make_embedder(folder, device="cpu", batch_size=1)
    np.testing.assert_allclose(single(noise[::-1]), vectors[::-1], atol=1e-5)
    pairs = make_embedder(folder, device="cpu", batch_size=2)
    np.testing.assert_allclose(pairs.embed_prepared(prepared), vectors, atol=1e-5)
    copy = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(copy(frame for frame in noise), vectors)
    assert copy.parameters == embedder.parameters == json.loads(json.dumps(embedder.parameters))
    assert len(pickle.dumps(embedder)) < 8000


def test_parameters_tell_what_the_vectors_depend_on(checkpoint, tmp_path):
    folder = checkpoint("dinov2")
    known = on_cpu(folder).parameters
    assert known | {"weights": "", "preprocess": {}} == {
        "name": "huggingface",
        "schema": 1,
        "model": "dinov2",
        "revision": None,
        "model_type": "dinov2",
        "weights": "",
        "pooling": "pooler",
        "precision": "fp32",
        "preprocess": {},
    }
    assert known["preprocess"] == on_cpu(folder).preprocess.parameters
    same = shutil.copytree(folder, tmp_path / "a" / "dinov2")
    assert on_cpu(same).parameters == known
    assert on_cpu(save_checkpoint("dinov2", tmp_path / "b" / "dinov2", seed=1)).parameters != known
    assert on_cpu(folder, pooling="mean").parameters != known
    assert make_embedder(folder, device="cpu", precision="bf16").parameters != known
    for file, key, value in [
        ("config.json", "layer_norm_eps", 0.1),
        ("preprocessor_config.json", "resample", 2),
        ("preprocessor_config.json", "image_mean", [0.5, 0.5, 0.5]),
    ]:
        other = shutil.copytree(folder, tmp_path / key / "dinov2")
        content = json.loads((other / file).read_text())
        assert key in content
        (other / file).write_text(json.dumps({**content, key: value}))
        assert on_cpu(other).parameters != known, key


def test_weights_are_read_once_per_process(checkpoint, noise, monkeypatch):
    import transformers

    first = on_cpu(checkpoint("dinov2"))
    vectors = first(noise)
    monkeypatch.setattr(
        transformers.AutoModel, "from_pretrained", lambda *args, **options: pytest.fail("again")
    )
    second = make_embedder(checkpoint("dinov2"), device="cpu", batch_size=3)
    np.testing.assert_allclose(second(noise), vectors, atol=1e-5)


def test_replaced_weights_are_read_anew(tmp_path, noise):
    folder = save_checkpoint("vit", tmp_path / "vit")
    before = on_cpu(folder)(noise)
    save_checkpoint("vit", folder, seed=1)
    assert not np.allclose(on_cpu(folder)(noise), before, atol=1e-3)


def test_sharded_weights(checkpoint, tmp_path, noise):
    folder = shutil.copytree(checkpoint("vit"), tmp_path / "vit")
    (folder / "model.safetensors").unlink()
    plain_model(checkpoint("vit")).save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    np.testing.assert_array_equal(on_cpu(folder)(noise), on_cpu(checkpoint("vit"))(noise))
    first = min(folder.glob("model-*.safetensors"))
    first.unlink()
    with pytest.raises(InputError, match=rf"lacks {first.name}, which model\.safetensors\.index\.json names"):
        on_cpu(folder)


def test_bf16_is_near_fp32(checkpoint, noise):
    folder = checkpoint("dinov2")
    exact = on_cpu(folder)(noise)
    rounded = make_embedder(folder, device="cpu", precision="bf16")(noise)
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()


def remove(name):
    return lambda folder: (folder / name).unlink()


def put(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def only_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_code(folder):
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text("raise SystemExit('code of the checkpoint ran')")


def without_a_layer(folder):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def of_other_size(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "patch_size": 4}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("config.json"), r"is no model folder: config\.json: No such file"),
        (put("config.json", b"{"), r"is no model folder: config\.json is no JSON"),
        (put("config.json", b"{}"), r"config\.json names no model_type"),
        (remove("model.safetensors"), r"has no weights as safetensors"),
        (only_pickle, r"only as pytorch_model\.bin, a pickle, which can run code"),
        (put("model.safetensors", b"not tensors, but long enough"), r"is no safetensors file"),
        (remove("preprocessor_config.json"), r"has no preprocessor_config\.json: how the model wants"),
        (put("preprocessor_config.json", b"[]"), r"it holds no image processor"),
        (put("preprocessor_config.json", b"{"), r"cannot read .*preprocessor_config\.json"),
        (
            put("preprocessor_config.json", b'{"image_processor_type": "OwlImageProcessor"}'),
            r"OwlImage.* not known",
        ),
        (with_code, r"needs code of its own, which evfr never runs"),
        (without_a_layer, r"do not fit its config: missing keys: layernorm\.weight"),
        (of_other_size, r"transformers cannot load|do not fit its config: mismatched keys"),
        (put("config.json", b'{"model_type": "vit_mae"}'), r"hides random parts of every picture"),
    ],
)
def test_folders_that_are_refused(spoil, message, checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("vit"), tmp_path / "vit")
    spoil(folder)
    with pytest.raises((InputError, ValueError), match=message):
        on_cpu(folder).load()


def test_cut_weights(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("vit"), tmp_path / "vit")
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1000])
    with pytest.raises(InputError, match=r"transformers cannot load .*vit: "):
        on_cpu(folder).load()


def test_texts_need_a_tokenizer(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("clip"), tmp_path / "clip")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(InputError, match=r"has no tokenizer \(tokenizer\.json\), so it cannot embed texts"):
        on_cpu(folder).embed_text(["a cat"])
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="transformers cannot read the tokenizer in"):
        on_cpu(folder).embed_text(["a cat"])


def test_wrong_options(checkpoint):
    folder = checkpoint("dinov2")
    with pytest.raises(ValueError, match="pooling must be one of auto, pooler, mean, features, got 'max'"):
        on_cpu(folder, pooling="max")
    with pytest.raises(ValueError, match=r"pooling 'features' is for models that know texts .* not dinov2"):
        on_cpu(folder, pooling="features")
    with pytest.raises(ValueError, match=r"has no option 'size'; it takes pooling, revision"):
        on_cpu(folder, size=3)
    with pytest.raises(ValueError, match="revision is for models on the hub"):
        on_cpu(folder, revision="main")
    with pytest.raises(ValueError, match=r"weights are for resnet50 and timm:NAME; .* takes none"):
        make_embedder(folder, weights="w.pth")


@pytest.mark.parametrize("name", ["dinov2", "nobody/nothing"])
def test_a_hub_model_without_a_hub(name, tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    said = "facebook/dinov2-base" if name == "dinov2" else name
    message = rf"cannot get {said}: .* hub cannot be reached; run 'hf download {said}' .* or pass the path"
    with pytest.raises(InputError, match=message):
        make_embedder(name)
    with pytest.raises(InputError, match=message):
        preprocess_of(name)


def test_a_hub_model_from_the_cache(checkpoint, noise, tmp_path, monkeypatch):
    import huggingface_hub.constants as constants

    commit = "a" * 40
    home = tmp_path / "models--owner--tiny"
    shutil.copytree(checkpoint("dinov2"), home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    embedder = make_embedder("owner/tiny", device="cpu")
    assert (embedder.parameters["model"], embedder.parameters["revision"]) == ("owner/tiny", commit)
    np.testing.assert_array_equal(embedder(noise), on_cpu(checkpoint("dinov2"))(noise))
    assert repr(embedder) == "TorchEmbedder('owner/tiny', device='cpu', precision='fp32')"
    assert isinstance(embedder, TorchEmbedder)
    (home / "snapshots" / commit / "model.safetensors").unlink()
    with pytest.raises(
        InputError, match=rf"owner/tiny on the hub, at revision {commit}, has no weights as safe"
    ):
        make_embedder("owner/tiny", device="cpu")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("RepositoryNotFoundError", "hub has no model owner/tiny, and there is no such folder"),
        ("RevisionNotFoundError", "hub has no model owner/tiny"),
        ("GatedRepoError", "owner/tiny is gated: accept its terms"),
        ("HfHubHTTPError", "hub cannot be reached"),
    ],
)
def test_what_the_hub_answers(error, message, monkeypatch):
    import huggingface_hub

    kind = getattr(huggingface_hub.errors, error)

    def answer(*args, **options):
        raise kind.__new__(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    with pytest.raises(InputError, match=message):
        make_embedder("owner/tiny")
