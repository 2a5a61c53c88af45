"""Open a video file by descriptor, so that nothing but that one regular file is ever read.

A "video" may be a playlist, an SDP description or a URL in disguise. The file is opened by the system
(without blocking, so a FIFO cannot hang us), proved regular and non-empty, and handed to FFmpeg's ``fd:``
protocol, the only one allowed; of the demuxers only those of real video files are allowed, and none that opens
other files.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, BinaryIO

import av

from evfr._core.types import Problem
from evfr.errors import ProblemCode, VideoError

if TYPE_CHECKING:
    from pathlib import Path

    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "FORMATS",
    "fail",
    "has_time_stamps",
    "open_container",
    "open_descriptor",
    "prepare_decoder",
    "printable",
    "video_streams",
]

DEFAULT_MAX_PIXELS = 8192 * 8192
"""Pictures of more pixels than this are refused before memory is taken for them."""

FORMATS = (
    "mov",
    "matroska",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "live_flv",
    "kux",
    "asf",
    "asf_o",
    "ogg",
    "h261",
    "h263",
    "h264",
    "hevc",
    "vvc",
    "evc",
    "apv",
    "av1",
    "obu",
    "ivf",
    "m4v",
    "vc1",
    "vc1test",
    "avs2",
    "avs3",
    "cavsvideo",
    "dirac",
    "dnxhd",
    "mjpeg",
    "mjpeg_2000",
    "mpjpeg",
    "mxf",
    "gxf",
    "lxf",
    "dv",
    "nut",
    "gif",
    "apng",
    "jpegxl_anim",
    "yuv4mpegpipe",
    "wtv",
    "rm",
    "nuv",
    "nsv",
    "pva",
    "ty",
    "dhav",
    "cine",
    "ser",
    "ifv",
    "r3d",
    "vivo",
    "roq",
    "smk",
    "bink",
    "flic",
    "smjpeg",
    "film_cpk",
    "filmstrip",
    "usm",
)
"""Names of the FFmpeg demuxers allowed: containers and raw streams; no playlist, device or script."""

_OPEN_ERRORS = {
    errno.ENOENT: (ProblemCode.E_NOT_FOUND, "no such file; check the path"),
    errno.ENOTDIR: (ProblemCode.E_NOT_FOUND, "no such file: a part of the path is no folder; check the path"),
    errno.ENAMETOOLONG: (ProblemCode.E_NOT_FOUND, "no such file: the name is too long; check the path"),
    errno.ENXIO: (ProblemCode.E_NOT_REGULAR, "a socket or device, not a file; give a video file"),
    errno.ELOOP: (ProblemCode.E_UNREADABLE, "a loop of symbolic links; mend the link"),
    errno.EACCES: (ProblemCode.E_UNREADABLE, "permission denied; make it readable"),
    errno.EPERM: (ProblemCode.E_UNREADABLE, "permission denied; make it readable"),
}


def printable(text: str | os.PathLike[str]) -> str:
    """Return ``text`` with control characters, surrogates and backslashes escaped: it prints anywhere.

    Parameters
    ----------
    text : str or path-like
        Any file name, undecodable bytes as surrogate escapes.

    Returns
    -------
    str
        Printable; different inputs give different outputs.

    Examples
    --------
    >>> print(printable("a\\nb"))
    a\\nb
    >>> print(printable(b"caf\\xe9".decode("utf-8", "surrogateescape")))
    caf\\xe9
    """
    out = []
    for char in os.fspath(text):
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char == "\\":
            out.append("\\\\")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(
                char.encode("unicode_escape").decode("ascii")
                if code > 0xFF or code < 0x20
                else f"\\u{code:04x}"
            )
    return "".join(out)


def fail(code: ProblemCode, message: str, path: str | os.PathLike[str]) -> VideoError:
    """Return the `VideoError` for one path, its name made printable."""
    return VideoError(Problem(code, message, printable(path)))


def open_descriptor(path: str | os.PathLike[str]) -> int:
    """Open ``path`` for reading without blocking, and prove that it is a regular file with something in it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    int
        A descriptor the caller must close.

    Raises
    ------
    VideoError
        ``E_NOT_FOUND``, ``E_UNREADABLE``, ``E_NOT_REGULAR`` or ``E_EMPTY``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        code, message = _OPEN_ERRORS.get(
            error.errno or 0,
            (ProblemCode.E_UNREADABLE, f"cannot be opened: {error.strerror}; check the disk"),
        )
        raise fail(code, message, path) from error
    except ValueError as error:
        raise fail(
            ProblemCode.E_NOT_FOUND, "no such file: the name holds a zero byte; check the path", path
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a FIFO, socket or device"
            raise fail(ProblemCode.E_NOT_REGULAR, f"{kind}, not a file; give a video file", path)
        if status.st_size == 0:
            raise fail(ProblemCode.E_EMPTY, "the file is empty (0 bytes); copy it again", path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


# PyAV 18 raises on metadata that is not UTF-8 unless told otherwise; PyAV 19 always escapes, and has no such word.
_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_container(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> InputContainer:
    """Open the container of a video file through its descriptor.

    Parameters
    ----------
    path : str or Path
        A regular file, or a `RemoteFile`. Its name plays no part: FFmpeg probes the content.
    max_pixels : int
        Largest picture to accept, width times height.

    Returns
    -------
    av.container.InputContainer
        Opened, streams probed; the caller closes it. No decoder is opened yet: see `prepare_decoder`.

    Raises
    ------
    VideoError
        ``E_NOT_FOUND``, ``E_UNREADABLE``, ``E_NOT_REGULAR``, ``E_EMPTY`` or ``E_CONTAINER``.
    """
    local = getattr(path, "local", None)
    if local is not None:
        whole = local()
        if whole is None:
            return _open_remote(path, max_pixels)
        path = whole
    descriptor = open_descriptor(path)
    # FFmpeg duplicates the descriptor, and both share one offset: ours is closed as soon as theirs is open.
    try:
        opened: InputContainer = av.open(
            "fd:",
            mode="r",
            options={
                "fd": str(descriptor),
                "protocol_whitelist": "fd",
                **_limits(max_pixels),
            },
            **_METADATA,
        )
        return opened
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _not_a_video(error, path) from error
    finally:
        os.close(descriptor)


def _open_remote(path: Any, max_pixels: int) -> InputContainer:
    """Open a container whose bytes come when they are read; nothing but them can be opened from inside."""
    file = path.open_bytes()
    try:
        opened: InputContainer = av.open(
            file,
            mode="r",
            options={"protocol_whitelist": "none", **_limits(max_pixels)},
            io_open=_refuse_to_open,
            **_METADATA,
        )
        return opened
    except (av.FFmpegError, ValueError, OSError) as error:
        file.close()
        path.raise_failure()
        raise _not_a_video(error, path) from error
    except BaseException:
        file.close()
        raise


def _refuse_to_open(url: str, flags: int, options: object) -> BinaryIO:
    raise OSError("a video file may not name other files")


def _limits(max_pixels: int) -> dict[str, str]:
    return {"format_whitelist": ",".join(FORMATS), "max_pixels": str(max_pixels)}


def _not_a_video(error: Exception, path: str | os.PathLike[str]) -> VideoError:
    return fail(
        ProblemCode.E_CONTAINER,
        f"not a video file that FFmpeg can read ({_reason(error)}); check what it is, or copy it again",
        path,
    )


def video_streams(container: InputContainer) -> list[VideoStream]:
    """Return the streams that are video, the best first; cover art and thumbnails are none.

    Best is: a decoder exists, then the most pixels, then the default flag, then the first. Frame counts in
    headers are claims, so they play no part.
    """
    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    candidates = [s for s in container.streams.video if not s.disposition & pictures]

    def rank(stream: VideoStream) -> tuple[bool, int, bool, int]:
        context = stream.codec_context
        pixels = context.width * context.height if context is not None else 0
        return (
            context is not None,
            pixels,
            bool(stream.disposition & av.stream.Disposition.default),
            -stream.index,
        )

    return sorted(candidates, key=rank, reverse=True)


def prepare_decoder(
    stream: VideoStream,
    *,
    threads: int = 1,
    motion_vectors: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> None:
    """Set the decoder options that every path shares, so that a frame has the same bytes on all of them.

    Parameters
    ----------
    stream : av.video.stream.VideoStream
        Its decoder must not be open yet; it opens at the first packet.
    threads : int
        1 decodes without threads; more use frame threads, or slice threads where motion vectors are asked
        (frame threads silently lose them).
    motion_vectors : bool
        Export the codec's motion vectors.
    max_pixels : int
        Pictures larger than this fail to decode instead of taking memory.

    Raises
    ------
    ValueError
        If ``threads`` is less than 1.
    """
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    context = stream.codec_context
    context.thread_count = threads
    if threads == 1:
        context.thread_type = "NONE"
    else:
        context.thread_type = "SLICE" if motion_vectors else "FRAME"
    options = {
        "max_pixels": str(max_pixels),
        # Frames that damage reached come out and are known for it, instead of vanishing.
        "flags": "+output_corrupt",
    }
    if context.codec.canonical_name == "h264":
        # Checks that a slice ends where its data does. (MPEG-4 would refuse sound files of old encoders.)
        options["err_detect"] = "+aggressive"
    if motion_vectors:
        options["flags2"] = "+export_mvs"
    context.options = options


def has_time_stamps(container: InputContainer, stream: VideoStream) -> bool:
    """Whether the container states presentation times: AVI with reordered pictures does not.

    AVI counts chunks in decoding order; what FFmpeg gives as pts there is wrong as soon as pictures are reordered.
    """
    return not (container.format.name == "avi" and stream.codec_context.has_b_frames)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return printable(text).strip() or type(error).__name__
