"""How measurements stand in the store: the frames of a video as one table, each signal as another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from evfr._core.store import Store, StoreKey
    from evfr._core.types import FrameTable, Problem
    from evfr.signals import ScoredFrames

__all__ = ["read_frames", "write_frames", "write_signal"]


def _place(
    values: NDArray[np.float64], scored: ScoredFrames, table: FrameTable, *, is_pair: bool
) -> NDArray[np.float64]:
    import numpy as np

    placed = np.full(len(table), np.nan)
    placed[scored.frame_index] = values
    if is_pair and len(scored.frame_index) and scored.frame_index[-1] != len(table) - 1:
        # The last decoded frame has a successor that did not decode: its 0.0 would pass for "nothing moves".
        placed[scored.frame_index[-1]] = np.nan
    return placed


def write_frames(
    store: Store,
    key: StoreKey,
    table: FrameTable,
    info: Mapping[str, Any],
    problems: Sequence[Problem],
    scored: ScoredFrames,
) -> None:
    """Write a video's frame table with what every pass measures.

    Parameters
    ----------
    store : Store
        Where to.
    key : StoreKey
        Of the stage ``frames``.
    table : FrameTable
        The frames.
    info : mapping
        `VideoInfo.to_dict`.
    problems : sequence of Problem
        What was wrong.
    scored : ScoredFrames
        The pass: content change, sharpness, clipped share.
    """
    import pyarrow as pa

    from evfr._core.selection import pts_column

    # The same bytes under two names share one entry: nothing of the path goes in.
    info = {name: value for name, value in info.items() if name not in ("path", "problems")}
    columns = pa.table(
        {
            "frame_index": pa.array(range(len(table)), pa.int64()),
            "pts": pts_column(table.pts),
            "time_seconds": table.time_seconds,
            "picture_type": pa.array([value.decode("ascii") for value in table.picture_type.tolist()]),
            "is_iframe": table.is_iframe,
            "luma_hash": table.luma_hash,
            "is_suspect": table.is_suspect,
            "is_decoded": table.is_decoded,
            "content": _place(scored.content, scored, table, is_pair=True),
            "sharpness": _place(scored.sharpness, scored, table, is_pair=False),
            "clipped": _place(scored.clipped, scored, table, is_pair=False),
        }
    )
    metadata = {
        "time_base": [table.time_base.numerator, table.time_base.denominator],
        "is_time_estimated": table.is_time_estimated,
        "width": table.width,
        "height": table.height,
        "info": info,
        "problems": [problem.to_dict() for problem in problems],
    }
    store.write(key, columns, metadata)


def write_signal(
    store: Store,
    key: StoreKey,
    name: str,
    table: FrameTable,
    scored: ScoredFrames,
    parameters: Mapping[str, Any],
) -> None:
    """Write one signal of a video, with its parameters and the width it worked at.

    Parameters
    ----------
    store : Store
        Where to.
    key : StoreKey
        Of the stage ``signal-<name>``.
    name : str
        The signal.
    table : FrameTable
        The frames.
    scored : ScoredFrames
        The pass.
    parameters : mapping
        The signal's parameters.
    """
    import pyarrow as pa

    values = _place(scored.values[name], scored, table, is_pair=True)
    recorded = {**parameters, "working_width": scored.working_widths[name]}
    columns = pa.table({"frame_index": pa.array(range(len(values)), pa.int64()), "dissimilarity": values})
    store.write(key, columns, {"signal": recorded})


def read_frames(store: Store, key: StoreKey) -> tuple[FrameTable, dict[str, Any], pa.Table]:
    """Read a video's frame table back from the store.

    Parameters
    ----------
    store : Store
        Where it is.
    key : StoreKey
        Of the stage ``frames``.

    Returns
    -------
    tuple of (FrameTable, dict, pyarrow.Table)
        The frames, the entry's metadata, and all columns.
    """
    import numpy as np
    import pyarrow.compute as pc

    from evfr._core.types import PTS_NONE, FrameTable

    entry = store.read_entry(key)
    columns, metadata = entry.table, entry.metadata
    table = FrameTable(
        pts=pc.fill_null(columns["pts"], PTS_NONE).to_numpy(),
        time_base=Fraction(*metadata["time_base"]),
        time_seconds=columns["time_seconds"].to_numpy(),
        picture_type=np.array(columns["picture_type"].to_pylist(), dtype="S1"),
        is_iframe=columns["is_iframe"].to_numpy(),
        luma_hash=columns["luma_hash"].to_numpy(),
        is_suspect=columns["is_suspect"].to_numpy(),
        is_decoded=columns["is_decoded"].to_numpy(),
        is_time_estimated=metadata["is_time_estimated"],
        width=metadata["width"],
        height=metadata["height"],
    )
    return table, metadata, columns
