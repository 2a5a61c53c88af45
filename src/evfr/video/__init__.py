"""Read video: every frame once, exactly, upright, with the truth about what is damaged or missing.

`open_video` makes one sequential pass; `frames` is the same as a plain generator; `scan` keeps no pixels;
`inspect_video` says what a video is; `resolve_inputs` turns paths, folders, globs and lists into sources;
`extract_frames` fetches single frames exactly; `motion_vectors` reads what the codec knows of motion, and
`proxy_step_fields` makes such vectors for any pictures.

A video is a file that FFmpeg reads, or a folder or zip of images in natural order. A frame is known by its index in
presentation order, its integer pts and time base, and the XXH64 of its luma plane. The same index gives the same
bytes on every path. Damage is never hidden: frames it may have reached are suspect, frames that do not decode keep
their place, and every problem has a stable code (`evfr.errors.ProblemCode`).
"""

from evfr._core.warp import compensated_residual, warp_nearest, warp_two_sided, warp_two_sided_weighted
from evfr.video._block_field import BlockFields, block_fields
from evfr.video._candidates import BlockReferences, candidate_references
from evfr.video._container import printable
from evfr.video._frames import MOTION_VECTOR_DTYPE, Frame, VideoFrame
from evfr.video._hash import content_hash
from evfr.video._info import VideoInfo
from evfr.video._inputs import VideoSource, resolve_inputs
from evfr.video._inspect import failed_info, inspect_video
from evfr.video._motion_vectors import FrameVectors, motion_vectors
from evfr.video._open import frames, open_video, scan
from evfr.video._proxy import proxy_clip, proxy_key, proxy_step_fields
from evfr.video._reader import VideoReader
from evfr.video._remote import RemoteFile
from evfr.video._remote_names import recorded_path, remote_file, shown_input, source_path
from evfr.video._single import read_image
from evfr.video._sparse import known_frames_table
from evfr.video._stream_vectors import StreamVectors
from evfr.video._write import FrameFileName, frame_file_name, parse_frame_file_name, write_frame
from evfr.video.extraction import ExtractionPlan, FrameExtractor, extract_frames, plan_extraction
from evfr.video.synthetic import draw_clip

__all__ = [
    "MOTION_VECTOR_DTYPE",
    "BlockFields",
    "BlockReferences",
    "ExtractionPlan",
    "Frame",
    "FrameExtractor",
    "FrameFileName",
    "FrameVectors",
    "RemoteFile",
    "StreamVectors",
    "VideoFrame",
    "VideoInfo",
    "VideoReader",
    "VideoSource",
    "block_fields",
    "candidate_references",
    "compensated_residual",
    "content_hash",
    "draw_clip",
    "extract_frames",
    "failed_info",
    "frame_file_name",
    "frames",
    "inspect_video",
    "known_frames_table",
    "motion_vectors",
    "open_video",
    "parse_frame_file_name",
    "plan_extraction",
    "printable",
    "proxy_clip",
    "proxy_key",
    "proxy_step_fields",
    "read_image",
    "recorded_path",
    "remote_file",
    "resolve_inputs",
    "scan",
    "shown_input",
    "source_path",
    "warp_nearest",
    "warp_two_sided",
    "warp_two_sided_weighted",
    "write_frame",
]
