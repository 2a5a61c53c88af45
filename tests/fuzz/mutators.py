"""Damage bytes with knowledge of what they are: JSON trees, text, tables, archives, pictures, containers.

A mutator is ``mutate(data, rng) -> bytes``; the same bytes and the same generator give the same result. What it cannot
parse any more it damages as plain bytes, so mutants of mutants go on.
"""

from __future__ import annotations

import copy
import io
import json
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = [
    "mutate_boxes",
    "mutate_bytes",
    "mutate_json",
    "mutate_page",
    "mutate_parquet",
    "mutate_png",
    "mutate_tensors",
    "mutate_text",
    "mutate_zip",
]

VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        7,
        255,
        256,
        65_536,
        2**31 - 1,
        2**31,
        2**53,
        2**63 - 1,
        2**63,
        -(2**63),
        10**30,
    ),
    *(0.5, -0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "x",
        "1",
        "-1",
        "nan",
        "../a",
        "/etc/passwd",
        "a\x00b",
        "\ud800",
        "a" * 300,
        "clip",
        "{frame}",
        "%s",
        "1e999",
    ),
    *(
        [],
        {},
        [1],
        [[1, 2]],
        {"a": 1},
        [None],
        [[]],
        [0, 0, 0, 0],
        [1, 2, 3, 4],
        {"counts": "0", "size": [1, 1]},
    ),
]
WORDS = [
    *(
        b"",
        b"0",
        b"-0",
        b"-1",
        b"1",
        b"2.5",
        b"nan",
        b"inf",
        b"1e308",
        b"1e999",
        b"x",
        b"9" * 20,
        b"9" * 400,
        b"0x10",
    ),
    *(
        b"../a",
        b"/a",
        b"a,b;c",
        b"\xff",
        b"\n",
        b"\r",
        b"\x00",
        b" ",
        b"true",
        b"null",
        b"\xef\xbb\xbf",
        b"&amp;",
        b"<a>",
    ),
    *("٣".encode(), "１".encode(), b"1_0", b"+1", b"%d"),
]
NUMBERS = [0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 32_767, 32_768, 65_535, 2**31 - 1, 2**31, 2**32 - 1]


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, insert, delete, repeat or cut."""
    found = bytearray(data)
    for _ in range(1 + rng.randrange(4)):
        place = rng.randrange(len(found) + 1)
        length = min(1 << rng.randrange(10), max(1, len(found) - place))
        match rng.randrange(8):
            case 0 if found:
                found[place % len(found)] ^= 1 << rng.randrange(8)
            case 1 if found:
                found[place % len(found)] = rng.randrange(256)
            case 2:
                found[place:place] = rng.randbytes(1 + rng.randrange(8))
            case 3:
                del found[place : place + length]
            case 4:
                found[place:place] = found[place : place + length]
            case 5:
                number = rng.choice(NUMBERS)
                form = rng.choice(("<B", "<H", ">H", "<I", ">I"))
                number &= (1 << 8 * struct.calcsize(form)) - 1
                found[place : place + struct.calcsize(form)] = struct.pack(form, number)
            case 6:
                start = rng.randrange(len(found) + 1)
                found[place : place + length] = found[start : start + length]
            case _ if rng.random() < 0.3:
                del found[place:]
    return bytes(found)


def mutate_json(data: bytes, rng: random.Random) -> bytes:
    """Edit values, keys and shape of the tree; rarely the text."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_text(data, rng)
    if rng.random() < 0.05:
        return mutate_text(data, rng)
    try:
        for _ in range(1 + rng.randrange(3)):
            tree = _edit_tree(tree, rng)
        text = json.dumps(tree)
    except RecursionError:
        return mutate_text(data, rng)
    if rng.random() < 0.02:
        depth = rng.choice((50, 2000, 200_000))
        text = text.replace("0", "[" * depth + "]" * depth, 1)
    if rng.random() < 0.02:
        text = re.sub(r"\d+", "9" * rng.choice((19, 400, 5000, 100_000)), text, count=1)
    return text.encode("utf-8", "surrogatepass")


def _edit_tree(tree: Any, rng: random.Random) -> Any:
    places: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(places) < 5000:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in keys:
            places.append((node, key))
            waiting.append(node[key])
    if not places:
        return copy.deepcopy(rng.choice(VALUES))
    node, key = rng.choice(places)
    match rng.randrange(9):
        case 0:
            del node[key]
        case 1:
            other, name = rng.choice(places)
            node[key] = json.loads(
                json.dumps(other.get(name) if isinstance(other, dict) else _at(other, name))
            )
        case 2 if isinstance(node, list):
            node.insert(key, copy.deepcopy(node[key]))
        case 2 if isinstance(node, dict):
            node[rng.choice(("", "a", str(key) + "s", str(key).upper(), "id"))] = node.pop(key)
        case 3 if isinstance(node[key], (int, float)) and not isinstance(node[key], bool):
            try:
                node[key] = rng.choice(
                    (-node[key], node[key] + 1, node[key] - 1, node[key] * 1000, float(node[key]))
                )
            except OverflowError:
                node[key] = 0
        case 3 if isinstance(node[key], str):
            node[key] = mutate_bytes(node[key].encode("utf-8", "surrogatepass"), rng).decode("latin-1")
        case 4:
            node[key] = [node[key]]
        case 5:
            node[key] = {"a": node[key]}
        case _:
            node[key] = copy.deepcopy(rng.choice(VALUES))
    return tree


def _at(values: list[Any], place: int) -> Any:
    return values[place] if place < len(values) else None


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """Replace, repeat, swap or delete words, quoted values and lines."""
    if rng.random() < 0.1:
        return mutate_bytes(data, rng)
    for _ in range(1 + rng.randrange(3)):
        if rng.random() < 0.25:
            lines = data.splitlines(keepends=True) or [b""]
            place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            match rng.randrange(3):
                case 0:
                    del lines[place]
                case 1:
                    lines.insert(other, lines[place])
                case _:
                    lines[place], lines[other] = lines[other], lines[place]
            data = b"".join(lines)
            continue
        found = [match.span() for match in re.finditer(rb'(?<=")[^"<>]*(?=")|[-+.\w]+', data)]
        start, end = rng.choice(found) if found else (0, 0)
        if found and rng.random() < 0.3:
            first, last = rng.choice(found)
            data = data[:start] + data[first:last] + data[end:]
        else:
            data = data[:start] + rng.choice(WORDS) + data[end:]
    return data


def mutate_parquet(data: bytes, rng: random.Random) -> bytes:
    """Write the table again with other values, types, columns or metadata; or damage the file's bytes."""
    if rng.random() < 0.4:
        # Most of what a reader trusts stands in the footer.
        cut = max(0, len(data) - 600) if rng.random() < 0.5 else 0
        return data[:cut] + mutate_bytes(data[cut:], rng)
    try:
        table = pq.read_table(pa.BufferReader(data))
        for _ in range(1 + rng.randrange(2)):
            table = _edit_table(table, rng)
        sink = io.BytesIO()
        pq.write_table(table, sink, use_dictionary=rng.random() < 0.5)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError, KeyError):
        return mutate_bytes(data, rng)
    return sink.getvalue()


def _edit_table(table: pa.Table, rng: random.Random) -> pa.Table:
    kind = rng.randrange(7)
    if kind == 0 or not table.num_columns:
        meta = dict(table.schema.metadata or {b"a": b"1"})
        key = rng.choice(sorted(meta))
        if rng.random() < 0.2:
            del meta[key]
        else:
            meta[key] = mutate_json(meta[key], rng)
        return table.replace_schema_metadata(meta)
    place = rng.randrange(table.num_columns)
    name, column = table.column_names[place], table.column(place)
    if kind == 1:
        return table.remove_column(place)
    if kind == 2:
        names = table.column_names
        names[place] = rng.choice((*names, "x", ""))
        return table.rename_columns(names)
    if kind == 3:
        types = (
            pa.int8(),
            pa.int64(),
            pa.uint64(),
            pa.float32(),
            pa.string(),
            pa.binary(),
            pa.list_(pa.int64()),
            pa.null(),
        )
        wanted = rng.choice(types)
        try:
            column = column.cast(wanted)
        except pa.ArrowException:
            column = pa.nulls(len(column), wanted)
        return table.set_column(place, name, column)
    if kind == 4 and table.num_rows:
        first = rng.randrange(table.num_rows)
        rows = [*range(table.num_rows), *([first] * rng.randrange(3))]
        rng.shuffle(rows)
        return table.take(rows[: rng.randrange(len(rows) + 1)])
    values = column.to_pylist()
    if values:
        row = rng.randrange(len(values))
        values[row] = rng.choice((None, _value_of(column.type, rng), values[rng.randrange(len(values))]))
    field = table.schema.field(place)
    array = pa.array(values, column.type)
    return table.set_column(place, field.with_nullable(True) if array.null_count else field, array)


def _value_of(type_: pa.DataType, rng: random.Random) -> Any:
    if pa.types.is_floating(type_):
        return rng.choice((float("nan"), float("inf"), -1.0, 0.0, 1e300, 0.5))
    if pa.types.is_integer(type_):
        return rng.choice((-1, 0, 1, 127, 2**31, 2**63 - 1, -(2**63)))
    if pa.types.is_boolean(type_):
        return rng.random() < 0.5
    if pa.types.is_string(type_):
        return rng.choice(("", "x", "../a", "a\x00", "{", "999999999", "0" * 40, "[1e999]"))
    if pa.types.is_binary(type_):
        return rng.choice((b"", b"\xff", b"0" * 40))
    return None


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
    """Damage one member by what it is, its name, or the list of members; or the archive's bytes."""
    if rng.random() < 0.25:
        return mutate_bytes(data, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        zlib.error,
        struct.error,
    ):
        return mutate_bytes(data, rng)
    if not members:
        return mutate_bytes(data, rng)
    place = rng.randrange(len(members))
    name, content = members[place]
    match rng.randrange(8):
        case 0:
            names = (
                "../a.png",
                "/a.png",
                "a\\b.png",
                "C:/a.png",
                name.upper(),
                name + "/",
                "." + name,
                "a" * 300,
                "\u202e",
            )
            members[place] = (
                rng.choice((*names, mutate_text(name.encode(), rng).decode("latin-1"))),
                content,
            )
        case 1:
            del members[place]
        case 2:
            members.append((name, content))
        case _:
            members[place] = (name, mutator_of(name)(content, rng))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, content in members:
            info = zipfile.ZipInfo(member.replace("\x00", "") or "a")
            _add(archive, info, content)
    return sink.getvalue()


def _add(archive: zipfile.ZipFile, info: zipfile.ZipInfo, content: bytes) -> None:
    import warnings

    with warnings.catch_warnings(action="ignore"):  # two members of one name are part of the plan
        archive.writestr(info, content)


def mutator_of(name: str) -> Callable[[bytes, random.Random], bytes]:
    """Return what damages a file of this name."""
    ending = name.rpartition(".")[2].lower()
    return _BY_ENDING.get(ending, mutate_bytes)


def mutate_png(data: bytes, rng: random.Random) -> bytes:
    """Change fields of the chunks, or their list, and mend the checksums; or damage the bytes."""
    if rng.random() < 0.2 or len(data) < 20:
        return mutate_bytes(data, rng)
    chunks, place = [], 8
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += length + 12
    if not chunks:
        return mutate_bytes(data, rng)
    number = rng.randrange(len(chunks))
    kind, body = chunks[number]
    match rng.randrange(5):
        case 0:
            del chunks[number]
        case 1:
            chunks.insert(rng.randrange(len(chunks)), (kind, body))
        case 2 if kind == b"IHDR" and len(body) == 13:
            width, height, *rest = struct.unpack(">IIBBBBB", body)
            field = rng.randrange(7)
            values = [width, height, *rest]
            values[field] = rng.choice(NUMBERS if field < 2 else [0, 1, 2, 3, 4, 6, 8, 16])
            chunks[number] = (kind, struct.pack(">IIBBBBB", *values))
        case 3 if kind == b"IDAT":
            try:
                body = zlib.compress(mutate_bytes(zlib.decompress(body), rng))
            except zlib.error:
                body = mutate_bytes(body, rng)
            chunks[number] = (kind, body)
        case _:
            chunks[number] = (kind, mutate_bytes(body, rng))
    return data[:8] + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


_PARENTS = {
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"edts",
    b"dinf",
    b"moof",
    b"traf",
    b"mvex",
    b"udta",
    b"tref",
}


def mutate_boxes(data: bytes, rng: random.Random) -> bytes:
    """Change fields of an MP4's boxes, or repeat, delete and move boxes; the sizes above them follow."""
    boxes: list[tuple[int, int, list[int]]] = []

    def walk(start: int, end: int, above: list[int]) -> None:
        while start + 8 <= end and len(boxes) < 500:
            size = int.from_bytes(data[start : start + 4], "big")
            if size < 8 or start + size > end:
                return
            boxes.append((start, size, above))
            if data[start + 4 : start + 8] in _PARENTS:
                walk(start + 8, start + size, [*above, start])
            start += size

    walk(0, len(data), [])
    inner = [box for box in boxes if box[2]]
    if not inner or rng.random() < 0.2:
        return mutate_bytes(data, rng)
    start, size, above = rng.choice(inner)
    found = bytearray(data)
    match rng.randrange(6):
        case 0:
            new = b""
        case 1:
            new = bytes(found[start : start + size]) * 2
        case 2:
            other, length, _ = rng.choice(inner)
            new = bytes(found[other : other + length])
        case _:
            box = bytearray(found[start : start + size])
            for _ in range(1 + rng.randrange(2)):
                place = 8 + 4 * rng.randrange(max(1, (size - 8) // 4))
                old = int.from_bytes(box[place : place + 4], "big")
                value = rng.choice((*NUMBERS, old + 1, old - 1, old * 2, old ^ (1 << rng.randrange(32))))
                box[place : place + 4] = (value & 0xFFFFFFFF).to_bytes(4, "big")
            new = bytes(box[:size])
    found[start : start + size] = new
    for parent in above:
        total = int.from_bytes(found[parent : parent + 4], "big") + len(new) - size
        found[parent : parent + 4] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(found)


_BLOCK = re.compile(rb'(<script type="application/json"[^>]*>)(.*?)(</script>)', re.DOTALL)


def mutate_page(data: bytes, rng: random.Random) -> bytes:
    """Damage one JSON block of a report page; rarely the page's text."""
    blocks = list(_BLOCK.finditer(data))
    if not blocks or rng.random() < 0.1:
        return mutate_text(data, rng)
    block = rng.choice(blocks)
    return data[: block.start(2)] + mutate_json(block[2], rng) + data[block.end(2) :]


def mutate_tensors(data: bytes, rng: random.Random) -> bytes:
    """Damage the JSON head of a safetensors file and its length; or the bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) or rng.random() < 0.2:
        return mutate_bytes(data, rng)
    head = mutate_json(data[8 : 8 + length], rng)
    claimed = rng.choice((len(head), len(head), len(head), length, 0, 2**26, 2**63, 2**64 - 1))
    return claimed.to_bytes(8, "little") + head + data[8 + length :]


_BY_ENDING: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "png": mutate_png,
    "json": mutate_json,
    "txt": mutate_text,
    "xml": mutate_text,
    "yaml": mutate_text,
    "csv": mutate_text,
    "parquet": mutate_parquet,
}
