"""Vector code for farthest points that the compiler does not find by itself.

Written as LLVM vectors, which every processor runs, in as many steps as its registers need. No operation may be
reordered in `eight_sums`, so that its result is the same everywhere.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils as _cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

cgutils: Any = _cgutils
_intrinsic: Any = intrinsic

__all__ = ["LANES", "eight_sums", "lane_distances", "lane_sum"]

LANES = 16
"""Picks compared with a point at once."""


def _check(*kinds: Any) -> None:
    """Refuse arrays with gaps, at compile time."""
    if any(kind.layout != "C" for kind in kinds):
        raise TypingError("arrays must be contiguous")


def _data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.make_array(kind)(context, builder, value).data


def _load(builder: Any, pointer: Any, scalar: Any, n: int) -> Any:
    """Load n values that stand side by side, aligned as one of them."""
    vector = builder.bitcast(pointer, ir.VectorType(scalar, n).as_pointer())
    return builder.load(vector, align=8 if scalar == ir.DoubleType() else 4)


@_intrinsic
def eight_sums(typingctx, a, b, start, stop):  # type: ignore[no-untyped-def]
    """Sum the squared differences of a[start:stop] and b[start:stop], a multiple of 8, in float64 as numpy does."""
    _check(a, b)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide = ir.VectorType(ir.DoubleType(), 8)
        pointers = [
            (_data(context, builder, kind, value), context.get_data_type(kind.dtype))
            for kind, value in zip(signature.args[:2], arguments[:2], strict=True)
        ]

        def squares(k: Any) -> Any:
            values = []
            for pointer, scalar in pointers:
                loaded = _load(builder, builder.gep(pointer, [k]), scalar, 8)
                values.append(loaded if scalar == ir.DoubleType() else builder.fpext(loaded, wide))
            difference = builder.fsub(*values)
            return builder.fmul(difference, difference)

        sums = cgutils.alloca_once_value(builder, squares(arguments[2]))
        step = ir.Constant(arguments[2].type, 8)
        with cgutils.for_range_slice(
            builder, builder.add(arguments[2], step), arguments[3], step, inc=True
        ) as (k, _):
            builder.store(builder.fadd(builder.load(sums), squares(k)), sums)
        total = builder.load(sums)
        parts = [builder.extract_element(total, ir.Constant(ir.IntType(32), i)) for i in range(8)]
        while len(parts) > 1:
            parts = [builder.fadd(parts[i], parts[i + 1]) for i in range(0, len(parts), 2)]
        return parts[0]

    return types.float64(a, b, types.intp, types.intp), generate


@_intrinsic
def lane_sum(typingctx, a, i, b, j, start, stop):  # type: ignore[no-untyped-def]
    """Sum the squared differences of a[i, start:stop] and b[j, start:stop], float32, LANES at a time, for bounds."""
    _check(a, b)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        scalar, vector = ir.FloatType(), ir.VectorType(ir.FloatType(), LANES)
        rows = []
        for at in (0, 2):
            array = context.make_array(signature.args[at])(context, builder, arguments[at])
            width = cgutils.unpack_tuple(builder, array.shape)[1]
            rows.append(builder.gep(array.data, [builder.mul(arguments[at + 1], width)]))
        sums = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
        step = ir.Constant(arguments[4].type, LANES)
        with cgutils.for_range_slice(builder, arguments[4], arguments[5], step, inc=True) as (k, _):
            difference = builder.fsub(*(_load(builder, builder.gep(row, [k]), scalar, LANES) for row in rows))
            square = builder.fmul(difference, difference, flags=("contract",))
            builder.store(builder.fadd(builder.load(sums), square, flags=("contract",)), sums)
        total, n = builder.load(sums), LANES
        while n > 1:
            n //= 2
            halves = [
                builder.shuffle_vector(
                    total, total, ir.Constant(ir.VectorType(ir.IntType(32), n), list(range(at, at + n)))
                )
                for at in (0, n)
            ]
            total = builder.fadd(*halves)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(a, types.intp, b, types.intp, types.intp, types.intp), generate


@_intrinsic
def lane_distances(typingctx, points, j, lanes, out):  # type: ignore[no-untyped-def]
    """Fill out (LANES,) with the squared distances of points[j] to the columns of lanes (D, LANES), all float32.

    D must be even.
    """
    _check(points, lanes, out)

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        scalar = ir.FloatType()
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        width = cgutils.unpack_tuple(builder, array.shape)[1]
        point = builder.gep(array.data, [builder.mul(arguments[1], width)])
        columns = _data(context, builder, signature.args[2], arguments[2])
        target = _data(context, builder, signature.args[3], arguments[3])
        vector = ir.VectorType(scalar, LANES)
        # Two sums, taken in turn, so that no addition waits for the one before.
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in range(2)]
        zero = ir.Constant(width.type, 0)
        flags = ("contract",)
        with cgutils.for_range_slice(builder, zero, width, ir.Constant(width.type, 2), inc=True) as (k, _):
            for i, total in enumerate(sums):
                at = builder.add(k, ir.Constant(width.type, i))
                value = builder.load(builder.gep(point, [at]))
                first = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
                )
                spread = builder.shuffle_vector(
                    first,
                    ir.Constant(vector, ir.Undefined),
                    ir.Constant(ir.VectorType(ir.IntType(32), LANES), None),
                )
                column = builder.gep(columns, [builder.mul(at, ir.Constant(width.type, LANES))])
                difference = builder.fsub(spread, _load(builder, column, scalar, LANES))
                square = builder.fmul(difference, difference, flags=flags)
                builder.store(builder.fadd(builder.load(total), square, flags=flags), total)
        both = builder.fadd(builder.load(sums[0]), builder.load(sums[1]))
        builder.store(both, builder.bitcast(target, vector.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(points, types.intp, lanes, out), generate
