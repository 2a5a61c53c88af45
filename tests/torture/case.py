"""What a case of the torture set is, and the workshop that makes its file from sound clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torture import surgery
from torture.coding import encode, remux

__all__ = [
    "Case",
    "Maker",
    "Workshop",
    "copy",
    "cut",
    "data",
    "drop",
    "encoded",
    "failed",
    "flip",
    "hole",
    "ok",
    "partial",
    "transform",
]

Maker = Callable[["Workshop", Path], "Path | None"]

H264_BASES = ("people.mp4", "cars.mp4", "bikes.mp4", "basket.mp4", "drawn.mp4")


class Workshop:
    """Make sound clips on demand, once each, below ``folder``."""

    def __init__(self, folder: Path, data_dir: Path, trap_port: int = 9) -> None:
        self.folder = folder
        self.trap_port = trap_port
        self.data_dir = data_dir
        folder.mkdir(parents=True, exist_ok=True)

    def base(self, name: str) -> Path:
        """Return the path of one sound clip, made if it is not there."""
        path = self.folder / name
        if not path.exists():
            BASES[name](self, path)
        return path

    def read(self, name: str) -> bytes:
        """Return the bytes of one sound clip."""
        return self.base(name).read_bytes()


def _excerpt(clip: str, count: int, **options: object) -> Callable[[Workshop, Path], None]:
    return lambda w, path: remux(w.data_dir / clip, path, count=count, **options)


def _again(base: str, **options: object) -> Callable[[Workshop, Path], None]:
    return lambda w, path: remux(w.base(base), path, **options)


def _coded(codec: str, **options: object) -> Callable[[Workshop, Path], None]:
    return lambda w, path: encode(path, codec, **options)


_FAST = {"movflags": "+faststart"}
_FRAGMENTS = {"movflags": "+frag_keyframe+empty_moov+default_base_moof"}

BASES: dict[str, Callable[[Workshop, Path], None]] = {
    # Real clips, cut at a key frame: 60, 60, 76 and 300 frames.
    "people.mp4": _excerpt("video/people_one_by_one.mp4", 60),
    "cars.mp4": _excerpt("video/cars_topdown.mp4", 60),
    "bikes.mp4": _excerpt("video/bikes_cuts.mp4", 76),
    "basket.mp4": _excerpt("video/basketball.mp4", 300),
    "people_fast.mp4": _again("people.mp4", options=_FAST),
    "people_frag.mp4": _again("people.mp4", options=_FRAGMENTS),
    "people.mkv": _again("people.mp4"),
    "people.mov": _again("people.mp4"),
    "people.flv": _again("people.mp4"),
    "people.ts": _again("people.mp4"),
    "people.264": _again("people.mp4", fmt="h264"),
    "h264.avi": _coded("libx264", bf=0),
    "bikes.ts": _again("bikes.mp4"),
    "bikes.mkv": _again("bikes.mp4"),
    # Drawn clips: 60 frames of 320 x 180, GOP 12.
    "drawn.mp4": _coded("libx264"),
    "drawn.mkv": _again("drawn.mp4"),
    "drawn.ts": _again("drawn.mp4"),
    "drawn.264": _again("drawn.mp4", fmt="h264"),
    "small.mp4": _coded("libx264", count=10, size=(96, 64)),
    "small_open.mp4": _coded("libx264", options={"x264-params": "open-gop=1:bframes=3:keyint=15:scenecut=0"}),
    "av1.mp4": _coded(
        "libsvtav1", count=30, gop=10, bf=None, options={"preset": "10"}, container_options=_FAST
    ),
    "hevc.mp4": _coded("libx265", count=40, gop=20, bf=None),
    "vp9.webm": _coded("libvpx-vp9", count=40, gop=20, bf=None),
    "vp8.webm": _coded("libvpx", count=40, gop=20, bf=None),
    "mpeg4.avi": _coded("mpeg4", count=40, bf=2),
    "mpeg4_ip.avi": _coded("mpeg4", count=40, bf=0),
    "mpeg4.mp4": _coded("mpeg4", count=40, bf=2),
    "mpeg2.ts": _coded("mpeg2video", count=40, bf=2),
    "mpeg2.mpg": _coded("mpeg2video", count=40, bf=2),
    "mjpeg.avi": _coded("mjpeg", count=30, pix_fmt="yuvj420p", bf=None),
    "mjpeg.mkv": _coded("mjpeg", count=30, pix_fmt="yuvj420p", bf=None),
    "ffv1.mkv": _coded("ffv1", count=10, bf=None),
    "tiny.gif": _coded("gif", count=6, size=(64, 36), pix_fmt="rgb8", bf=None),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One input and what is right to say about it.

    Attributes
    ----------
    name : str
        Unique; also the folder it lies in.
    statuses : tuple of str
        The statuses that are right (more than one only where damage is random).
    codes : frozenset of str
        All of these are given, unless the reading fails.
    frames : (int, int) or None
        Lowest and highest right number of frames that decode.
    make : Maker
        Writes the file at the path given, or returns the path it wrote instead.
    allowed : frozenset of str
        Codes that may be given besides.
    failures : frozenset of str
        One of these is given if the reading fails.
    places : int or None
        Right number of places in the frame table, where it can be known.
    original : str or None
        The sound H.264 clip that this is damaged from: frames are compared by their time stamps.
    size : (int, int) or None
        Upright width and height.
    """

    name: str
    statuses: tuple[str, ...]
    codes: frozenset[str]
    frames: tuple[int, int] | None
    make: Maker
    allowed: frozenset[str] = frozenset()
    failures: frozenset[str] = frozenset()
    places: int | None = None
    original: str | None = None
    size: tuple[int, int] | None = None
    file: str | None = None

    def write(self, workshop: Workshop, folder: Path) -> Path:
        """Make the input below ``folder`` and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (self.file or self.name)
        return self.make(workshop, path) or path


def ok(name: str, frames: int, make: Maker, codes: str = "", *, allow: str = "", **more) -> Case:
    """A sound input: every frame decodes clean."""
    named, allowed = frozenset(codes.split()), frozenset(allow.split())
    return Case(name, ("ok",), named, (frames, frames), make, allowed, places=frames, **more)


def partial(
    name: str,
    frames: int | tuple[int, int],
    make: Maker,
    codes: str,
    *,
    allow: str = "",
    maybe: bool = False,
    heavy: bool = False,
    **more,
) -> Case:
    """A damaged input of which something is left.

    ``maybe``: the damage may be too small, or of a kind that no decoder sees. ``heavy``: it may reach all frames.
    """
    return Case(
        name,
        ("partial", *(["ok"] if maybe else []), *(["failed"] if heavy else [])),
        frozenset(codes.split()),
        (frames, frames) if isinstance(frames, int) else frames,
        make,
        frozenset(allow.split()),
        frozenset(["E_NO_FRAMES"] if heavy else []),
        **more,
    )


def failed(name: str, make: Maker, codes: str, **more) -> Case:
    """An input that is no usable video, for one of the reasons given."""
    return Case(name, ("failed",), frozenset(), None, make, failures=frozenset(codes.split()), **more)


def copy(base: str) -> Maker:
    """Take a sound clip as it is; ``data:`` names a real one."""

    def make(w: Workshop, path: Path) -> None:
        source = w.data_dir / base[5:] if base.startswith("data:") else w.base(base)
        path.write_bytes(source.read_bytes())

    return make


def data(content: bytes | str | Callable[[], bytes]) -> Maker:
    """Write these bytes, or what a function makes."""

    def make(w: Workshop, path: Path) -> None:
        raw = content() if callable(content) else content
        path.write_bytes(raw.encode() if isinstance(raw, str) else raw)

    return make


def transform(base: str, change: Callable[[bytes], bytes]) -> Maker:
    """Write a sound clip changed by a function on its bytes."""

    def make(w: Workshop, path: Path) -> None:
        source = (w.data_dir / base[5:]).read_bytes() if base.startswith("data:") else w.read(base)
        path.write_bytes(change(source))

    return make


def cut(base: str, share: float) -> Maker:
    """Keep the first ``share`` of the bytes."""
    return transform(base, lambda raw: raw[: int(len(raw) * share)])


def flip(base: str, count: int, seed: int) -> Maker:
    """Flip random bits of the coded pictures."""
    return transform(base, lambda raw: surgery.flip_bits(raw, count, seed))


def hole(base: str, at: float, size: int, fill: int | None = 0) -> Maker:
    """Overwrite a range of the coded pictures."""
    return transform(base, lambda raw: surgery.make_hole(raw, at, size, fill))


def drop(base: str, numbers: set[int], **options) -> Maker:
    """Leave packets out (numbered in coding order)."""
    return lambda w, path: remux(w.base(base), path, drop=numbers, **options)


def encoded(codec: str, **options) -> Maker:
    """Encode drawn pictures."""
    return lambda w, path: encode(path, codec, **options)
