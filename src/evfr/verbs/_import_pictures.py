"""Pictures that come back from a tool: decoded, hashed, and found by name in their folder or zip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from evfr.errors import AnnotationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PictureFolder", "pixel_hash", "read_picture"]

_PIXELS_MOST = 1 << 28
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


class PictureFolder:
    """The pictures below a folder or in a zip, found by the name that a label file gives them."""

    def __init__(self, path: Path) -> None:
        from evfr.annotations._paths import open_place

        self.path = path
        self._place = open_place(path)
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in self._place.names:
            if name.lower().endswith(_ENDINGS):
                self._by_name.setdefault(_base(name), []).append(name)
                self._by_stem.setdefault(_base(name).rpartition(".")[0], []).append(name)
        if not self._by_name:
            self._place.__exit__(None, None, None)
            raise AnnotationError(
                f"{path} holds no picture ({', '.join(_ENDINGS)}); give the pictures that came back"
            )

    def find(self, name: str) -> str | None:
        """Return the file of a picture: of the same path, else the only one of its name (the ending may differ)."""
        wanted = name.replace("\\", "/")
        base = _base(name)
        found = self._by_name.get(base, [])
        longer = [file for file in found if f"/{file}".endswith(f"/{wanted}") or wanted.endswith(f"/{file}")]
        stem = base.rpartition(".")[0] if base.lower().endswith(_ENDINGS) else base
        for files in ([file for file in found if file == wanted], longer, found, self._by_stem.get(stem, [])):
            if len(files) == 1:
                return files[0]
        return None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file that `find` returned."""
        return self._place.read(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.__exit__(None, None, None)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def read_picture(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode a picture file.

    Parameters
    ----------
    data : bytes
        JPEG, PNG or whatever else OpenCV reads.
    where : str
        Its name, for the error's text.

    Returns
    -------
    (H, W, 3) uint8
        RGB as stored; a note in the file that turns the picture is not followed.

    Raises
    ------
    AnnotationError
        If it is no picture, or has more than 2^28 pixels.
    """
    import cv2
    import numpy as np

    from evfr.annotations._palette import picture_size

    width, height = picture_size(data, where)
    if width * height > _PIXELS_MOST:
        raise AnnotationError(f"{where}: {width}x{height} pixels are more than {_PIXELS_MOST}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise AnnotationError(f"{where} cannot be decoded: {error!s:.200}") from error
    if image is None:
        raise AnnotationError(f"{where} is no picture that OpenCV reads; save it as PNG or JPEG")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def pixel_hash(image: NDArray[np.uint8]) -> str:
    """Return the hash of a picture's pixels, whatever file they are stored in.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.

    Returns
    -------
    str
        SHA-256 of ``"WxH:"`` and the bytes, hex.
    """
    import hashlib

    import numpy as np

    height, width = image.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
