"""Drawn clips are an honest benchmark: class by shape only, exact maps, no frame of a test clip in a training clip."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway
from skimage.measure import points_in_poly
from sklearn.linear_model import LogisticRegression

from evfr._core.labelled import LabelledClip
from evfr.datasets import SHAPES, SceneOptions, moving_objects, shuffle_labels
from evfr.datasets._moving_objects import _Filming, draw_moving_objects
from evfr.datasets._moving_objects_picture import coverage, paint
from evfr.datasets._moving_objects_scene import NO_CLASS, moments, scene_speeds
from evfr.datasets._moving_objects_shapes import DISTRACTORS, cover, outline, placed_outline
from evfr.signals import difference, optical_flow_dissimilarity
from helpers.synth import looks_of

PLAIN = SceneOptions()


def film(seed: int, frames: int = 40, options: SceneOptions = PLAIN):
    return _Filming(seed, frames, 128, 96, SHAPES, options)


def drawn(seed: int, **changes):
    given = {"frames": 40, "width": 128, "height": 96, "classes": SHAPES, "repeat": 1, "unique": False}
    return draw_moving_objects(seed, **given | {"options": PLAIN, "video_id": None} | changes)


def test_a_clip_is_a_labelled_clip_and_follows_from_its_seed() -> None:
    clip = moving_objects(3, frames=12, width=64, height=48, classes=("star", "disc"), video_id="mine")
    assert clip.images.shape == (12, 48, 64, 3)
    assert clip.classes == ("star", "disc")
    assert clip.video_id == "mine"
    assert clip.frame_index.tolist() == list(range(12))
    again = moving_objects(3, frames=12, width=64, height=48, classes=("star", "disc"))
    for name in ("images", "ids", "category"):
        np.testing.assert_array_equal(getattr(clip, name), getattr(again, name))
    # Numbers are a frame's own, without gaps.
    for ids, category in zip(clip.ids, clip.category, strict=True):
        count = int((category >= 0).sum())
        assert np.unique(ids).tolist() in ([*range(count + 1)], [*range(1, count + 1)])
        assert (category[:count] >= 0).all()


@pytest.mark.parametrize("shape", [*SHAPES, *DISTRACTORS])
def test_shapes_have_the_area_of_the_unit_disc(shape: str) -> None:
    rng = np.random.default_rng(0)
    corners = outline(shape, rng)
    x, y = corners.T
    assert np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2 == pytest.approx(np.pi)
    # Seen from the origin the corners follow each other: a ray crosses the outline once.
    turned = np.diff(np.unwrap(np.arctan2(y, x)))
    assert (turned > 0).all()
    assert np.hypot(x, y).max() * np.sqrt(1.25) <= 2.3


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([*SHAPES, *DISTRACTORS]),
    st.floats(2.0, 25.0),
    st.floats(0.0, 6.3),
    st.floats(-10.0, 50.0),
    st.floats(-10.0, 40.0),
    st.integers(0, 5),
)
def test_a_pixel_is_inside_where_its_centre_is(shape, size, angle, x, y, seed) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([size * 1.1, size / 1.1])
    centre = np.array([x, y])
    corners = placed_outline(outline(shape, np.random.default_rng(seed)), matrix, centre)
    grid = np.stack(np.meshgrid(np.arange(48), np.arange(36)), axis=-1).reshape(-1, 2)
    expected = points_in_poly(grid, corners).reshape(36, 48)
    covered = cover(corners, centre, 48, 36)
    found = np.zeros((36, 48), bool)
    if covered is not None:
        rows, columns = covered.inside.shape
        found[covered.y : covered.y + rows, covered.x : covered.x + columns] = covered.inside
        assert ((covered.alpha > 0.5) == covered.inside).all()
    assert (found != expected).sum() <= 1  # a centre exactly on the line


def test_each_object_drawn_alone_gives_the_map() -> None:
    """Redraw every object by itself on a plain ground, and put the masks together by depth alone."""
    scene = film(11, 40, SceneOptions(objects=9, distractors=4))
    image, ids = np.empty((96, 128, 3), np.uint8), np.empty((96, 128), np.uint8)
    hidden = 0
    for frame in range(0, 40, 3):
        kept = scene.draw(frame, image, ids, "clip")
        objects = scene.objects(frame)
        top = np.full((96, 128), -1)
        depth = np.full((96, 128), -1.0)
        for place, item in reversed(list(enumerate(objects))):  # the order does not matter here
            plain = np.zeros((96, 128, 3), np.float32)
            alone = paint(plain, [item], scene.scene) == 1
            # What is painted ends near the mask (thin tips pass between centres), and fills all of it.
            near = cv2.dilate(alone.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            near[[0, -1]] = near[:, [0, -1]] = True  # by a mask outside of the picture
            assert not plain[~near].any()
            assert plain[alone].max(axis=1).min(initial=255.0) > 0
            hidden += int((alone & (depth > item.actor.depth)).sum())
            front = alone & (item.actor.depth >= depth)
            top[front], depth[front] = place, item.actor.depth
        places = [p for p in np.unique(top[top >= 0]).tolist() if objects[p].actor.category != NO_CLASS]
        assert [(objects[p].actor.category, objects[p].actor.track) for p in places] == kept
        expected = np.zeros((96, 128), np.uint8)
        for number, place in enumerate(places):
            expected[top == place] = number + 1
        np.testing.assert_array_equal(ids, expected)
    assert hidden > 100


def test_distractors_are_drawn_but_not_labelled() -> None:
    busy = SceneOptions(objects=0, distractors=6)
    clip = moving_objects(2, frames=10, options=busy)
    assert not clip.ids.any()
    assert clip.category.shape == (10, 0)
    bare = moving_objects(2, frames=10, options=SceneOptions(objects=0, distractors=0))
    assert (np.abs(clip.images.astype(int) - bare.images).max(axis=3) > 30).mean() > 0.02


def test_no_object_changes_while_it_is_in_view() -> None:
    """An object is never seen to become another one: where a slot turns over, both are outside the picture."""
    scene = film(5, 120, SceneOptions(still_share=0, fast_share=1, fast_speed=6))
    seen: dict[int, set[tuple[int, ...]]] = {}
    for frame in range(120):
        now: dict[int, set[tuple[int, ...]]] = {}
        for item in scene.scene.placed(frame):
            if coverage(item, 128, 96) is not None:
                now.setdefault(item.actor.key[0], set()).add(item.actor.key)
        for slot, keys in now.items():
            assert len(keys) == 1
            assert seen.get(slot, keys) == keys
        seen = now
    assert max(max(map(abs, key[1:])) for key in scene.scene._actors) >= 2


def test_tracks_follow_objects() -> None:
    found = drawn(4, frames=60)
    assert found.track.shape == found.clip.category.shape
    classes: dict[int, set[int]] = {}
    for tracks, category in zip(found.track.tolist(), found.clip.category.tolist(), strict=True):
        pairs = [(track, kind) for track, kind in zip(tracks, category, strict=True) if kind >= 0]
        assert len({track for track, _ in pairs}) == len(pairs)
        for track, kind in pairs:
            classes.setdefault(track, set()).add(kind)
    assert all(len(kinds) == 1 for kinds in classes.values())
    assert ((found.track >= 0) == (found.clip.category >= 0)).all()


@pytest.fixture(scope="module")
def looks():
    options = SceneOptions(objects=16, distractors=3)
    return looks_of([moving_objects(seed, frames=16, unique=True, options=options) for seed in range(5)])


class TestClassByShapeOnly:
    """A classifier that sees everything but the shape is at chance level; one that sees the shape is far above."""

    @pytest.mark.parametrize("kind", ["colour", "texture", "place", "size"])
    def test_chance(self, looks, kind: str) -> None:
        right, count = self.accuracy(looks, kind)
        assert right < 0.2 + 3.5 * np.sqrt(0.2 * 0.8 / count)

    def test_shape_is_seen(self, looks) -> None:
        right, _ = self.accuracy(looks, "shape")
        assert right > 0.4

    def test_a_planted_leak_is_seen(self, looks) -> None:
        features, category, clips = looks
        tinted = features["colour"].copy()
        tinted[category == 1, -6] += 0.15
        right, count = self.accuracy(({"colour": tinted}, category, clips), "colour")
        assert right > 0.2 + 3.5 * np.sqrt(0.2 * 0.8 / count)

    @staticmethod
    def accuracy(looks, kind: str) -> tuple[float, int]:
        features, category, clips = looks
        values = (features[kind] - features[kind].mean(axis=0)) / (features[kind].std(axis=0) + 1e-6)
        learnt = clips < 3
        model = LogisticRegression(max_iter=200).fit(values[learnt], category[learnt])
        return float(model.score(values[~learnt], category[~learnt])), int((~learnt).sum())


def test_nothing_about_an_object_but_its_outline_depends_on_its_class() -> None:
    """Of thousands of objects, the means of all else agree between the classes, by analysis of variance."""
    scene = film(0, 1, SceneOptions(objects=350)).scene
    actors = [scene._actor((slot, 0, 0)) for slot in range(scene._labelled)]
    category = np.array([actor.category for actor in actors])
    assert np.bincount(category).min() > 200
    skins = np.stack([scene.skin(actor) for actor in actors])
    facts = [
        [actor.radius, actor.depth, actor.angle, actor.spin, actor.phase, actor.swell_rate]
        for actor in actors
    ]
    values = np.concatenate([facts, skins.mean(axis=(1, 2)), skins.std(axis=(1, 2))], axis=1)
    chance = f_oneway(*(values[category == k] for k in range(5))).pvalue
    assert chance.shape == (12,)
    assert chance.min() > 1e-3


def test_objects_in_view_are_as_many_as_asked() -> None:
    for options, size in ((PLAIN, (128, 96)), (SceneOptions(objects=3, sizes=(0.15, 0.3)), (64, 48))):
        clip = moving_objects(0, frames=25, unique=True, width=size[0], height=size[1], options=options)
        assert (clip.category >= 0).sum() / 25 == pytest.approx(options.objects, rel=0.2)


def test_classes_occur_equally_often() -> None:
    clip = moving_objects(0, frames=60, width=64, height=48, unique=True)
    counts = np.bincount(clip.category[clip.category >= 0], minlength=5)
    # Five equal shares: within 4 standard deviations.
    assert np.abs(counts - counts.sum() / 5).max() < 4 * np.sqrt(counts.sum() * 0.16)


def test_clips_of_other_seeds_have_nothing_in_common() -> None:
    films = [film(seed, 60) for seed in range(3)]
    outlines, skins = [], []
    for one in films:
        for frame in range(0, 60, 5):
            one.scene.placed(frame)
        outlines.append({actor.corners.tobytes() for actor in one.scene._actors.values()})
        skins.append({one.scene.skin(actor).tobytes() for actor in one.scene._actors.values()})
    for group in (outlines, skins):
        assert len(set.union(*group)) == sum(map(len, group))
    one, other = (moving_objects(seed, frames=5).images.astype(float) for seed in (0, 1))
    assert np.abs(one - other).mean() > 20


class TestTime:
    def test_redundancy_varies_at_least_five_times(self) -> None:
        clip = moving_objects(0, frames=80)
        greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in clip.images]
        speeds = scene_speeds(0, 80, SceneOptions())[:-1]
        for measure in (lambda a, b: optical_flow_dissimilarity(a, b, width=None), difference):
            values = np.array([measure(a, b) for a, b in itertools.pairwise(greys)])
            assert values[speeds == PLAIN.fast_speed].mean() > 5 * values[speeds == 0].mean()

    def test_nothing_but_noise_changes_in_still_stretches(self) -> None:
        clip = moving_objects(0, frames=80)
        still = np.flatnonzero(scene_speeds(0, 80, SceneOptions())[:-1] == 0)
        assert len(still) > 8
        for frame in still.tolist():
            np.testing.assert_array_equal(clip.ids[frame], clip.ids[frame + 1])
            step = clip.images[frame + 1].astype(float) - clip.images[frame]
            assert step.std() == pytest.approx(2 * np.sqrt(2), rel=0.1)

    def test_without_noise_still_pictures_are_equal(self) -> None:
        clip = moving_objects(0, frames=6, options=SceneOptions(noise=0, still_share=1, fast_share=0))
        assert (clip.images == clip.images[0]).all()

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 99), st.integers(1, 400), st.floats(0, 1), st.floats(0, 1))
    def test_shares_of_time(self, seed: int, frames: int, still: float, fast: float) -> None:
        fast = min(fast, 1 - still)
        speeds = scene_speeds(seed, frames, SceneOptions(still_share=still, fast_share=fast))
        assert speeds.shape == (frames,)
        assert set(speeds.tolist()) <= {0.0, 1.0, PLAIN.fast_speed}
        count = max(1, round(frames / 20))
        # Each stretch is .6 to 1.4 of a mean one: shares are met up to that and one stretch.
        if still == 0:
            assert (speeds > 0).all()
        elif count >= 10:
            assert still / 1.4 * 0.6 - 1.5 / count <= (speeds == 0).mean() <= still / 0.6 * 1.4 + 1.5 / count

    def test_the_camera_can_be_held(self) -> None:
        options = SceneOptions(objects=0, distractors=0, camera=0, noise=0)
        images = moving_objects(1, frames=30, options=options).images.astype(int)
        # Only the light changes, all over the picture alike.
        assert np.abs(images - images[0]).max() <= 60
        assert optical_flow_dissimilarity(*images[[0, 29], ..., 0].astype(np.uint8), width=None) < 0.3


class TestRareThings:
    def test_class_weights(self) -> None:
        options = SceneOptions(class_weights=(8, 1, 1, 0, 0), objects=8)
        clip = moving_objects(0, frames=30, width=64, height=48, unique=True, options=options)
        counts = np.bincount(clip.category[clip.category >= 0], minlength=5)
        assert counts[3:].tolist() == [0, 0]
        assert 0.7 < counts[0] / counts.sum() < 0.9

    def test_rare_moments(self) -> None:
        options = SceneOptions(
            class_weights=(1, 1, 0, 1, 1), rare_moments=2, rare_frames=5, rare_class="triangle"
        )
        clip = moving_objects(7, frames=60, options=options)
        rare = {frame for moment in moments(7, 60, options) for frame in range(*moment)}
        assert len(rare) == 10
        assert set(np.flatnonzero((clip.category == 2).any(axis=1)).tolist()) == rare
        # It is in front of all, and crosses most of the picture.
        first = min(rare)
        middle = clip.objects(first + 2)
        box = middle.boxes_xyxy[middle.category == 2][0]
        assert 50 < (box[0] + box[2]) / 2 < 78

    @pytest.mark.parametrize(("frames", "count", "length"), [(10, 2, 8), (5, 5, 8), (100, 3, 10)])
    def test_moments_do_not_overlap(self, frames: int, count: int, length: int) -> None:
        found = moments(0, frames, SceneOptions(rare_moments=count, rare_frames=length))
        used = [frame for moment in found for frame in range(*moment)]
        assert max(used) < frames
        assert len(used) == len(set(used))
        assert len(found) == count


class TestKnownAnswers:
    def test_repeat(self) -> None:
        clip = moving_objects(1, frames=23, repeat=5)
        assert len(clip) == 23
        for frame in range(23):
            for name in ("images", "ids", "category"):
                np.testing.assert_array_equal(getattr(clip, name)[frame], getattr(clip, name)[frame // 5 * 5])
        plain = moving_objects(1, frames=5)
        np.testing.assert_array_equal(clip.images[::5], plain.images)

    def test_unique(self) -> None:
        found = drawn(1, frames=20, unique=True)
        images = found.clip.images.astype(float)
        far = [np.abs(images[a] - images[b]).mean() for a in range(20) for b in range(a)]
        assert min(far) > 15
        tracks = found.track[found.track >= 0]
        assert len(np.unique(tracks)) == len(tracks)

    def test_labels_of_several_clips_come_from_another_one(self) -> None:
        clips = [moving_objects(seed, frames=count) for seed, count in ((0, 12), (1, 9), (2, 15))]
        shuffled = shuffle_labels(clips, 0)
        widths = {clip.category.shape[1] for clip in shuffled}
        assert len(widths) == 1
        for clip, wrong in zip(clips, shuffled, strict=True):
            assert wrong.images is clip.images
            assert wrong.video_id == clip.video_id
            donors = [other for other in clips if other is not clip]
            for ids in wrong.ids:
                assert any((ids == other.ids).all(axis=(1, 2)).any() for other in donors)
        again = shuffle_labels(clips, 0)
        other = shuffle_labels(clips, 1)
        assert all((a.ids == b.ids).all() for a, b in zip(shuffled, again, strict=True))
        assert not all((a.ids == b.ids).all() for a, b in zip(shuffled, other, strict=True))

    @pytest.mark.parametrize("frames", [4, 5, 7, 40, 41])
    def test_labels_of_one_clip_come_from_far_away(self, frames: int) -> None:
        ids = np.zeros((frames, 4, 4), np.uint8)
        ids[:, 0, 0] = np.arange(frames) + 1
        category = np.zeros((frames, frames), np.int16)
        images = np.zeros((frames, 4, 4, 3), np.uint8)
        clip = LabelledClip("v", np.arange(frames), images, ids, category, ("a",))
        (wrong,) = shuffle_labels([clip], 3)
        sources = wrong.ids[:, 0, 0].astype(int) - 1
        assert (np.abs(sources - np.arange(frames)) >= frames // 4).all()

    def test_shuffled_labels_agree_with_pictures_by_chance_only(self) -> None:
        clips = [moving_objects(seed, frames=30) for seed in range(3)]
        shuffled = shuffle_labels(clips, 0)
        true = np.concatenate([clip.ids > 0 for clip in clips])
        wrong = np.concatenate([clip.ids > 0 for clip in shuffled])
        expected = true.mean() * wrong.mean()
        assert (true & wrong).mean() < 2 * expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"frames": 0}, "frames and repeat must be 1 or more, got 0 and 1"),
        ({"repeat": 0}, "frames and repeat must be 1 or more, got 200 and 0"),
        ({"width": 31}, "the pictures must be 32x32 or more, got 31x96"),
        (
            {"classes": ("disc", "cube")},
            "classes must be some of disc, square, triangle, star, cross, .*got disc, cube",
        ),
        ({"classes": ("disc", "disc")}, "each once, got disc, disc"),
        ({"classes": ()}, "each once, got none"),
        ({"options": SceneOptions(class_weights=(1.0,))}, "class_weights must be 5 numbers, one a class"),
        ({"options": SceneOptions(rare_class="cube")}, "rare_class must be one of disc, .*got 'cube'"),
        ({"options": SceneOptions(rare_moments=1), "unique": True}, "rare_moments need frames that follow"),
        (
            {"options": SceneOptions(rare_moments=3), "frames": 10, "repeat": 5},
            "3 rare moments do not fit into 2 drawn",
        ),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_wrong_arguments(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        moving_objects(**{"seed": 0} | given)


def test_more_objects_than_a_map_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evfr.datasets._moving_objects.IGNORE_ID", 4)
    with pytest.raises(
        ValueError, match=r"moving-0 frame 0 has .* objects, a map holds 3; draw fewer objects"
    ):
        moving_objects(0, frames=1, options=SceneOptions(objects=40))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"objects": -1.0}, "objects must be 0 or more and finite, got -1.0"),
        ({"noise": float("inf")}, "noise must be 0 or more and finite, got inf"),
        ({"rare_moments": -1}, "rare_moments must be 0 or more and finite, got -1"),
        ({"still_share": 0.7, "fast_share": 0.4}, "must add up to 1 at most, got 0.7 and 0.4"),
        ({"sizes": (0.2, 0.1)}, r"sizes must be two numbers above 0 and up to 0.5, rising, got \(0.2, 0.1\)"),
        ({"sizes": (0.0, 0.1)}, "sizes must be two numbers above 0"),
        ({"pattern": -0.1}, r"pattern must be in \[0, 1\], got -0.1"),
        ({"clutter": 1.5}, r"clutter must be in \[0, 1\], got 1.5"),
        ({"fast_speed": 0.0}, "fast_speed must be more than 0 and finite, got 0.0"),
        ({"rare_frames": 0}, "rare_frames must be 1 or more, got 0"),
        ({"class_weights": (0.0, 0.0)}, "class_weights must be 0 or more, one of them more than 0"),
        ({"class_weights": (1.0, -1.0)}, "class_weights must be 0 or more, one of them more than 0"),
    ],
)
def test_wrong_options(given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneOptions(**given)


def test_what_cannot_be_shuffled() -> None:
    clip = moving_objects(0, frames=3)
    with pytest.raises(ValueError, match="from 4 frames on, got 3"):
        shuffle_labels([clip], 0)
    with pytest.raises(ValueError, match="of one size and one list of classes, got 2"):
        shuffle_labels([clip, moving_objects(0, frames=3, width=64)], 0)
    with pytest.raises(ValueError, match="got 0"):
        shuffle_labels([], 0)
