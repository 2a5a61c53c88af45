"""The picture a vector points into, and what a file's own vectors say of motion from frame to frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evfr.errors import VideoError
from evfr.video import MOTION_VECTOR_DTYPE, StreamVectors, candidate_references, frames
from evfr.video._luma import grey_of_rgb
from helpers.clips import write_clip
from helpers.motion_clips import drawn_texture, textured_cells, translation, vector_row, vectors_from

WORLD = grey_of_rgb(drawn_texture(300, 400, seed=5))
PLACES = (20, 23, 31, 36, 48, 50)


def look(x: int, y: int = 40) -> np.ndarray:
    return np.ascontiguousarray(WORLD[y : y + 128, x : x + 192])


GREYS = [look(x) for x in PLACES]


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 5])
def test_the_picture_that_shows_the_same_is_found(distance: int) -> None:
    motion = (PLACES[5] - PLACES[5 - distance], 0)
    rows = [vector_row(-1, (16 * k, 48, 16, 16), motion) for k in range(1, 8)]
    found = candidate_references(vectors_from(rows), GREYS[5], GREYS[4::-1], [])
    assert found.reference.tolist() == [distance - 1] * 7
    assert (found.error == 0).all()
    assert repr(found) == "BlockReferences(7 vectors, mean error 0.00)"


def test_of_equals_the_first_in_the_list_order_is_taken() -> None:
    still = [GREYS[0]] * 5
    rows = [vector_row(source, (16, 16, 16, 16), (0, 0)) for source in (-1, 1)]
    found = candidate_references(vectors_from(rows), GREYS[0], still[:3], still[3:])
    # List 0: the nearest past picture; list 1: the nearest future picture, which comes after 3 past ones.
    assert found.reference.tolist() == [0, 3]


def test_a_better_picture_must_gain_its_handicap() -> None:
    target = np.full((16, 16), 100, np.uint8)
    near, far = target + 2, target + 1
    row = vectors_from([vector_row(-1, (0, 0, 16, 16), (0, 0))])
    for penalty, wanted in ((0.0, 1), (0.9, 1), (1.1, 0)):
        found = candidate_references(row, target, [near, far], [], rank_penalty=penalty)
        assert found.reference.tolist() == [wanted]
        assert found.error[0] == (2 - wanted)


def plain_error(target: np.ndarray, picture: np.ndarray, row: np.void) -> float:
    """Read bilinearly, clamped, pixel by pixel."""
    height, width = target.shape
    left, top = int(row["dst_x"]) - int(row["w"]) // 2, int(row["dst_y"]) - int(row["h"]) // 2
    dx, dy = row["motion_x"] / row["motion_scale"], row["motion_y"] / row["motion_scale"]
    total, count = 0.0, 0
    for y in range(max(top, 0), min(top + int(row["h"]), height)):
        for x in range(max(left, 0), min(left + int(row["w"]), width)):
            x0, y0 = int(np.floor(dx)), int(np.floor(dy))
            a, b = dx - x0, dy - y0
            value = 0.0
            for oy, wy in ((0, 1 - b), (1, b)):
                for ox, wx in ((0, 1 - a), (1, a)):
                    v, u = min(max(y + y0 + oy, 0), height - 1), min(max(x + x0 + ox, 0), width - 1)
                    value += wy * wx * float(picture[v, u])
            total += abs(float(target[y, x]) - value)
            count += 1
    return total / count


def test_errors_equal_a_plain_loop_at_borders_and_between_pixels() -> None:
    rng = np.random.default_rng(3)
    target, one, other = (rng.integers(0, 256, (35, 43), np.uint8) for _ in range(3))
    rows = []
    for _ in range(60):
        x, y = int(rng.integers(0, 6)) * 8, int(rng.integers(0, 5)) * 8
        w, h = ((8, 8), (16, 8), (16, 16))[rng.integers(3)]
        motion = tuple(rng.integers(-90, 90, 2) / 4)
        rows.append(vector_row(int(rng.choice([-1, 1])), (x, y, w, h), motion))
    vectors = vectors_from(rows)
    found = candidate_references(vectors, target, [one], [other])
    for row, reference, error in zip(vectors, found.reference, found.error, strict=True):
        errors = [plain_error(target, one, row), plain_error(target, other, row)]
        handicaps = (0, 0.25) if row["source"] < 0 else (0.25, 0)
        assert reference == int(np.argmin(np.add(errors, handicaps)))
        assert error == pytest.approx(errors[reference], abs=1e-3)


def test_without_candidates_or_outside_nothing_is_found() -> None:
    row = vectors_from([vector_row(-1, (16, 16, 16, 16), (0, 0))])
    found = candidate_references(row, GREYS[0], [], [])
    assert (found.reference.tolist(), np.isnan(found.error).tolist()) == ([-1], [True])
    assert repr(found) == "BlockReferences(1 vectors, none found)"
    beyond = vectors_from([vector_row(-1, (0, 128, 16, 16), (0, 0))])
    assert candidate_references(beyond, GREYS[0], [GREYS[1]], []).reference.tolist() == [-1]
    none = np.empty(0, MOTION_VECTOR_DTYPE)
    assert len(candidate_references(none, GREYS[0], [GREYS[1]], []).reference) == 0


def test_candidates_that_do_not_fit_are_refused() -> None:
    none = np.empty(0, MOTION_VECTOR_DTYPE)
    with pytest.raises(
        ValueError, match=r"candidates must be \(128, 192\) as the target is, got \(128, 100\)"
    ):
        candidate_references(none, GREYS[0], [GREYS[0][:, :100]], [])
    with pytest.raises(ValueError, match="rank_penalty must be 0 grey levels or more, got -1"):
        candidate_references(none, GREYS[0], [], [], rank_penalty=-1)


# -- a file's own vectors ----------------------------------------------------------------------------------------------

MOTION = (4, -2)
COUNT = 26


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a translation coded as x264 does by default: B pyramid, three references, an I frame in the middle."""
    return write_clip(
        tmp_path_factory.mktemp("pyramid") / "pyramid.mp4",
        translation(COUNT, MOTION),
        b_frames=3,
        gop=13,
        options={
            "preset": "medium",
            "crf": "20",
            "x264-params": "b-adapt=0:ref=3:b-pyramid=normal:open-gop=0",
        },
    )


def images(path: Path) -> list[np.ndarray]:
    return [frame.image for frame in frames(path)]


def test_a_files_vectors_become_steps_to_both_neighbours(pyramid: Path) -> None:
    pictures = images(pyramid)
    with StreamVectors(pyramid) as stream:
        fields = stream.step_fields(pictures, np.arange(COUNT))
        assert repr(stream).startswith("StreamVectors('")
    assert (fields.name, fields.cell, fields.to_previous.shape) == ("stream", 8, (COUNT - 1, 16, 24, 2))
    assert fields.has_previous is not None
    inside = np.zeros((16, 24), bool)
    inside[2:-2, 2:-2] = True
    for t in range(COUNT - 1):
        # Also around the I frame 13, from its neighbours' vectors.
        chosen = inside & textured_cells(grey_of_rgb(pictures[t + 1]), 8)
        assert np.median(np.abs(fields.to_previous[t] - MOTION)[chosen]) <= 0.1, t
        chosen = inside & textured_cells(grey_of_rgb(pictures[t]), 8)
        assert np.median(np.abs(fields.to_next[t] + MOTION)[chosen]) <= 0.1, t


def test_stretches_give_what_the_whole_gives(pyramid: Path) -> None:
    pictures = images(pyramid)
    with StreamVectors(pyramid) as stream:
        whole = stream.step_fields(pictures, np.arange(COUNT))
        for start, stop in ((0, 5), (4, 12), (11, 26), (2, 9), (20, 26), (25, 26)):
            part = stream.step_fields(pictures[start:stop], np.arange(start, stop))
            assert len(part) == stop - start - 1
            np.testing.assert_array_equal(part.to_previous, whole.to_previous[start : stop - 1])
            np.testing.assert_array_equal(part.to_next, whole.to_next[start : stop - 1])


def test_memory_holds_a_stretch_and_a_few_frames(pyramid: Path) -> None:
    with StreamVectors(pyramid) as stream:
        stream.step_fields(images(pyramid)[14:16], np.arange(14, 16))
        assert len(stream._held) <= 2 + 2 * 12


def test_a_coded_clip_names_pictures_that_show_the_same(pyramid: Path) -> None:
    with StreamVectors(pyramid) as stream:
        clip = stream.coded_clip(0, 13)
        part = stream.coded_clip(3, 9)
    assert clip.picture_types == "IBBBPBBBPBBBP"
    assert clip.decode_order.tolist() == [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]
    assert part.picture_types == "BPBBBP"
    errors = []
    for t, lists in enumerate(clip.fields):
        for field in lists or ():
            has = field.has.copy()
            has[:3] = has[-3:] = has[:, :6] = has[:, -6:] = False
            distance = t - field.reference[has]
            errors.append(np.hypot(*(field.flow[has] - distance[:, None] * np.array(MOTION)).T))
    assert np.median(np.concatenate(errors)) <= 0.05
    assert (np.concatenate(errors) <= 1).mean() > 0.95


def test_what_no_stretch_can_be_is_refused(pyramid: Path, data_dir: Path) -> None:
    pictures = images(pyramid)
    with StreamVectors(pyramid) as stream:
        with pytest.raises(ValueError, match="each frame needs its number, got 2 frames and 3 numbers"):
            stream.step_fields(pictures[:2], np.arange(3))
        with pytest.raises(ValueError, match=r"frame_index must grow by 1 .* got \[0, 2\]"):
            stream.step_fields(pictures[:2], np.array([0, 2]))
        with pytest.raises(ValueError, match="the file has 26 frames, frame 27 was asked for"):
            stream.step_fields(pictures[:3], np.arange(25, 28))
        with pytest.raises(ValueError, match="frame 0 of the file is 192x128, the picture given is 100x128"):
            stream.step_fields([picture[:, :100] for picture in pictures[:2]], np.arange(2))
        with pytest.raises(ValueError, match="a stretch must have 0 <= start < stop, got 3 and 3"):
            stream.coded_clip(3, 3)
    with pytest.raises(VideoError, match="exports no motion vectors for hevc"):
        StreamVectors(data_dir / "codec" / "girlshy_hevc.h265")


def test_frames_that_did_not_decode_have_no_steps(pyramid: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.ts"
    pictures = translation(20, MOTION)
    write_clip(damaged, pictures, b_frames=0, gop=30)
    with StreamVectors(damaged) as stream:
        whole = stream.step_fields(pictures, np.arange(20))
        kept = [coded for coded in stream._held if coded.vectors.frame_index != 7]
        stream._held.clear()
        stream._held.extend(kept)
        fields = stream.step_fields(pictures, np.arange(20))
        assert fields.has_previous is not None
        assert not fields.has_previous[6].any()
        assert not fields.has_previous[7].any()
        assert (fields.to_next[6:8] == 0).all()
        assert fields.has_previous[8].any()
        np.testing.assert_array_equal(fields.to_previous[:6], whole.to_previous[:6])
        with pytest.raises(VideoError, match="frame 7 did not decode or has no picture type"):
            stream.coded_clip(0, 20)
