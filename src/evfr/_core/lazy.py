"""Import optional dependencies late, and say which line installs a missing one."""

from __future__ import annotations

import importlib
from typing import Any

from evfr.errors import MissingExtraError

__all__ = ["require"]


def require(module: str, *, extra: str) -> Any:
    """Import and return ``module``, or raise an error whose text is the exact install line.

    Parameters
    ----------
    module : str
        Dotted module name, for example ``"onnxruntime"``.
    extra : str
        The extra of evfr that brings it, for example ``"onnx"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{module} is not installed; run: python -m pip install 'evfr[{extra}]'"
        ) from error
