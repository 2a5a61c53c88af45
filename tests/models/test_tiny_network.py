"""The network `tiny`: its size, what it gives in which cells, masks as blobs and maps, and seeds."""

from __future__ import annotations

import pytest

from evfr.models import tiny_network

torch = pytest.importorskip("torch")
modules = pytest.importorskip("evfr.models._tiny_modules")


def test_size_and_shapes():
    network = tiny_network(5)
    assert 200_000 <= sum(p.numel() for p in network.parameters()) <= 400_000
    assert not network.training
    found = network(torch.zeros((2, 3, 40, 50), dtype=torch.uint8))  # padded to 48 x 64
    assert found.logits.shape == (2, 48, 5)
    assert found.boxes.shape == (2, 48, 4)
    assert found.coefficients.shape == (2, 48, 12 + 6)
    assert found.basis.shape == (2, 18, 12, 16)
    assert torch.isfinite(found.boxes).all()
    assert modules.mask_logits(found.coefficients[:, :7], found.basis).shape == (2, 7, 12, 16)


def test_an_untrained_cell_sees_a_typical_box_around_itself_and_hardly_an_object():
    network = tiny_network(2)
    with torch.no_grad():
        found = network(torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8))
    assert float(torch.sigmoid(found.logits).mean()) == pytest.approx(0.02, abs=0.01)
    centre = (found.boxes[0, :, :2] + found.boxes[0, :, 2:]) / 2
    cells = torch.tensor([[8 * (cell % 6) + 4.0, 8 * (cell // 6) + 4.0] for cell in range(24)])
    assert (centre - cells).abs().max() < 4
    assert ((found.boxes[0, :, 2:] - found.boxes[0, :, :2]) / 24 - 1).abs().max() < 0.5


def test_a_blob_is_a_quadratic_around_its_cell():
    generator = torch.Generator().manual_seed(0)
    blob = torch.randn((1, 6, 6), generator=generator)
    centres = modules._grid(2, 3, 8.0, blob)
    maps = torch.zeros((1, 1, 4, 6))
    found = modules.mask_logits(modules._expanded(blob, centres), modules._powers(maps))
    assert found.shape == (1, 6, 4, 6)
    for cell, (row, column) in ((0, (0, 0)), (4, (3, 1)), (5, (2, 5))):
        # The middle of a pixel of the basis, from the cell's centre, in units of 32 px.
        x = (4 * column + 2 - (8 * (cell % 3) + 4)) / 32
        y = (4 * row + 2 - (8 * (cell // 3) + 4)) / 32
        c, px, py, pxx, pxy, pyy = blob[0, cell].tolist()
        wanted = c + px * x + py * y + pxx * x * x + pxy * x * y + pyy * y * y
        assert float(found[0, cell, row, column]) == pytest.approx(wanted, abs=1e-5)


def test_seeds_make_the_weights_and_leave_torch_alone():
    state = torch.get_rng_state()
    one, same, other = (tiny_network(3, width=8, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head[0].weight, other.head[0].weight)


@pytest.mark.parametrize("numbers", [(0, 8, 1), (1, 7, 1), (1, 8, 0)])
def test_wrong_numbers(numbers):
    classes, width, maps = numbers
    told = f"class_count and maps must be 1 or more and width 8 or more, got {classes}, {maps} and {width}"
    with pytest.raises(ValueError, match=told):
        tiny_network(classes, width=width, maps=maps)
