"""Damaged files: cut, holed, flipped, with packets lost, without an index."""

# One row a case, however long.
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

from pathlib import Path

import numpy as np

from torture import surgery
from torture.case import Case, Maker, Workshop, copy, cut, data, drop, failed, flip, hole, partial, transform
from torture.coding import remux

__all__ = ["CASES"]

# What any random damage of coded pictures may bring to light besides.
NOISE = "W_CORRUPT W_FRAME_COUNT W_DURATION W_PTS_GAP W_PTS_ORDER W_PTS_DUPLICATE W_PTS_MISSING W_TRUNCATED W_SIZE_CHANGE W_INTERLACED"
# What a missing tail may show besides the truncation itself.
TAIL = "W_CORRUPT W_FRAME_COUNT W_DURATION W_PTS_GAP"


def lose_ts_packets(numbers: range | list[int]) -> Maker:
    """Leave 188-byte transport packets out of the first third on, as a bad antenna does."""

    def change(raw: bytes) -> bytes:
        packets = [raw[i : i + 188] for i in range(0, len(raw), 188)]
        lost = {len(packets) // 3 + n for n in numbers}
        return b"".join(p for i, p in enumerate(packets) if i not in lost)

    return transform("people.ts", change)


def remove_bytes(base: str, at: float, size: int) -> Maker:
    """Take bytes out, so that everything behind moves."""

    def change(raw: bytes) -> bytes:
        start = int(len(raw) * at)
        return raw[:start] + raw[start + size :]

    return transform(base, change)


def swap_halves(raw: bytes) -> bytes:
    start, stop = surgery.mdat(raw)
    middle = (start + stop) // 2
    return raw[:start] + raw[middle:stop] + raw[start:middle] + raw[stop:]


def spoil_packets(base: str, numbers: set[int], seed: int, bits: int = 12) -> Maker:
    """Flip bits inside chosen packets; the container around them stays sound."""

    def edit(number: int, raw: bytes) -> bytes:
        if number not in numbers:
            return raw
        return surgery.flip_bits(raw, bits, seed + number, (min(40, len(raw) // 2), len(raw)))

    def make(w: Workshop, path: Path) -> None:
        remux(w.base(base), path, edit=edit)

    return make


def shorten_packets(base: str, numbers: set[int]) -> Maker:
    """Cut chosen packets to their first half."""

    def make(w: Workshop, path: Path) -> None:
        remux(w.base(base), path, edit=lambda n, raw: raw[: len(raw) // 2] if n in numbers else raw)

    return make


def noise_file(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


TRUNCATED = (
    # By the container's index, 20 / 40 / 50 of the 60 packets of people.mp4 lie complete in the first 30 / 60 / 95 %
    # of the file (I pictures are large), and so on; the one that is cut may decode in part, one before it be kept back.
    partial("cut_fast_30.mp4", (19, 21), cut("people_fast.mp4", 0.30), "W_TRUNCATED", allow=TAIL, original="people_fast.mp4"),
    partial("cut_fast_60.mp4", (39, 41), cut("people_fast.mp4", 0.60), "W_TRUNCATED", allow=TAIL, original="people_fast.mp4"),
    partial("cut_fast_95.mp4", (49, 51), cut("people_fast.mp4", 0.95), "W_TRUNCATED", allow=TAIL, original="people_fast.mp4"),
    partial("cut_fast_last_byte.mp4", (59, 60), transform("people_fast.mp4", lambda raw: raw[:-1]), "", allow=TAIL + " W_TRUNCATED", maybe=True, original="people_fast.mp4"),
    failed("cut_fast_in_moov.mp4", transform("people_fast.mp4", lambda raw: raw[:600]), "E_CONTAINER"),
    failed("cut_fast_before_mdat.mp4", transform("people_fast.mp4", lambda raw: raw[: surgery.mdat(raw)[0]]), "E_NO_FRAMES E_CONTAINER"),
    failed("cut_plain_50.mp4", cut("people.mp4", 0.50), "E_CONTAINER"),
    failed("cut_plain_99.mp4", transform("people.mp4", lambda raw: raw[:-100]), "E_CONTAINER E_NO_FRAMES"),
    failed("cut_plain_50.mov", cut("people.mov", 0.50), "E_CONTAINER"),
    partial("cut_fragments_30.mp4", (19, 21), cut("people_frag.mp4", 0.30), "W_TRUNCATED", allow=TAIL, original="people_frag.mp4"),
    partial("cut_fragments_70.mp4", (39, 41), cut("people_frag.mp4", 0.70), "W_TRUNCATED", allow=TAIL, original="people_frag.mp4"),
    partial("cut_30.mkv", (19, 21), cut("people.mkv", 0.30), "W_TRUNCATED", allow=TAIL, original="people.mkv"),
    partial("cut_60.mkv", (39, 41), cut("people.mkv", 0.60), "W_TRUNCATED", allow=TAIL, original="people.mkv"),
    partial("cut_95.mkv", (49, 51), cut("people.mkv", 0.95), "W_TRUNCATED", allow=TAIL, original="people.mkv"),
    failed("cut_200_bytes.mkv", transform("people.mkv", lambda raw: raw[:200]), "E_CONTAINER E_NO_VIDEO E_NO_FRAMES"),
    partial("cut_50.webm", (15, 17), cut("vp9.webm", 0.50), "W_TRUNCATED", allow=TAIL),
    partial("cut_90.webm", (34, 36), cut("vp9.webm", 0.90), "W_TRUNCATED", allow=TAIL),
    partial("cut_50_vp8.webm", (19, 21), cut("vp8.webm", 0.50), "W_TRUNCATED", allow=TAIL),
    # A transport stream claims no length: only its last, torn picture shows the loss.
    partial("cut_40.ts", (22, 24), cut("people.ts", 0.40), "", allow=TAIL + " W_TRUNCATED", original="people.ts"),
    partial("cut_80.ts", (49, 51), cut("people.ts", 0.80), "", allow=TAIL + " W_TRUNCATED", original="people.ts"),
    partial("cut_50_mpeg2.ts", (7, 9), cut("mpeg2.ts", 0.50), "", allow=TAIL + " W_TRUNCATED"),
    partial("cut_50.mpg", (6, 8), cut("mpeg2.mpg", 0.50), "", allow=TAIL + " W_TRUNCATED"),
    partial("cut_40.avi", (9, 11), cut("mpeg4.avi", 0.40), "W_TRUNCATED", allow=TAIL + " W_PTS_MISSING"),
    partial("cut_80.avi", (33, 35), cut("mpeg4.avi", 0.80), "W_TRUNCATED", allow=TAIL + " W_PTS_MISSING"),
    partial("cut_50_mjpeg.avi", (9, 11), cut("mjpeg.avi", 0.50), "W_TRUNCATED", allow=TAIL),
    partial("cut_50_h264.avi", (23, 25), cut("h264.avi", 0.50), "W_TRUNCATED", allow=TAIL),
    failed("cut_header.avi", transform("mpeg4.avi", lambda raw: raw[:120]), "E_CONTAINER E_NO_VIDEO E_NO_FRAMES"),
    partial("cut_50.flv", (29, 31), cut("people.flv", 0.50), "W_TRUNCATED", allow=TAIL, original="people.flv"),
    partial("cut_50.264", (29, 31), cut("people.264", 0.50), "W_PTS_MISSING", allow=TAIL + " W_TRUNCATED"),
    partial("cut_50.h265", (30, 45), cut("data:codec/girlshy_hevc.h265", 0.50), "W_PTS_MISSING", allow=TAIL + " W_TRUNCATED", maybe=True),
    partial("cut_60_av1.mp4", (8, 29), cut("av1.mp4", 0.60), "W_TRUNCATED", allow=TAIL),
    failed("cut_60_av1_no_moov.mp4", cut("data:codec/bear_av1.mp4", 0.60), "E_CONTAINER"),
    partial("cut_60.gif", (2, 4), cut("tiny.gif", 0.60), "", allow=TAIL + " W_TRUNCATED"),
)

NO_INDEX = (
    failed("no_moov.mp4", transform("people.mp4", lambda raw: surgery.without_box(raw, "moov")), "E_CONTAINER"),
    failed("no_mdat.mp4", transform("people_fast.mp4", lambda raw: surgery.without_box(raw, "mdat")), "E_NO_FRAMES E_CONTAINER"),
    failed("only_ftyp.mp4", transform("people.mp4", lambda raw: raw[:32]), "E_CONTAINER"),
    failed("mdat_of_zeros.mp4", transform("people.mp4", lambda raw: surgery.make_hole(raw, 0.0, len(raw))), "E_NO_FRAMES"),
    failed("mdat_of_noise.mp4", transform("people.mp4", lambda raw: surgery.make_hole(raw, 0.0, len(raw), None)), "E_NO_FRAMES"),
    partial("decord_corrupted.mp4", (1, 50), copy("data:codec/corrupted.mp4"), "W_CORRUPT", allow=NOISE, places=50),
    partial("head_missing.ts", (40, 59), transform("people.ts", lambda raw: raw[9000:]), "", allow=TAIL, original="people.ts"),
    partial("no_index.avi", 40, transform("mpeg4.avi", lambda raw: raw[: raw.rindex(b"idx1")]), "", allow=TAIL + " W_TRUNCATED W_PTS_MISSING", maybe=True),
)

# Bit flips in the coded pictures of an MP4: its index stays sound, so every place is known.
FLIPS = tuple(
    partial(f"flip_{bits}_{seed}_{base}", (0, count), flip(base, bits, seed), "", allow=NOISE, maybe=bits == 1, heavy=bits >= 10, places=count, original=base)
    for base, count, plan in (
        ("people.mp4", 60, ((1, 1), (1, 2), (3, 3), (8, 4), (30, 5), (100, 6))),
        ("cars.mp4", 60, ((1, 11), (3, 12), (10, 13), (40, 14), (200, 15))),
        ("bikes.mp4", 76, ((1, 21), (2, 22), (5, 23), (20, 24), (60, 25))),
        ("basket.mp4", 300, ((1, 31), (4, 32), (50, 33))),
        ("drawn.mp4", 60, ((1, 41), (2, 42), (5, 43), (15, 44), (80, 45))),
    )
    for bits, seed in plan
)

SPOILT = (
    # Chosen packets only: with GOP 10, packet 20 is an I picture, 23 a P picture, 26 likely a B picture.
    partial("spoilt_i.mp4", (50, 60), spoil_packets("people.mp4", {20}, 1), "", allow=NOISE, maybe=True, places=60, original="people.mp4"),
    partial("spoilt_p.mp4", (50, 60), spoil_packets("people.mp4", {21}, 2), "", allow=NOISE, maybe=True, places=60, original="people.mp4"),
    partial("spoilt_first.mp4", (50, 60), spoil_packets("people.mp4", {0}, 3), "", allow=NOISE, maybe=True, places=60, original="people.mp4"),
    partial("spoilt_last.mp4", (50, 60), spoil_packets("people.mp4", {59}, 4), "", allow=NOISE, maybe=True, places=60, original="people.mp4"),
    partial("spoilt_cars.mp4", (50, 60), spoil_packets("cars.mp4", {5, 30}, 5), "", allow=NOISE, maybe=True, places=60, original="cars.mp4"),
    partial("spoilt.mkv", (60, 76), spoil_packets("bikes.mkv", {35, 50}, 6), "", allow=NOISE, maybe=True, original="bikes.mkv"),
    partial("spoilt.ts", (60, 76), spoil_packets("bikes.ts", {35, 50}, 7), "", allow=NOISE, maybe=True, original="bikes.ts"),
    partial("short_i.mp4", (50, 60), shorten_packets("people.mp4", {30}), "", allow=NOISE, places=60, original="people.mp4"),
    partial("short_p.mp4", (50, 60), shorten_packets("cars.mp4", {7}), "", allow=NOISE, places=60, original="cars.mp4"),
    partial("short_many.mkv", (40, 76), shorten_packets("bikes.mkv", {4, 33, 60}), "", allow=NOISE, original="bikes.mkv"),
    partial("flip_mkv.mkv", (20, 60), flip("people.mkv", 20, 51), "", allow=NOISE, heavy=True, original="people.mkv"),
    partial("flip_ts.ts", (20, 60), flip("people.ts", 20, 52), "", allow=NOISE, heavy=True, original="people.ts"),
    partial("flip_ts_few.ts", (40, 60), flip("drawn.ts", 3, 53), "", allow=NOISE, maybe=True, original="drawn.ts"),
    partial("flip_flv.flv", (5, 60), flip("people.flv", 20, 54), "", allow=NOISE, heavy=True, original="people.flv"),
    partial("flip_avi.avi", (20, 60), flip("h264.avi", 20, 55), "", allow=NOISE, heavy=True),
    partial("flip_264.264", (20, 61), flip("people.264", 20, 56), "W_PTS_MISSING", allow=NOISE, heavy=True),
    # The decoders of HEVC and VP9 see next to nothing of flipped bits: their arithmetic coding has no checks.
    partial("flip_hevc.mp4", (0, 40), flip("hevc.mp4", 5, 57), "", allow=NOISE, places=40, maybe=True),
    # FFmpeg 8.1 decodes every packet of this one, a newer one drops two frames, which is reported as a gap.
    partial("flip_hevc_many.mp4", (0, 40), flip("hevc.mp4", 50, 58), "", allow=NOISE, maybe=True),
    partial("flip_vp9.webm", (0, 40), flip("vp9.webm", 30, 59), "", allow=NOISE, maybe=True),
    partial("flip_av1.mp4", (0, 30), flip("av1.mp4", 10, 60), "", allow=NOISE, heavy=True, maybe=True),
    partial("flip_mpeg4.avi", (20, 40), flip("mpeg4.avi", 20, 61), "", allow=NOISE, heavy=True),
    partial("flip_mpeg4.mp4", (10, 40), flip("mpeg4.mp4", 20, 62), "", allow=NOISE, heavy=True, places=40),
    partial("flip_mpeg2.ts", (20, 40), flip("mpeg2.ts", 20, 63), "", allow=NOISE, heavy=True),
    partial("flip_mjpeg.mkv", (15, 30), flip("mjpeg.mkv", 30, 64), "", allow=NOISE, maybe=True),
    # FFV1 carries a checksum in every slice.
    partial("flip_ffv1.mkv", (0, 10), flip("ffv1.mkv", 3, 65), "", allow=NOISE, maybe=True),
)

HOLES = (
    partial("hole_2k.mp4", (20, 60), hole("people.mp4", 0.5, 2_000), "", allow=NOISE, places=60, original="people.mp4"),
    partial("hole_64k.mp4", (20, 60), hole("cars.mp4", 0.3, 65_536), "", allow=NOISE, places=60, original="cars.mp4"),
    partial("hole_start.mp4", (20, 60), hole("people.mp4", 0.0, 1_500), "", allow=NOISE, places=60, original="people.mp4"),
    partial("hole_end.mp4", (20, 76), hole("bikes.mp4", 0.9, 20_000), "", allow=NOISE, places=76, original="bikes.mp4"),
    partial("hole_ones.mp4", (20, 76), hole("bikes.mp4", 0.4, 4_096, 0xFF), "", allow=NOISE, places=76, original="bikes.mp4"),
    partial("hole_noise.mp4", (20, 76), hole("bikes.mp4", 0.6, 4_096, None), "", allow=NOISE, places=76, original="bikes.mp4"),
    partial("holes_many.mp4", (10, 60), transform("drawn.mp4", lambda raw: surgery.scatter_holes(raw, 6, 400, 7)), "", allow=NOISE, places=60, original="drawn.mp4"),
    partial("hole.mkv", (10, 60), hole("people.mkv", 0.5, 3_000), "", allow=NOISE, original="people.mkv"),
    partial("hole.ts", (10, 60), hole("people.ts", 0.5, 3_000), "", allow=NOISE, original="people.ts"),
    partial("hole.flv", (5, 60), hole("people.flv", 0.5, 3_000), "", allow=NOISE, original="people.flv"),
    partial("hole.webm", (5, 40), hole("vp9.webm", 0.5, 3_000), "", allow=NOISE),
    partial("hole.avi", (10, 40), hole("mpeg4.avi", 0.5, 3_000), "", allow=NOISE),
    partial("halves_swapped.mp4", (0, 60), transform("people.mp4", swap_halves), "", allow=NOISE, heavy=True, places=60, original="people.mp4"),
    partial("bytes_missing.mkv", (10, 60), remove_bytes("people.mkv", 0.5, 2_500), "", allow=NOISE, original="people.mkv"),
    partial("bytes_missing.ts", (10, 60), remove_bytes("people.ts", 0.5, 2_500), "", allow=NOISE, original="people.ts"),
    partial("bytes_missing.mpg", (10, 40), remove_bytes("mpeg2.mpg", 0.5, 2_500), "", allow=NOISE),
)

LOST = (
    # A lost P picture spoils what follows up to the next I picture; its place shows in the time stamps.
    partial("lost_p.mp4", (50, 59), drop("people.mp4", {23}), "", allow=NOISE, original="people.mp4"),
    partial("lost_p_cars.mp4", (50, 59), drop("cars.mp4", {10}), "", allow=NOISE, original="cars.mp4"),
    partial("lost_i.mp4", (50, 59), drop("people.mp4", {30}), "", allow=NOISE, original="people.mp4"),
    partial("lost_gop.mp4", (40, 50), drop("people.mp4", set(range(20, 30))), "", allow=NOISE, original="people.mp4"),
    partial("lost_many.mkv", (40, 76), drop("bikes.mkv", {8, 9, 40, 41, 42, 60}), "", allow=NOISE, original="bikes.mkv"),
    partial("lost_p.ts", (50, 59), drop("people.ts", {24}), "", allow=NOISE, original="people.ts"),
    partial("lost_b.mp4", (58, 59), drop("drawn.mp4", {3}), "", allow=NOISE, maybe=True, original="drawn.mp4"),
    partial("lost_hevc.mp4", (30, 39), drop("hevc.mp4", {27, 28}), "", allow=NOISE),
    partial("lost_vp9.webm", (30, 39), drop("vp9.webm", {7, 8}), "", allow=NOISE),
    partial("lost_first_key.mkv", (0, 59), lambda w, path: remux(w.base("drawn.mp4"), path, first=3), "", allow=NOISE),
    partial("lost_ts_1.ts", (50, 60), lose_ts_packets([0]), "", allow=NOISE, original="people.ts"),
    partial("lost_ts_3.ts", (50, 60), lose_ts_packets([0, 40, 90]), "", allow=NOISE, original="people.ts"),
    partial("lost_ts_20.ts", (40, 60), lose_ts_packets(range(20)), "", allow=NOISE, original="people.ts"),
)

# Random damage to headers: anything may come of it, but never a crash, a hang or a silent success.
HEADERS = tuple(
    Case(f"header_{base.replace('.', '_')}_{seed}.{base.rsplit('.', 1)[1]}", ("ok", "partial", "failed"), frozenset(), None, transform(base, lambda raw, area=area, seed=seed: surgery.flip_bits(raw, 12, seed, area(raw))), frozenset(("*",)))
    for base, area in (("people_fast.mp4", lambda raw: surgery.box(raw, "moov")), ("drawn.mkv", lambda raw: (40, 700)), ("mpeg4.avi", lambda raw: (12, 330)))
    for seed in (71, 72, 73, 74)
)

NO_VIDEO_AT_ALL = (
    failed("empty.mp4", data(b""), "E_EMPTY"),
    failed("one_byte.mp4", data(b"\0"), "E_CONTAINER"),
    failed("zeros.mp4", data(bytes(100_000)), "E_CONTAINER"),
    failed("noise.mp4", data(noise_file(50_000, 1)), "E_CONTAINER E_NO_VIDEO E_NO_FRAMES"),
    failed("noise.ts", data(noise_file(50_000, 2)), "E_CONTAINER E_NO_VIDEO E_NO_FRAMES"),
    failed("text.mp4", data("This is my holiday video.\n" * 40), "E_CONTAINER"),
    failed("page.mp4", data("<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>\n"), "E_CONTAINER"),
    failed("lfs_pointer.mp4", data("version https://git-lfs.github.com/spec/v1\noid sha256:" + "4d7a2146" * 8 + "\nsize 12345678\n"), "E_CONTAINER"),
    failed("answer.mp4", data('{"error": {"code": 403, "message": "expired link"}}\n'), "E_CONTAINER"),
    failed("program.mp4", data(b"\x7fELF\x02\x01\x01" + bytes(5000)), "E_CONTAINER"),
    failed("document.mp4", data(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(3000)), "E_CONTAINER"),
    failed("packed.mp4.gz", data(b"\x1f\x8b\x08\0" + noise_file(4000, 3)), "E_CONTAINER"),
    failed("subtitles.mp4", data("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20), "E_CONTAINER E_NO_VIDEO"),
)

CASES = (*TRUNCATED, *NO_INDEX, *FLIPS, *SPOILT, *HOLES, *LOST, *HEADERS, *NO_VIDEO_AT_ALL)
