"""How detections and scores of frames stand in the store, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evfr.models import Detections

__all__ = ["detections_from_table", "detections_to_table", "rows_from_column", "rows_to_column"]


def detections_to_table(found: Detections) -> Any:
    """Return detections as rows, for the store."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        name: pa.array(found.boxes_xyxy[:, k]) for k, name in enumerate(("x0", "y0", "x1", "y1"))
    }
    columns["score"] = pa.array(found.scores)
    columns["category"] = pa.array(found.category, pa.int64())
    columns["class_scores"] = rows_to_column(found.class_scores)
    columns["counts"] = pa.array(
        [None if mask is None else mask.to_coco()["counts"] for mask in found.masks], pa.string()
    )
    return pa.table(columns)


def detections_from_table(table: Any, size: tuple[int, int], classes: int) -> Detections:
    """Return what `detections_to_table` was given: of pictures of a size (height, width) and so many classes."""
    import numpy as np

    from evfr._core.masks import Rle
    from evfr.models import Detections

    boxes = np.stack([table[name].to_numpy() for name in ("x0", "y0", "x1", "y1")], axis=1)
    masks = [
        None if counts is None else Rle.from_coco({"size": list(size), "counts": counts})
        for counts in table["counts"].to_pylist()
    ]
    return Detections(
        boxes,
        table["score"].to_numpy(),
        table["category"].to_numpy(),
        rows_from_column(table["class_scores"], classes),
        tuple(masks),
    )


def rows_to_column(values: NDArray[np.float64]) -> Any:
    """Return the rows of an (N, C) float64 array as one column of bytes, exactly."""
    import pyarrow as pa

    return pa.array([row.tobytes() for row in values], pa.binary(8 * values.shape[1]))


def rows_from_column(column: Any, width: int) -> NDArray[np.float64]:
    """Return what `rows_to_column` was given."""
    import numpy as np

    return np.frombuffer(b"".join(column.to_pylist()), np.float64).reshape(-1, width)
