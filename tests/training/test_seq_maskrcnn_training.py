"""Training Seq Mask R-CNN: the loss by hand, a falling loss, exact resume; and that it follows what it has learnt."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest

from evfr.models import SequenceSession, seq_maskrcnn
from evfr.training import Recipe, SequenceClip, train, train_seq_maskrcnn
from evfr.training._seq_maskrcnn import _boxes, _propagation_loss
from helpers.coded import moving_square
from helpers.decoys import decoys

torch = pytest.importorskip("torch")

TINY = {"backbone": "resnet18", "channels": 8, "size": (96, 64)}


def network(seed=0, **changes):
    module = seq_maskrcnn(class_count=2, seed=seed, **(TINY | changes))
    # A random backbone tells colours apart as well, and the heads learn without it in seconds.
    module.backbone.body.requires_grad_(False)
    return module


def drawing(seeds=(0, 1), count=5):
    """Draw three frames of one of some clips of a moving square, whose class is the number of the clip."""
    clips = [moving_square(count, seed=seed) for seed in seeds]

    def draw(rng):
        category = int(rng.integers(len(clips)))
        frames, masks = clips[category]
        places = np.sort(rng.choice(count, 3, replace=False))[:: rng.choice([-1, 1])]
        return SequenceClip(
            np.stack([frames[t] for t in places]), masks[places][:, None], np.array([category])
        )

    return draw


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


class Told:
    """A head that answers what it is told, and keeps what it was asked to remember."""

    def __init__(self, logits):
        self.logits, self.remembered = list(logits), []

    def memorise(self, features, masks):
        self.remembered.append(masks.clone())
        return torch.zeros(len(masks), 1, 4), torch.zeros(len(masks), 1, 4)

    def __call__(self, features, keys, values):
        assert keys.shape[2] == 4 * len(self.remembered)
        return self.logits.pop(0)


def test_the_propagation_loss_by_hand():
    """Two objects that overlap: the smaller is in front; cross-entropy after competition, and soft IoU."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 2, 4, 6), np.bool_)
    masks[:, 0, :3, :4] = True
    masks[:, 1, 1:3, 2:5] = True
    masks[2, 1] = False
    logits = rng.normal(size=(2, 2, 8, 8)).astype(np.float32)

    class Scaled:
        image_sizes = ((4, 6),)
        tensors = torch.zeros(3, 3, 8, 8)

    head = Told(torch.from_numpy(logits))
    found = float(_propagation_loss(torch, head, {}, torch.from_numpy(masks), Scaled))
    wanted, predicted = 0.0, None
    for t in (1, 2):
        p = 1 / (1 + np.exp(-logits[t - 1, :, :4, :6].astype(np.float64)))
        every = np.concatenate([np.prod(1 - p, axis=0)[None], p])
        odds = every / (1 - every)
        soft = odds / odds.sum(axis=0)
        predicted = soft[1:] if t == 1 else predicted
        label = np.where(masks[t, 1], 2, np.where(masks[t, 0], 1, 0))
        wanted -= np.log(np.take_along_axis(soft, label[None], 0)).mean()
        ious = []
        for k in (1, 2):
            seen = label == k
            shared = soft[k][seen].sum()
            ious.append(shared / (soft[k].sum() + seen.sum() - shared))
        wanted += 1 - np.mean(ious)
    assert found == pytest.approx(wanted / 2, rel=1e-5)
    # The first frame is remembered as people drew it, the second as it was predicted, the last not at all.
    assert len(head.remembered) == 2
    assert torch.equal(head.remembered[0][:, :4, :6], torch.from_numpy(masks[0]).float())
    assert np.allclose(head.remembered[1][:, :4, :6].numpy(), predicted, atol=1e-5)
    assert not head.remembered[1][:, 4:].any()
    assert not head.remembered[1][:, :, 6:].any()


def test_boxes_are_tight():
    masks = np.zeros((2, 5, 7), np.bool_)
    masks[0, 1:3, 2:6] = True
    masks[1, 4, 0] = True
    assert _boxes(masks).tolist() == [[2, 1, 6, 3], [0, 4, 1, 5]]


@pytest.mark.slow
def test_the_loss_falls_on_two_clips():
    module = network()
    body = module.backbone.body.layer4[0].conv1.weight.clone()
    done = train_seq_maskrcnn(module, drawing(), Recipe(iterations=14, learning_rate=4e-3, warmup=2))
    assert done.loss[-4:].mean() < 0.75 * done.loss[:4].mean()
    assert torch.equal(body, module.backbone.body.layer4[0].conv1.weight)
    assert not module.training


def test_every_part_learns_and_weights_decide_which():
    for weight, is_taught in ((1.0, True), (0.0, False)):
        module = network()
        train_seq_maskrcnn(
            module,
            drawing(),
            Recipe(iterations=1, optimizer="sgd", learning_rate=1e-12),
            propagation_weight=weight,
        )
        taught = {
            part: any(
                p.grad is not None and float(p.grad.abs().sum()) > 0
                for p in getattr(module, part).parameters()
            )
            for part in ("backbone", "rpn", "roi_heads", "propagation")
        }
        assert taught == {"backbone": True, "rpn": True, "roi_heads": True, "propagation": is_taught}


@pytest.mark.slow
def test_resume_gives_the_same_weights(tmp_path):
    recipe = Recipe(2, 1e-3, "sgd", checkpoint_every=3, max_gradient_norm=35.0)
    whole, first = network(), network()
    other = deepcopy(first)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    straight = train_seq_maskrcnn(whole, drawing(), recipe)
    for stop, parts in ((1, first), (None, other)):
        last = train_seq_maskrcnn(parts, drawing(), recipe, out=tmp_path, stop_after=stop)
    assert last.resumed_at == 1
    assert np.array_equal(last.loss, straight.loss)
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_objects_are_drawn_where_there_are_more():
    seen = []

    def draw(rng):
        masks = np.zeros((2, 4, 48, 80), np.bool_)
        for k in range(4):
            masks[:, k, 8 * k : 8 * k + 8, 10:30] = True
        return SequenceClip(np.zeros((2, 48, 80, 3), np.uint8), masks, np.array([0, 1, 0, 1]))

    module = network()
    hook = module.propagation.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[1])))
    train_seq_maskrcnn(module, draw, Recipe(iterations=1), objects=3)
    hook.remove()
    assert seen == [3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size and objects must be 1 or more, got 0 and 5"),
        ({"objects": 0}, "got 1 and 0"),
        ({"propagation_weight": -1.0}, "propagation_weight must be 0 or more, got -1.0"),
        ({"propagation_weight": float("nan")}, "propagation_weight must be 0 or more, got nan"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        train_seq_maskrcnn(None, drawing(), Recipe(iterations=1), **options)


@pytest.mark.slow
def test_after_a_short_training_it_follows_a_square_and_leaves_a_still_one_where_it_is():
    """Mean IoU over frames 1 to 4 of a square that moves 4 px a frame (16 px wide), against the label copied."""
    module = network(channels=16)
    train_seq_maskrcnn(module, drawing(), Recipe(iterations=60, learning_rate=3e-3, warmup=5), mirror=False)
    scores = {}
    for name, seed, speed in (("trained", 0, 4), ("unseen", 7, 4), ("still", 0, 0)):
        frames, masks = moving_square(seed=seed, speed=speed)
        opened = SequenceSession(module)
        opened.add_key(0, frames[0], {1: masks[0]})
        found = [iou(opened.step(t, frames[t])[1] > 0.5, masks[t]) for t in range(1, 5)]
        scores[name] = float(np.mean(found)), float(np.mean([iou(masks[0], masks[t]) for t in range(1, 5)]))
    assert scores["trained"][1] == scores["unseen"][1] == pytest.approx(0.269, abs=1e-3)
    # Measured: 0.90, 0.87 and 0.86.
    assert scores["trained"][0] > 0.7
    assert scores["unseen"][0] > scores["unseen"][1] + 0.3
    assert scores["still"][0] > 0.7


@pytest.mark.slow
def test_it_follows_the_object_it_was_told_to_and_not_the_one_beside_it():
    """Two objects of one size and shape, of different looks, change places; scenes and looks are new to the network."""
    module = network(channels=32, size=(256, 256)).requires_grad_(False)
    head = module.propagation.requires_grad_(True)

    def seen(seed):
        frames, masks = decoys(seed)
        pictures = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in frames]
        with torch.no_grad():
            scaled, _ = module.transform(pictures)
            return module.backbone(scaled.tensors), torch.from_numpy(masks), scaled

    scenes = [seen(seed) for seed in range(60)]

    def draw(rng, _):
        features, masks, scaled = scenes[int(rng.integers(len(scenes)))]
        return features, masks[:, [int(rng.integers(2))]], scaled

    def loss(head, batch):
        return _propagation_loss(torch, head, *batch)

    train(head, draw, loss, Recipe(200, 1e-3, warmup=20, max_gradient_norm=1.0))
    scores = []
    for seed in range(1000, 1016):
        frames, masks = decoys(seed)
        told = seed % 2
        opened = SequenceSession(module)
        opened.add_key(0, frames[0], {1: masks[0, told]})
        for t in (1, 2):
            found = opened.step(t, frames[t])[1] > 0.5
            scores.append([iou(a, masks[t, told]) for a in (found, masks[0, told])])
            scores[-1].append(iou(found, masks[t, 1 - told]))
    own, copied, other = np.mean(scores, axis=0)
    # Measured: 0.40 with the object that was labelled, 0.06 with the other; the copied label has 0.00.
    assert own > 0.3
    assert own > other + 0.2
    assert own > copied + 0.2
