"""Write what a command line gives back: its result, for people or as one JSON document, its errors, its settings."""

from __future__ import annotations

import json
import math
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from evfr._cli.terminal import write_error
from evfr._core.signature import ParameterSpec

__all__ = [
    "EXIT_BAD_INPUTS",
    "EXIT_ERROR",
    "EXIT_INTERRUPTED",
    "EXIT_USAGE",
    "describe_settings",
    "print_json",
    "print_result",
    "report_crash",
    "report_error",
]

EXIT_ERROR, EXIT_USAGE, EXIT_BAD_INPUTS, EXIT_INTERRUPTED = 1, 2, 3, 130


def report_error(kind: str, error: object, exit_code: int, *, as_json: bool, is_shown: bool = False) -> int:
    """Write one line to standard error and, for programs, the same as a JSON document to standard output.

    Parameters
    ----------
    kind : {"error", "usage", "internal", "interrupted"}
        Which kind of failure.
    error : object
        The exception, or the text.
    exit_code : int
        With which the process will end.
    as_json : bool
        Whether programs read standard output.
    is_shown : bool
        Whether standard error has it already.

    Returns
    -------
    int
        ``exit_code``.
    """
    if not is_shown:
        write_error(kind if kind == "interrupted" else "error", error)
    if as_json:
        problem = getattr(error, "problem", None)
        code = None if problem is None else str(problem.code)
        message = str(error)
        print_json({"error": {"kind": kind, "message": message, "code": code, "exit_code": exit_code}})
    return exit_code


def report_crash(
    kind: type[BaseException], error: BaseException, trace: Any, *, words: Sequence[str]
) -> None:
    """Show a defect of our own as one line as well; ``--debug`` shows the trace.

    Parameters
    ----------
    kind : type
        Of the exception.
    error : BaseException
        The exception.
    trace : traceback or None
        Where it was raised.
    words : sequence of str
        The command line up to ``--``, asked for ``--debug`` and ``--json``.
    """
    as_json = "--json" in words
    if issubclass(kind, KeyboardInterrupt):
        report_error("interrupted", "nothing was running yet", EXIT_INTERRUPTED, as_json=as_json)
        return
    text = f"internal error ({kind.__name__}: {error}); run it again with --debug for the trace"
    is_debug = "--debug" in words
    if is_debug:
        traceback.print_exception(kind, error, trace)
    report_error("internal", text, EXIT_ERROR, as_json=as_json, is_shown=is_debug)


def print_result(command: str, result: Any, *, as_json: bool, quiet: bool) -> int:
    """Print a verb's result and its problems; return the exit code.

    Parameters
    ----------
    command : str
        A key of `COMMANDS`.
    result : object
        What the verb returned, with ``to_dict()``; ``problems`` and ``failed_count`` where it has them.
    as_json : bool
        JSON instead of what people read.
    quiet : bool
        Leave warnings out.

    Returns
    -------
    int
        0, or 3 if some inputs were bad.
    """
    if as_json:
        print_json(result.to_dict())
    else:
        from evfr._cli.printers import PRINTERS

        PRINTERS[command](result)
    sys.stdout.flush()
    problems = getattr(result, "problems", ())
    for problem in problems:
        if problem.code.is_error or not quiet:
            write_error("bad input" if problem.code.is_error else "warning", problem)
    is_bad = getattr(result, "failed_count", 0) or any(problem.code.is_error for problem in problems)
    return EXIT_BAD_INPUTS if is_bad else 0


def print_json(value: Any) -> None:
    """Write one JSON document to standard output.

    Parameters
    ----------
    value : object
        Mappings, sequences and plain values; NaN and infinities become null.
    """
    sys.stdout.write(json.dumps(_json_ready(value), indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


def _json_ready(value: Any) -> Any:
    """Replace what JSON has no word for: NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def describe_settings(
    command: str,
    specs: Sequence[ParameterSpec],
    values: Mapping[str, Any],
    given: Mapping[str, Any],
    places: Mapping[str, str],
    *,
    as_json: bool,
) -> None:
    """Print every option of a command with its value and where that comes from.

    Parameters
    ----------
    command : str
        A key of `COMMANDS`.
    specs : sequence of ParameterSpec
        Parameters of the verb and of the chosen method.
    values : mapping
        What the verb would be given, by Python name.
    given : mapping
        What typer read; None or empty where an option was left out.
    places : mapping of str to str
        Python name to file, table and key, for what a file sets.
    as_json : bool
        JSON instead of a table.
    """
    rows = []
    for spec in specs:
        is_given = given[spec.name] is not None and given[spec.name] != []
        place = "command line" if is_given else places.get(spec.name, "default")
        name = spec.name.upper() if spec.is_argument else spec.option
        rows.append({"option": name, "value": _word(values[spec.name]), "from": place})
    if as_json:
        print_json({"command": command, "options": rows})
        return
    from evfr._cli.printers import print_table

    print_table(
        ("option", "value", "from"),
        [(str(row["option"]), _shown(row["value"]), str(row["from"])) for row in rows],
    )


def _word(value: Any) -> Any:
    """Return a value as JSON has it; a path is its text."""
    if isinstance(value, Mapping):
        return {str(key): _word(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_word(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_shown(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
