"""Colours that FFmpeg has no conversion for: grey and identity work, RGB is one clear error."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from evfr.errors import VideoError
from evfr.video import frames, open_video


def test_a_matrix_without_conversion_is_said_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ycgco.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"x264-params": "colormatrix=YCgCo"}
        for _ in range(3):
            picture = np.full((48, 64, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    with open_video(path) as video:
        assert [frame.luma().shape for frame in video] == [(48, 64)] * 3
    with pytest.raises(VideoError, match=r"yuv420p pictures of colour matrix 8 into RGB .* to BT\.709 first"):
        next(iter(frames(path)))
