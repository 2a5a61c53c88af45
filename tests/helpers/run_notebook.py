"""Run a notebook in a folder and print the kinds of its outputs: ``python run_notebook.py NOTEBOOK FOLDER``.

A process of its own, because Jupyter's sockets outlive the run and would be warnings, that is errors, of a later test.
"""

from __future__ import annotations

import sys

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient


def main() -> None:
    """Run it over a file socket, so that no port is opened."""
    path, folder = sys.argv[1:]
    notebook = nbformat.read(path, as_version=4)
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
    NotebookClient(notebook, km=kernel, timeout=300, resources={"metadata": {"path": folder}}).execute()
    kinds = {output.output_type for cell in notebook.cells for output in cell.get("outputs", ())}
    print(*sorted(kinds))


if __name__ == "__main__":
    main()
