"""Seq Mask R-CNN: attention, head, names and files; as a detector, and as a session that carries masks."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from evfr._core.annotations import Category
from evfr.errors import InputError
from evfr.models import SeqMaskRcnnDetector, SequenceSession, open_detector, seq_maskrcnn, write_seq_maskrcnn
from evfr.propagation import session
from helpers.decoys import decoys
from helpers.moving import Mover, draw, interval_of, texture

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
modules = pytest.importorskip("evfr.models._seq_maskrcnn_modules")

TINY = {"backbone": "resnet18", "channels": 8, "size": (96, 64)}
CLASSES = (Category(3, "duck"), Category(7, "boat"))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def module():
    return seq_maskrcnn(class_count=2, seed=1, **TINY)


@pytest.fixture(scope="module")
def folder(module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seq")
    write_seq_maskrcnn(module, folder, categories=CLASSES, memory_every=2, memory_limit=4)
    return folder


@pytest.fixture(scope="module")
def clip():
    return draw([Mover((40, 40), (0, 3)), Mover((60, 90), (0, -2), seed=2)], 6)


def attention(keys, values, query, top_k=0):
    """Attend as the formula reads, one object and cell at a time."""
    out = np.zeros((len(keys), values.shape[1], query.shape[1]))
    for k, n in np.ndindex(len(keys), query.shape[1]):
        likeness = keys[k].T @ query[:, n] / np.sqrt(len(query))
        if top_k:
            likeness[np.argsort(likeness)[:-top_k]] = -np.inf
        weight = np.exp(likeness - likeness.max())
        out[k, :, n] = values[k] @ (weight / weight.sum())
    return out


@pytest.mark.parametrize("top_k", [0, 1, 3, 50])
@pytest.mark.parametrize("cells", [1 << 24, 40])
def test_attention_against_the_formula(top_k, cells, monkeypatch):
    monkeypatch.setattr(modules, "_CELLS", cells)
    rng = np.random.default_rng(0)
    keys, values, query = (rng.normal(size=size) for size in ((2, 4, 7), (2, 5, 7), (4, 6)))
    found = modules.read_memory(*(torch.from_numpy(a) for a in (keys, values, query)), top_k=top_k)
    assert np.allclose(found.numpy(), attention(keys, values, query, min(top_k, 7)))


def test_a_cell_reads_the_value_of_the_key_it_equals():
    keys = torch.eye(4)[None] * 100.0
    values = torch.arange(8.0).view(1, 2, 4)
    found = modules.read_memory(keys, values, torch.eye(4)[:, [2, 0]])
    assert torch.allclose(found, values[:, :, [2, 0]])


def test_objects_compete_by_their_odds():
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 5)))
    found = modules.compete(logits).exp().numpy()
    p = 1 / (1 + np.exp(-logits.numpy()))
    every = np.concatenate([np.prod(1 - p, axis=0)[None], p])
    odds = every / (1 - every)
    assert np.allclose(found, odds / odds.sum(axis=0))
    # However sure it is, it stays finite and can be taught otherwise.
    far = torch.tensor([-80.0, -30.0, 30.0, 80.0])[None, None].requires_grad_()
    log_soft = modules.compete(far)
    assert torch.isfinite(log_soft).all()
    log_soft[1, :, :2].sum().backward()
    assert (far.grad[..., :2] > 0.5).all()


def test_every_weight_of_the_head_gets_a_gradient():
    head = modules.SequenceHead(8)
    features = {level: torch.randn(1, 8, 64 >> n, 96 >> n) for n, level in ((2, "0"), (3, "1"), (4, "2"))}
    keys, values = head.memorise(features, (torch.rand(3, 64, 96) > 0.5).float())
    assert keys.shape == (3, 128, 24)
    assert values.shape == (3, 8, 24)
    logits = head(features, keys, values)
    assert logits.shape == (3, 64, 96)
    logits.square().mean().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_objects_know_of_each_other_but_not_of_their_order():
    head = modules.SequenceHead(8)
    features = {level: torch.randn(1, 8, 16 >> n, 24 >> n) for n, level in enumerate("012")}
    torch.nn.init.normal_(head.mask_key.weight)
    masks = (torch.rand(3, 64, 96) > 0.5).float()
    keys, values = head.memorise(features, masks)
    turned = head.memorise(features, masks[[2, 0, 1]])
    assert torch.allclose(keys[[2, 0, 1]], turned[0], atol=1e-5)
    assert torch.allclose(values[[2, 0, 1]], turned[1], atol=1e-5)
    assert not torch.allclose(values[:1], head.memorise(features, masks[:1])[1], atol=1e-3)


def test_a_fresh_head_reads_the_mask_of_what_looks_alike(monkeypatch):
    """Two objects of one size change places: what a cell reads of the mask if values were the mask itself."""
    module = seq_maskrcnn(class_count=1, **(TINY | {"channels": 16}))
    asked = []
    real = modules.read_memory
    monkeypatch.setattr(modules, "read_memory", lambda *a, **k: asked.append(a) or real(*a, **k))
    read = []
    for seed in (0, 1):
        frames, masks = decoys(seed, 2, side=64, size=192)
        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        cells = torch.nn.functional.avg_pool2d(torch.from_numpy(masks).float(), 16).flatten(2)
        with torch.inference_mode():
            pyramid = module.backbone((pictures - 0.45) / 0.225)
            one, two = ({name: level[t : t + 1] for name, level in pyramid.items()} for t in (0, 1))
            keys, values = module.propagation.memorise(one, torch.from_numpy(masks[0]).float())
            module.propagation(two, keys, values)
            mine = real(keys, cells[0][:, None], asked[-1][2])[:, 0]
        for k in range(2):
            own, other = cells[1, k] > 0.9, cells[1, 1 - k] > 0.9
            ground = cells[1].sum(dim=0) < 0.1
            read.append([float(mine[k, part].mean()) for part in (own, other, ground)])
    own, other, ground = np.mean(read, axis=0)
    # Measured on 6 scenes of 256x256: 0.59, 0.15 and 0.03. Keys of 4 numbers of level 1/16 alone, not centred and with
    # masks in them, give 0.06, 0.08 and 0.07.
    assert own > other + 0.2
    assert ground < 0.1


@pytest.mark.slow
def test_the_detector_part_has_torchvisions_names_and_shapes():
    detection = pytest.importorskip("torchvision.models.detection")
    with torch.device("meta"):
        theirs = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
        ours = modules.build_maskrcnn("resnet50", 90, 256, (640, 320))
    shapes = [
        {name: t.shape for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}
        for net in (theirs, ours)
    ]
    assert shapes[0] == shapes[1]


def test_same_seed_same_weights_and_features_of_sound_size(module):
    again = seq_maskrcnn(class_count=2, seed=1, **TINY).state_dict()
    other = seq_maskrcnn(class_count=2, seed=2, **TINY).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in module.state_dict().items())
    assert not torch.equal(again["propagation.last.weight"], other["propagation.last.weight"])
    assert torch.equal(again["propagation.query_key.weight"], again["propagation.memory_key.weight"])
    assert module.fresh == ("backbone.", "rpn.", "roi_heads.", "propagation.")
    # Statistics are measured, not those of fresh normalisation, which let features of a deep network grow 1000-fold.
    assert (module.backbone.body.layer4[1].bn2.running_var != 1).all()
    picture = torch.from_numpy(texture(3, 96, 128)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        stages = module.backbone.body((picture - 0.45) / 0.225)
    assert all(0.5 < float(stage.std()) < 2 for stage in stages.values())


@pytest.fixture
def unmeasured(monkeypatch):
    """Build networks faster where the statistics of a random backbone do not matter."""
    monkeypatch.setattr(modules, "calibrate", lambda body: None)


def plain(module):
    return {n: t.clone() for n, t in module.state_dict().items() if not n.startswith("propagation.")}


@pytest.mark.usefixtures("unmeasured")
def test_a_plain_mask_rcnn_starts_the_detector(module, tmp_path):
    path = tmp_path / "plain.safetensors"
    state = plain(module)
    # As the published files are named, and as batch normalisation that counts saves itself.
    old = {"rpn.head.conv.0.0": "rpn.head.conv"}
    old |= {f"roi_heads.mask_head.{n}.0": f"roi_heads.mask_head.mask_fcn{n + 1}" for n in range(4)}
    named = {}
    for name, value in state.items():
        stem, _, last = name.rpartition(".")
        named[f"{old.get(stem, stem)}.{last}"] = value
    named["backbone.body.bn1.num_batches_tracked"] = torch.tensor(3)
    safetensors.save_file(named, path)
    loaded = seq_maskrcnn(path, class_count=2, seed=9, **TINY)
    assert loaded.fresh == ("propagation.",)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in state.items())
    fewer = seq_maskrcnn(path, class_count=1, seed=9, **TINY)
    assert fewer.fresh == (
        "propagation.",
        "roi_heads.box_predictor.",
        "roi_heads.mask_predictor.mask_fcn_logits.",
    )
    assert fewer.roi_heads.box_predictor.cls_score.out_features == 2
    assert torch.equal(fewer.rpn.head.bbox_pred.weight, module.rpn.head.bbox_pred.weight)


@pytest.mark.usefixtures("unmeasured")
def test_files_that_do_not_fit(module, tmp_path):
    path = tmp_path / "wrong.safetensors"
    state = {name: t.contiguous() for name, t in module.state_dict().items()}
    del state["propagation.last.bias"]
    state["propagation.reduce.weight"] = torch.zeros(4, 15, 3, 3)
    state["extra"] = torch.zeros(1)
    safetensors.save_file(state, path)
    with pytest.raises(InputError, match="is not for this network") as error:
        seq_maskrcnn(path, class_count=2, **TINY)
    for text in (
        "lacks propagation.last.bias 1",
        "has the unknown extra 1",
        "has propagation.reduce.weight 4x15x3x3 where propagation.reduce.weight 4x16x3x3 belongs",
    ):
        assert text in str(error.value)
    safetensors.save_file(plain(module), path)
    with pytest.raises(InputError, match="is not for this network"):
        seq_maskrcnn(path, class_count=2, **(TINY | {"channels": 16}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_count": 0}, "class_count must be 1 or more, got 0"),
        ({"backbone": "vgg"}, "backbone must be one of resnet18, .* got 'vgg'"),
        ({"channels": 3}, "channels must be 4 or more, got 3"),
        ({"size": (640,)}, r"size must be two sides of 32 pixels or more, got \(640,\)"),
        ({"size": (640, 31)}, "size must be two sides of 32 pixels"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        seq_maskrcnn(**({"class_count": 1} | options))


@pytest.mark.usefixtures("unmeasured")
def test_it_opens_as_it_was_written(module, folder, clip):
    frames, _ = clip
    detector = open_detector(folder / "model.safetensors", kind="seq-maskrcnn", min_score=0.0, limit=5)
    assert isinstance(open_detector(folder), SeqMaskRcnnDetector)
    assert detector.categories == CLASSES
    found = detector.detect(frames[0])
    assert len(found) == 5
    assert found.class_scores.shape == (5, 2)
    at = detector.score_boxes(frames[0], found.boxes_xyxy)
    assert at.shape == (5, 2)
    # The same weights in the module that was written.
    module.eval()
    boxes = module([torch.from_numpy(frames[0]).permute(2, 0, 1).float() / 255])[0]
    with torch.inference_mode():
        assert np.isclose(found.scores.max(), float(boxes["scores"].max()), atol=1e-5)
    from_folder = SeqMaskRcnnDetector(folder, names=["a", "b"], min_score=0.0, limit=5)
    assert [c.name for c in from_folder.categories] == ["a", "b"]
    assert np.array_equal(from_folder.detect(frames[0]).scores, found.scores)
    copy = pickle.loads(pickle.dumps(from_folder))
    assert np.array_equal(copy.detect(frames[0]).boxes_xyxy, found.boxes_xyxy)
    assert repr(copy) == "SeqMaskRcnnDetector('model.safetensors', 2 classes, cpu)"


@pytest.mark.usefixtures("unmeasured")
def test_its_sessions_carry_as_sessions_of_the_module_do(module, folder, clip):
    frames, masks = clip
    detector = SeqMaskRcnnDetector(folder)
    detector.detect(frames[0])
    one, two = detector.open_session(), SequenceSession(module, memory_every=2, memory_limit=4)
    for opened in (one, two):
        opened.add_key(0, frames[0], {5: masks[0, 0], 2: masks[0, 1]})
    for t in range(1, 4):
        first, second = one.step(t, frames[t]), two.step(t, frames[t])
        assert list(first) == [5, 2]
        for track in first:
            assert first[track].shape == frames[0].shape[:2]
            assert first[track].dtype == np.float32
            assert first[track].min() >= 0
            assert np.array_equal(first[track], second[track])
        assert sum(first.values()).max() <= 1 + 1e-5
    one.close()


@pytest.mark.parametrize(
    ("every", "limit", "frames_read"),
    [(2, 10, [1, 2, 2, 3, 3]), (1, 3, [1, 2, 3, 3, 3]), (1, 2, [1, 2, 2, 2, 2])],
)
def test_what_is_remembered(module, clip, every, limit, frames_read):
    """The key frame stays; every m-th frame and the one before join it, and the oldest of those go first."""
    frames, masks = clip
    opened = SequenceSession(module, memory_every=every, memory_limit=limit)
    opened.add_key(0, frames[0], {1: masks[0, 0]})
    keys = []
    hook = module.propagation.register_forward_pre_hook(lambda _, inputs: keys.append(inputs[1].clone()))
    for t in range(1, 6):
        opened.step(t, frames[t])
    hook.remove()
    cells = keys[0].shape[2]
    assert [k.shape[2] // cells for k in keys] == frames_read
    for k in keys:
        assert torch.equal(k[:, :, :cells], keys[0])


def test_pictures_of_odd_sizes_and_top_k(module):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 47, 81, 3), dtype=np.uint8)
    mask = np.zeros((47, 81), np.bool_)
    mask[10:20, 30:50] = True
    opened = SequenceSession(module, top_k=4)
    opened.add_key(0, frames[0], {1: mask})
    assert opened.step(1, frames[1])[1].shape == (47, 81)


@pytest.mark.usefixtures("unmeasured")
def test_it_works_as_a_method_of_label_carry(folder, clip):
    frames, masks = clip
    maker = SeqMaskRcnnDetector(folder).open_session
    interval = interval_of(frames[:3], masks[:3])
    first, second = session(interval, session=maker), session(interval, session=maker)
    assert first.masks == second.masks
    assert not [end for end in first.ends if end.reason.startswith("failed")]


def test_sessions_refuse(module, clip):
    frames, masks = clip
    opened = SequenceSession(module)
    with pytest.raises(ValueError, match="frame 4 came before any labelled frame; call add_key first"):
        opened.step(4, frames[0])
    with pytest.raises(ValueError, match="no object to follow: frame 2 has no mask"):
        opened.add_key(2, frames[0], {})
    opened.add_key(0, frames[0], {1: masks[0, 0]})
    with pytest.raises(ValueError, match="the session follows one labelled frame, got frame 3 as well"):
        opened.add_key(3, frames[0], {1: masks[0, 0]})
    for options in ({"memory_every": 0}, {"memory_limit": 1}, {"top_k": -1}):
        with pytest.raises(ValueError, match="memory_every must be 1 or more, memory_limit 2 or more"):
            SequenceSession(module, **options)


@pytest.mark.usefixtures("unmeasured")
def test_folders_that_do_not_open(module, folder, tmp_path):
    with pytest.raises(ValueError, match="the network has 2 classes, got 1 categories"):
        write_seq_maskrcnn(module, tmp_path, categories=CLASSES[:1])
    with pytest.raises(InputError, match="has 2 classes, 1 names were given"):
        SeqMaskRcnnDetector(folder, names=["a"])
    with pytest.raises(ValueError, match="memory_every must be 1 or more"):
        SeqMaskRcnnDetector(folder, memory_every=0)
    weights, note = tmp_path / "model.safetensors", tmp_path / "model.json"
    with pytest.raises(InputError, match=r"needs model\.json beside it"):
        SeqMaskRcnnDetector(weights)
    whole = json.loads((folder / "model.json").read_text())
    for text, message in (
        ("nonsense", "is no JSON"),
        (json.dumps(whole | {"kind": "covos"}), "is of the kind 'covos', not 'seq-maskrcnn'"),
        (json.dumps({"kind": "seq-maskrcnn"}), r"lacks something .* \(KeyError: 'size'\)"),
        (
            json.dumps(whole | {"channels": None}),
            r"lacks something or has a value of another type \(TypeError",
        ),
    ):
        note.write_text(text)
        with pytest.raises(InputError, match=message):
            SeqMaskRcnnDetector(tmp_path)
    note.write_text(json.dumps(whole))
    safetensors.save_file(plain(module), weights)
    with pytest.raises(InputError, match=r"has no propagation\.: it is a plain Mask R-CNN"):
        SeqMaskRcnnDetector(tmp_path)
