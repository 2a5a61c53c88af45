"""Say what a video is: the facts that decoding proves beside the ones its header claims."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from evfr._core.types import Problem

__all__ = ["VideoInfo"]


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts about one video; counts are what decodes, and claims are named so.

    Attributes
    ----------
    path : str
        Printable name.
    kind : {"file", "images", "archive"}
        A video file, a folder of images, or a zip of images.
    container, codec, pixel_format : str
        FFmpeg's names; empty where unknown.
    width, height : int
        Upright picture size in pixels.
    rotation : int
        Degrees clockwise that turn the stored picture upright: 0, 90, 180 or 270.
    frame_count : int
        Frames presented, those that did not decode but keep their place included.
    decoded_count : int
        Frames that decode.
    suspect_count : int
        Frames that damage may have reached, those that do not decode included.
    claimed_frame_count : int or None
        What the header says, if it says anything.
    fps : float or None
        Mean frames per second over the true time stamps.
    is_variable_rate : bool
        Whether the steps between frames differ.
    duration_seconds : float
        From the first frame to the end of the last.
    claimed_duration_seconds : float or None
        What the header says, if it says anything.
    gop_length_max : int
        Most frames from one key frame up to the next.
    gop_length_mean : float
        Frames per key frame.
    picture_types : dict of str to int
        How many ``"I"``, ``"P"``, ``"B"`` and ``"?"`` pictures.
    has_b_frames : bool
        Whether any picture is a B picture.
    b_run_max : int
        Most B pictures in a row, in presentation order (known only after `inspect_video`).
    has_motion_vectors : bool
        Whether the codec exports motion vectors (known only after `inspect_video`, as are the three below).
    motion_vector_frame_count : int
        Frames with at least one motion vector.
    motion_vector_lists : tuple of int
        Reference lists that any vector uses: (), (0,), (1,) or (0, 1). A list is not a direction in time.
    intra_share : float or None
        Mean share of the picture that no vector covers, over the frames with vectors, in [0, 1]; None without any.
    is_time_estimated : bool
        Whether times come from the frame rate because the container has none.
    size_bytes : int
        Bytes on disk.
    status : {"ok", "partial", "failed"}
        ``partial``: usable, but frames are missing or suspect.
    problems : tuple of Problem
        All of them, in the order found.
    """

    path: str
    kind: Literal["file", "images", "archive"] = "file"
    container: str = ""
    codec: str = ""
    pixel_format: str = ""
    width: int = 0
    height: int = 0
    rotation: int = 0
    frame_count: int = 0
    decoded_count: int = 0
    suspect_count: int = 0
    claimed_frame_count: int | None = None
    fps: float | None = None
    is_variable_rate: bool = False
    duration_seconds: float = 0.0
    claimed_duration_seconds: float | None = None
    gop_length_max: int = 0
    gop_length_mean: float = 0.0
    picture_types: dict[str, int] | None = None
    has_b_frames: bool = False
    b_run_max: int = 0
    has_motion_vectors: bool = False
    motion_vector_frame_count: int = 0
    motion_vector_lists: tuple[int, ...] = ()
    intra_share: float | None = None
    is_time_estimated: bool = False
    size_bytes: int = 0
    status: Literal["ok", "partial", "failed"] = "ok"
    problems: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dict, keys in field order."""
        data = asdict(self)
        data["picture_types"] = dict(self.picture_types or {})
        data["motion_vector_lists"] = list(self.motion_vector_lists)
        data["problems"] = [problem.to_dict() for problem in self.problems]
        return data
