"""Which frames damage may have reached; what coded bytes give away; what an ending file gives away."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evfr.video._bitstream import FillLint, lint_for
from evfr.video._damage import Damage
from evfr.video._table import frame_times
from evfr.video._truncation import missing_bytes
from helpers.clips import moving_square, write_clip


def test_damage_lasts_to_the_next_clean_key_frame() -> None:
    damage = Damage()
    damage.add_key(0, 0)
    damage.add(3)
    assert [damage.reaches(k, k) for k in range(6)] == [False, False, False, True, True, True]
    damage.add_key(6, 6)
    assert [damage.reaches(k, k) for k in (2, 3, 5, 6, 7)] == [False, True, True, False, False]


def test_leading_pictures_of_an_open_gop_lean_on_the_gop_before() -> None:
    damage = Damage()
    damage.add_key(0, 0)
    damage.add(4)
    damage.add_key(8, 10)
    assert damage.reaches(9, 8)  # decoded after the key frame, shown before it
    assert not damage.reaches(10, 11)


def test_a_damaged_key_frame_cleans_nothing() -> None:
    damage = Damage()
    damage.add(5)
    damage.add_key(5, 5)
    assert damage.reaches(5, 5)
    assert damage.reaches(6, 6)


@given(st.lists(st.tuples(st.sampled_from("kd."), st.booleans()), max_size=60))
def test_against_the_definition(steps: list[tuple[str, bool]]) -> None:
    """Oracle: the definition itself, for streams without reordering."""
    damage = Damage()
    state, truth, seen = False, [], []
    for order, (kind, _) in enumerate(steps):
        if kind == "d":
            damage.add(order)
            state = True
        elif kind == "k":
            damage.add_key(order, order)
            state = False
        truth.append(state)
        seen.append(damage.reaches(order, order))
    assert seen == truth


# -- bytes -------------------------------------------------------------------------------------------------------------


def packets_of(path: Path) -> tuple[av.container.InputContainer, list[bytes]]:
    container = av.open(str(path))
    return container, [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.264"])
def test_a_lost_reference_shows_in_frame_num(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, moving_square(40), gop=20, b_frames=2)
    container, packets = packets_of(path)
    sound = lint_for(container.streams.video[0])
    assert [sound.is_damaged(p) for p in packets] == [False] * 40
    assert sound.proves_references
    units = [
        next(b for b in p.split(b"\0\0\1")[1:] if b[0] & 0x1F in (1, 5)) if name != "a.mp4" else p[4:]
        for p in packets
    ]
    references = [k for k, u in enumerate(units) if u[0] & 0x60 and k > 0]
    others = [k for k, u in enumerate(units) if not u[0] & 0x60]
    for lost, is_told in ((references[3], True), (others[2], False)):
        lint = lint_for(container.streams.video[0])
        told = [lint.is_damaged(p) for k, p in enumerate(packets) if k != lost]
        assert any(told) is is_told
        assert not any(told[:lost])


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_holes_and_torn_units_show(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_clip(
        tmp_path / "a.mp4", moving_square(6, size=(320, 240)), codec=codec, options=options, b_frames=None
    )
    container, packets = packets_of(path)
    key = packets[0]
    middle = len(key) // 2
    for spoilt in (
        key[:middle] + bytes(64) + key[middle + 64 :],
        key[:middle] + b"\xff" * 64 + key[middle + 64 :],
        key[: len(key) - 5],
        key + b"\1",
    ):
        lint = lint_for(container.streams.video[0])
        assert not lint.is_damaged(key)
        assert lint.is_damaged(spoilt)
    # An end-of-sequence unit behind the picture, start code and all, is no hole.
    size = int.from_bytes(key[-1:], "big")
    assert size >= 0
    if codec == "libx264":
        last = packets[-1]
        length = int.from_bytes(last[:4], "big")
        assert 4 + length == len(last)
        lint = lint_for(container.streams.video[0])
        assert not lint.is_damaged((length + 5).to_bytes(4, "big") + last[4:] + b"\0\0\0\1\x0a")


def test_codecs_without_marks(tmp_path: Path) -> None:
    container, _ = packets_of(write_clip(tmp_path / "a.avi", moving_square(2), codec="mpeg4"))
    assert lint_for(container.streams.video[0]) is None
    assert not FillLint().is_damaged(bytes(range(256)) * 4 + bytes(500))
    assert FillLint().is_damaged(b"\1" + bytes(128) + b"\1")
    assert FillLint().is_damaged(b"\1" + b"\xff" * 128 + b"\1")


def test_real_clips_show_no_damage(data_dir: Path) -> None:
    for name in (
        "video/people_one_by_one.mp4",
        "video/cars_topdown.mp4",
        "codec/girlshy_hevc.h265",
        "codec/bear_av1.mp4",
    ):
        container, packets = packets_of(data_dir / name)
        lint = lint_for(container.streams.video[0])
        assert not any(lint.is_damaged(p) for p in packets), name


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.avi", "a.flv", "a.ts", "a.ivf", "a.gif"]
)
def test_missing_bytes_at_the_end(tmp_path: Path, name: str) -> None:
    codec = {"webm": "libvpx-vp9", "ivf": "libvpx-vp9", "gif": "gif", "avi": "mpeg4"}.get(name[2:], "libx264")
    pixel_format = "rgb8" if codec == "gif" else "yuv420p"
    options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
    path = write_clip(
        tmp_path / name,
        moving_square(12),
        codec=codec,
        pixel_format=pixel_format,
        options=options,
        b_frames=None,
    )
    with av.open(str(path)) as container:
        form = container.format.name
    assert missing_bytes(path, form) == 0
    data = path.read_bytes()
    for cut in (len(data) - 1, len(data) * 3 // 4 + 1, len(data) // 2):
        path.write_bytes(data[:cut])
        lacks = missing_bytes(path, form)
        assert lacks > 0 or (form == "mpegts" and cut % 188 == 0), cut
        assert lacks <= len(data) - cut or form in ("mpegts", "gif")


def test_unknown_containers_cannot_tell(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0" * 1000)
    assert missing_bytes(tmp_path / "a", "h264") == 0
    for form in ("mov", "avi", "matroska", "mpegts", "flv", "ivf", "gif"):
        assert missing_bytes(tmp_path / "a", form) >= 0


# -- times -------------------------------------------------------------------------------------------------------------


def test_a_few_missing_stamps_are_filled_in() -> None:
    from fractions import Fraction

    from evfr._core.types import PTS_NONE

    pts = np.arange(30) * 4 + 100
    pts[[0, 7, 29]] = PTS_NONE
    times, is_estimated = frame_times(pts, Fraction(1, 100), Fraction(25))
    np.testing.assert_allclose(times, np.arange(30) * 0.04, atol=1e-12)
    assert not is_estimated
    pts[5:15] = PTS_NONE
    times, is_estimated = frame_times(pts, Fraction(1, 100), Fraction(50))
    np.testing.assert_allclose(times, np.arange(30) * 0.02)
    assert is_estimated
    assert frame_times(pts[:0], Fraction(1, 100), Fraction(25))[0].shape == (0,)
