"""EVFR's name for the images below a folder; see docs/how-to/from-evfr.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evfr.errors import InputError

__all__ = ["ImageFolderDataset"]


class ImageFolderDataset:
    """All images below a folder, as EVFR (Yoon & Choi 2023) documents it; a map-style dataset without torch.

    Parameters
    ----------
    root_dir : str or Path
        The folder; images in folders below it count too.
    transform : callable, optional
        Applied to each PIL image.
    valid_extensions : sequence of str
        Endings of image files, in lower case.
    disable_transform : bool
        Give PIL images whatever ``transform`` is.

    Attributes
    ----------
    image_paths : list of Path
        The images, sorted by path.

    Raises
    ------
    InputError
        If there is no such folder, or no image in it.
    """

    def __init__(
        self,
        root_dir: str | Path,
        transform: Callable[[Any], Any] | None = None,
        valid_extensions: Sequence[str] = (".jpg", ".jpeg", ".png", ".bmp", ".tiff"),
        disable_transform: bool = False,
    ) -> None:
        self.root_dir = Path(root_dir)
        self.transform, self.disable_transform = transform, disable_transform
        if not self.root_dir.is_dir():
            raise InputError(f"{root_dir} is no folder; give the folder of the images")
        self.image_paths = sorted(
            path for path in self.root_dir.rglob("*") if path.suffix.lower() in tuple(valid_extensions)
        )
        if not self.image_paths:
            raise InputError(f"no images below {root_dir} that end in {', '.join(valid_extensions)}")

    def __len__(self) -> int:
        return len(self.image_paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return (image, index): a PIL image in RGB, or what the transform makes of it."""
        from PIL import Image

        from evfr._core.picture_formats import picture_formats

        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is not in 0..{len(self) - 1}")
        try:
            with Image.open(self.image_paths[index], formats=picture_formats("GIF")) as file:
                image = file.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(f"cannot read the image {self.image_paths[index]}: {error}") from error
        if self.transform is None or self.disable_transform:
            return image, index
        return self.transform(image), index
