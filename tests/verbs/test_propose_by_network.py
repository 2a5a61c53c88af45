"""`evfr propose --method detector`: a network that was just trained detects on key frames and carries what it finds."""

from __future__ import annotations

import numpy as np
import pytest

import evfr
from evfr._core.annotations import Category
from evfr.annotations import read
from evfr.models import seq_maskrcnn, write_seq_maskrcnn
from evfr.training import Recipe, SequenceClip, train_seq_maskrcnn
from helpers.clips import write_clip
from helpers.coded import moving_square

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
pytest.importorskip("safetensors")


@pytest.mark.slow
def test_a_network_of_ten_seconds_proposes_the_square_it_was_trained_on(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    module = seq_maskrcnn(class_count=1, backbone="resnet18", channels=16, size=(96, 64))
    module.backbone.body.requires_grad_(False)
    clips = [moving_square(8, seed=seed) for seed in (0, 1)]

    def draw(rng):
        frames, masks = clips[int(rng.integers(2))]
        places = np.sort(rng.choice(8, 3, replace=False))[:: rng.choice([-1, 1])]
        return SequenceClip(np.stack([frames[t] for t in places]), masks[places][:, None], np.array([0]))

    train_seq_maskrcnn(
        module, draw, Recipe(60, 3e-3, warmup=5, max_gradient_norm=35.0), mirror=False, out=tmp_path / "run"
    )
    write_seq_maskrcnn(module, tmp_path / "network", categories=[Category(1, "square")])
    frames, truth = moving_square(10, seed=0)
    result = evfr.propose(
        write_clip(tmp_path / "square.mp4", frames, options={"crf": "8"}),
        detector=tmp_path / "network",
        method="detector",
        key_frames=3,
        out=tmp_path / "found.parquet",
        store=tmp_path / "store",
        executor="serial",
        working_size=(),
    )
    torch.set_num_threads(before)
    assert "carried by detector" in str(result)
    tracks = {}
    for row in read(tmp_path / "found.parquet").objects():
        tracks.setdefault((row.score, row.track_id), {})[row.frame_index] = row.mask.to_mask()
    (score, _), masks = max(tracks.items(), key=lambda item: item[0])
    assert score > 0.5
    assert sorted(masks) == list(range(10))
    shared = [(masks[t] & truth[t]).sum() / (masks[t] | truth[t]).sum() for t in range(10)]
    # Measured: one sequence, of score 0.93 and mean IoU 0.77.
    assert np.mean(shared) > 0.6
