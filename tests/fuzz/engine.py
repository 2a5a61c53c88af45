"""One process that fuzzes one target: chooses inputs, runs them, and writes down what must not have happened.

Two engines. ``own`` draws from a seeded generator, mutates seeds and whatever ended at a place in evfr's code where
nothing ended before. ``atheris`` does the same with libFuzzer's coverage of evfr's Python code as its guide; it gets
our mutators. Before each run the input lies in the file `CURRENT`, so that the process may die of it.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuzz.targets import Kind

__all__ = ["CURRENT", "FINDINGS", "TALLY", "Hunt", "kept_name", "work"]

CURRENT = "current"
FINDINGS = "findings.jsonl"
TALLY = "tally.json"
_CORPUS_MOST = 200


@dataclass(slots=True)
class Hunt:
    """Run inputs of one target, and remember what came of them.

    Attributes
    ----------
    kinds : sequence of Kind
        The target's kinds.
    folder : Path
        Where `CURRENT`, `FINDINGS`, and the files that are read lie.
    runs, accepted : int
        How many inputs ran, and how many were read without an error.
    places : set of str
        Where errors came from: file and line in evfr.
    bad : set of str
        Kinds of what must not happen, each written down once.
    """

    kinds: Sequence[Kind]
    folder: Path
    runs: int = 0
    accepted: int = 0
    places: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    told: float = 0.0

    def run(self, number: int, data: bytes) -> bool:
        """Run one input of a kind; return whether it ended where none ended before."""
        from fuzz.targets import ALLOWED, place

        kind = self.kinds[number]
        (self.folder / CURRENT).write_bytes(bytes([number]) + data)
        self.runs += 1
        try:
            kind.run(place(kind, self.folder / "files", data))
        except (*ALLOWED, *kind.also) as error:
            return self._is_new(number, error)
        except Exception as error:  # noqa: BLE001  (this is what is looked for)
            name = f"{kind.name} {_place_of(error)}"
            if name not in self.bad:
                self.bad.add(name)
                text = "".join(traceback.format_exception(error)[-12:])
                self.write_finding(number, data, type(error).__name__, text)
            return True
        self.accepted += 1
        return self._is_new(number, None)

    def write_finding(self, number: int, data: bytes, what: str, text: str) -> None:
        """Add a line to `FINDINGS`."""
        note = {"kind": number, "what": what, "text": text[-4000:], "data": data.hex()}
        with (self.folder / FINDINGS).open("a") as file:
            file.write(json.dumps(note) + "\n")

    def tally(self, *, always: bool = False) -> None:
        """Write how far it came, once a second."""
        now = time.monotonic()
        if now < self.told + 1 and not always:
            return
        self.told = now
        note = {"runs": self.runs, "accepted": self.accepted, "places": len(self.places)}
        (self.folder / TALLY).write_text(json.dumps(note))

    def _is_new(self, number: int, error: Exception | None) -> bool:
        place = f"{number} {'ok' if error is None else _place_of(error)}"
        is_new = place not in self.places
        self.places.add(place)
        return is_new


def _place_of(error: BaseException) -> str:
    """Name the error's type, and the last line of evfr that it passed, through all that it was raised from."""
    names = [type(error).__name__]
    one: BaseException | None = error
    while one is not None:
        lines = [f for f in traceback.extract_tb(one.__traceback__) if "/evfr/" in f.filename] or ["?"]
        last: Any = lines[-1]
        names.append(last if last == "?" else f"{Path(last.filename).name}:{last.lineno}")
        one = one.__cause__
    return " ".join(names)


def kept_name(kind: Kind, data: bytes, what: str) -> str:
    """Return the name of a kept file: kind, what it is, a hash of its bytes, the ending it is read with."""
    suffix = kind.file_name.rpartition(".")[2]
    slug = re.sub(r"[^A-Za-z0-9]+", "-", what).strip("-")
    return f"{kind.name}.{slug}-{hashlib.sha256(data).hexdigest()[:8]}.{suffix}"


def seeds_of(hunt: Hunt) -> Iterator[tuple[int, bytes]]:
    """Yield a sound file of each kind, and hold that it is read."""
    for number, kind in enumerate(hunt.kinds):
        scratch = hunt.folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        yield number, kind.seed(scratch)


def hunt_alone(hunt: Hunt, seed: int, seconds: float, runs: int) -> None:
    """Mutate seeds and what was new, from a seeded generator; the same seed tries the same inputs in the same order."""
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    corpus: dict[int, list[bytes]] = {}
    for number, data in seeds_of(hunt):
        corpus[number] = [data]
        hunt.run(number, data)
    while time.monotonic() < end and hunt.runs < runs:
        for number, known in corpus.items():
            # The first half of the draws starts from the sound file: most of what is kept is damaged beyond the rest.
            data = known[0] if rng.random() < 0.5 else rng.choice(known)
            mutant = hunt.kinds[number].mutate(data, rng)
            if hunt.run(number, mutant) and len(known) < _CORPUS_MOST and len(mutant) < 1 << 16:
                known.append(mutant)
            if time.monotonic() >= end:
                break
        hunt.tally()
    hunt.tally(always=True)


def instrument() -> None:
    """Have atheris count the branches of every module of evfr that is imported from here on."""
    import atheris

    import evfr

    source = Path(str(evfr.__file__)).parent
    # Numba compiles the bytecode that it finds: modules with kernels stay as they are.
    compiled = [
        p
        for p in source.rglob("*.py")
        if re.search(r"^\s*(from|import) numba", p.read_text("utf-8"), re.MULTILINE)
    ]
    exclude = [".".join(("evfr", *p.relative_to(source).with_suffix("").parts)) for p in compiled]
    atheris.instrument_imports(include=["evfr"], exclude=exclude).__enter__()


def hunt_with_atheris(hunt: Hunt, seed: int, seconds: float, runs: int) -> None:
    """Let libFuzzer choose what to mutate, by coverage; does not return."""
    import atheris

    corpus = hunt.folder / "corpus"
    corpus.mkdir()
    for number, data in seeds_of(hunt):
        hunt.run(number, data)
        (corpus / f"{number:02d}").write_bytes(bytes([number]) + data)

    def one(data: bytes) -> None:
        if data:
            hunt.run(data[0] % len(hunt.kinds), data[1:])
            hunt.tally()

    def mutate(data: bytes, max_size: int, draw: int) -> bytes:
        rng = random.Random(draw)
        if not data or rng.random() < 0.2:
            return atheris.Mutate(data, max_size)
        number = data[0] % len(hunt.kinds)
        return (data[:1] + hunt.kinds[number].mutate(data[1:], rng))[:max_size]

    arguments = [sys.argv[0], str(corpus), f"-seed={seed + 1}", f"-max_total_time={max(1, int(seconds))}"]
    arguments += [
        "-max_len=65536",
        "-len_control=0",
        "-rss_limit_mb=0",
        "-timeout=1000000",
        "-detect_leaks=0",
    ]
    arguments += [f"-artifact_prefix={hunt.folder}/", *([f"-runs={runs}"] if runs < 1 << 30 else [])]
    # A process that dies of a signal is seen from outside.
    arguments += [f"-handle_{name}=0" for name in ("segv", "bus", "abrt", "ill", "fpe")]
    atheris.Setup(arguments, one, custom_mutator=mutate)
    atheris.Fuzz()


def work(target: str, folder: Path, seed: int, seconds: float, runs: int, engine: str) -> None:
    """Fuzz one target in this process."""
    if engine == "atheris":
        instrument()
    from fuzz.targets import TARGETS

    hunt = Hunt(TARGETS[target], folder)
    (hunt_with_atheris if engine == "atheris" else hunt_alone)(hunt, seed, seconds, runs)
