"""One pass for all signals: equal to pairwise measuring, the same bytes for any threads, NaN where unmeasurable."""

from __future__ import annotations

import json
import math
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest

from evfr.signals import (
    PROFILES,
    SIGNALS,
    ScoredFrames,
    block_means,
    content_change,
    difference,
    find_cuts,
    make_signals,
    optical_flow_dissimilarity,
    score_frames,
    signal_parameters,
    ssim_dissimilarity,
)
from evfr.video import open_video
from helpers.views import VECTOR, FakeFrame, luma_of, numbered, played, texture


class MeanEmbedder:
    """Two numbers per frame, and a description of them."""

    @property
    def parameters(self):
        return {"name": "mean"}

    def __call__(self, frames):
        return np.array([[frame.mean(), 255.0 - frame.mean()] for frame in frames], np.float32)


def moving(count=7, height=120, width=400, step=3):
    big = texture(height, width + step * count, seed=9)
    return [big[:, step * t : step * t + width] for t in range(count)]


@pytest.fixture(scope="module")
def greys():
    return moving()


def test_one_pass_equals_pairs(greys):
    scored = score_frames(played(numbered(greys)), make_signals(["flow", "ssim", "difference"]))
    np.testing.assert_array_equal(scored.frame_index, np.arange(7))
    assert scored.working_widths == {"flow": 320, "ssim": 400, "difference": 320}
    for t, (a, b) in enumerate(pairwise(greys)):
        assert scored.values["flow"][t] == optical_flow_dissimilarity(a, b)
        assert scored.values["ssim"][t] == ssim_dissimilarity(a, b, window="block")
        assert scored.values["difference"][t] == difference(a, b)
        assert scored.content[t] == content_change(block_means(a), block_means(b))
    for column in (*scored.values.values(), scored.content):
        assert column[-1] == 0.0


@pytest.mark.parametrize(
    ("profile", "width", "window"), [("fast", 160, "block"), ("reference", None, "gaussian")]
)
def test_profiles(greys, profile, width, window):
    scored = score_frames(played(numbered(greys[:2])), make_signals(["flow", "ssim"], profile=profile))
    assert scored.values["flow"][0] == optical_flow_dissimilarity(greys[0], greys[1], width=width)
    assert scored.values["ssim"][0] == ssim_dissimilarity(greys[0], greys[1], window=window)
    assert scored.working_widths["flow"] == (width or 400)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_same_bytes_for_any_threads(threads):
    frames = numbered(moving(40, 60, 100))
    frames[11].is_suspect = True
    frames = [frame for frame in frames if frame.frame_index != 20]
    signals = make_signals(list(SIGNALS), embedder=MeanEmbedder())
    one = score_frames(played(frames), signals)
    many = score_frames(played(frames), signals, threads=threads)
    assert one.content.tobytes() == many.content.tobytes()
    assert list(one.values) == list(many.values) == list(SIGNALS)
    for name, values in one.values.items():
        assert values.tobytes() == many.values[name].tobytes()


def test_same_bytes_for_any_threads_on_a_real_clip(data_dir):
    path = data_dir / "video" / "bikes_cuts.mp4"
    signals = make_signals(["flow", "ssim", "difference"])
    one, four = (score_frames(luma_of(path, 40), signals, threads=threads) for threads in (1, 4))
    assert [v.tobytes() for v in one.values.values()] == [v.tobytes() for v in four.values.values()]
    assert find_cuts(one.content).tolist() == [30]


def test_reads_what_the_reader_yields(data_dir):
    path = data_dir / "mv" / "bbb_h264_b.264"
    signals = make_signals(["flow", "motion", "difference"])
    with open_video(path, motion_vectors=True) as video:
        scored = score_frames(islice(video, 40), signals, threads=2)
    np.testing.assert_array_equal(scored.frame_index, np.arange(40))
    assert np.isfinite(scored.values["flow"]).all()
    assert np.isfinite(scored.values["motion"]).mean() > 0.8
    assert np.nanmax(scored.values["motion"]) > 0.0
    independent = score_frames(luma_of(path, 40), make_signals(["flow"]))
    assert np.corrcoef(scored.values["flow"][:-1], independent.values["flow"][:-1])[0, 1] > 0.99


def test_suspect_ends_gaps_and_size_changes_are_nan(greys):
    frames = numbered(greys)
    frames[2].is_suspect = True
    frames.pop(5)
    frames.append(FakeFrame(7, texture(50, 60)))
    scored = score_frames(played(frames), make_signals(["difference"]))
    np.testing.assert_array_equal(scored.frame_index, [0, 1, 2, 3, 4, 6, 7])
    # 0-1 is fine; 2 is suspect; 3-4 is fine; 5 is missing; 7 has another size; 7 is the last.
    for column in (scored.values["difference"], scored.content):
        np.testing.assert_array_equal(np.isnan(column), [False, True, True, False, True, True, False])
        assert column[-1] == 0.0


def test_static_video_is_exactly_zero():
    grey = texture(90, 500)
    scored = score_frames(
        played(numbered([grey] * 4)), make_signals(["flow", "ssim", "difference"], profile="reference")
    )
    for column in (*scored.values.values(), scored.content):
        np.testing.assert_array_equal(column, np.zeros(4))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (7, 300), (9, 9), (1, 40)])
def test_tiny_pictures_never_fail(shape, profile):
    frames = numbered([np.full(shape, value, np.uint8) for value in (0, 255)])
    scored = score_frames(played(frames), make_signals(["flow", "ssim", "difference"], profile=profile))
    assert scored.values["difference"][0] == 255.0
    assert scored.values["flow"][0] >= 0.0
    least = 11 if profile == "reference" else 8
    assert math.isnan(scored.values["ssim"][0]) == (min(shape) < least)


def test_motion_is_that_of_the_later_frame():
    vectors = np.zeros(1, VECTOR)
    vectors[0] = (16, 16, 3, 4, 1)
    grey = texture(16, 32)
    frames = [FakeFrame(0, grey), FakeFrame(1, grey, vectors=vectors), FakeFrame(2, grey)]
    values = score_frames(played(frames), make_signals(["motion"])).values["motion"]
    np.testing.assert_array_equal(values, [2.5, math.nan, 0.0])


def test_features_come_from_the_embedder():
    frames = numbered([np.full((4, 4), value, np.uint8) for value in (0, 255, 255)])
    values = score_frames(played(frames), make_signals(["feature"], embedder=MeanEmbedder())).values[
        "feature"
    ]
    np.testing.assert_array_equal(values, [1.0, 0.0, 0.0])
    bad = make_signals(["feature"], embedder=lambda frames: np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"must map \(1, H, W, 3\) to \(1, D\), it returned \(2, 3\)"):
        score_frames(played(frames), bad)


def test_a_signal_of_your_own_and_its_errors():
    class Brightness:
        def prepare(self, frame):
            return float(frame.luma().mean())

        def compare(self, previous, current):
            if current > 200:
                raise ArithmeticError("too bright")
            return abs(previous - current)

    frames = numbered([np.full((4, 4), value, np.uint8) for value in (10, 30, 100)])
    scored = score_frames(played(frames), {"brightness": Brightness()}, threads=2)
    np.testing.assert_array_equal(scored.values["brightness"], [20.0, 70.0, 0.0])
    for threads in (1, 2):
        bright = [*frames, FakeFrame(3, np.full((4, 4), 255, np.uint8))]
        with pytest.raises(ArithmeticError, match="too bright"):
            score_frames(played(bright), {"brightness": Brightness()}, threads=threads)


def test_colours_are_gone_when_frames_are_compared():
    class Late:
        def prepare(self, frame):
            return frame

        def compare(self, previous, current):
            return float(current.rgb().mean())

    with pytest.raises(RuntimeError, match="only be read in prepare"):
        score_frames(played(numbered([texture(4, 4)] * 2)), {"late": Late()})


def test_the_frame_is_resized_once_per_width(monkeypatch):
    sizes = []
    resize = cv2.resize

    def counting(picture, size, **options):
        sizes.append(size)
        return resize(picture, size, **options)

    monkeypatch.setattr(cv2, "resize", counting)
    score_frames(played(numbered([texture(90, 640)])), make_signals(["flow", "difference", "ssim"]))
    assert sizes == [(320, 45)]


def test_no_frames_and_progress(greys):
    empty = score_frames([], make_signals(["flow"]))
    assert (len(empty), empty.values["flow"].shape, empty.working_widths) == (0, (0,), {"flow": 0})
    seen = []
    score_frames(played(numbered(greys[:3])), {}, on_frame=seen.append)
    assert seen == [1, 2, 3]
    assert repr(empty) == "ScoredFrames(0 frames, flow)"


def test_wrong_arguments(greys):
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        score_frames([], {}, threads=0)
    with pytest.raises(ValueError, match="must increase, got 0 after 0"):
        score_frames([FakeFrame(0, greys[0]), FakeFrame(0, greys[1])], {})
    with pytest.raises(ValueError, match=r"content must be \(2,\) float64, got \(1,\)"):
        ScoredFrames(np.arange(2), {}, np.zeros(1), np.zeros(2), np.zeros(2), {})
    with pytest.raises(ValueError, match="name the same signals"):
        ScoredFrames(np.arange(1), {}, np.zeros(1), np.zeros(1), np.zeros(1), {"flow": 3})


def test_make_signals_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="flow, ssim, feature, difference, motion, got 'flwo'"):
        make_signals(["flwo"])
    with pytest.raises(ValueError, match="fast, default, reference, got 'best'"):
        make_signals(["flow"], profile="best")
    with pytest.raises(ValueError, match="asked for once"):
        make_signals(["flow", "flow"])
    with pytest.raises(ValueError, match="'feature' needs an embedder"):
        make_signals(["feature"])
    with pytest.raises(ValueError, match="no 'parameters' mapping"):
        signal_parameters("feature", embedder=lambda frames: frames)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", SIGNALS)
def test_parameters_are_json_ready_and_complete(name, profile):
    parameters = signal_parameters(name, profile=profile, embedder=MeanEmbedder())
    assert json.loads(json.dumps(parameters)) == parameters
    assert parameters["signal"] == name
    assert parameters["schema"] == 1
    if name == "flow":
        assert parameters["width"] == {"fast": 160, "default": 320, "reference": None}[profile]
        assert parameters["winsize"] == 15
    if name == "ssim":
        assert parameters["window"] == ("gaussian" if profile == "reference" else "block")
    if name == "feature":
        assert parameters["embedder"] == {"name": "mean"}
