"""The command line: one dict from command to verb; parse, call, print.

Arguments, options, defaults and help all come from the verb's signature and its docstring. A command that
chooses a method from a family's dict offers, besides its own options, those of the chosen method only.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

import evfr
from evfr._cli.commands import COMMANDS, METHODS, MethodFamily
from evfr._cli.options import GroupedCommand, common_parameters, read_values, typer_parameter
from evfr._cli.terminal import TerminalProgress, tolerate_any_name, write_error
from evfr._core.progress import NullProgress, Progress, use_progress
from evfr._core.signature import CommandSignature, ParameterSpec, plain, read_docstring, read_signature
from evfr.errors import EvfrError

__all__ = ["COMMANDS", "METHODS", "main"]

EXIT_ERROR, EXIT_USAGE, EXIT_BAD_INPUTS, EXIT_INTERRUPTED = 1, 2, 3, 130
HELP = """Choose the frames of video that are worth labelling, and say why.

The main job: evfr select VIDEO --ratio 0.1 --out DIR
"""
EPILOG = (
    "Exit codes: 0 done; 1 error; 2 wrong usage; 3 finished, but some inputs were bad and are listed. "
    "`evfr COMMAND -h` shows a command's options."
)
_CONTEXT = {"help_option_names": ["-h", "--help"]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process.

    Parameters
    ----------
    arguments : sequence of str or None
        The words after ``evfr``; None takes them from the process.

    Raises
    ------
    SystemExit
        Always: 0 ok, 1 error, 2 usage, 3 finished with bad inputs listed, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    tolerate_any_name()
    if "--debug" not in words[: words.index("--") if "--" in words else None]:
        sys.excepthook = _report_crash
    try:
        application = build_application(words)
    except UsageProblem as problem:
        write_error("error", problem)
        raise SystemExit(EXIT_USAGE) from problem
    typer.main.get_command(application).main(args=words, prog_name="evfr")


class UsageProblem(Exception):
    """The words given do not fit the command; the text says which and what to do."""


def _report_crash(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Show a defect of our own as one line as well; ``--debug`` shows the trace."""
    if issubclass(kind, KeyboardInterrupt):
        write_error("interrupted", "nothing was running yet")
        return
    write_error(
        "error", f"internal error ({kind.__name__}: {error}); run it again with --debug for the trace"
    )


def build_application(words: Sequence[str]) -> typer.Typer:
    """Build the typer application for one command line.

    Parameters
    ----------
    words : sequence of str
        The command line, read ahead only to know the command and its method.

    Returns
    -------
    typer.Typer
        With every command of `COMMANDS`; options are those of the one that the words name.

    Raises
    ------
    UsageProblem
        If the method is unknown or an option belongs to another method.
    """
    application = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings=_CONTEXT, pretty_exceptions_enable=False
    )
    application.callback(invoke_without_command=True, help=HELP, epilog=EPILOG)(_root)
    invoked = next((word for word in words if not word.startswith("-")), None)
    for command, address in COMMANDS.items():
        if command != invoked:  # of the others at most one line is shown, so nothing else of them is read
            summary = "" if invoked in COMMANDS else plain(read_docstring(load(address))[0])
            application.command(command, help=summary, short_help=summary)(_root_only)
            continue
        verb = load(address)
        family = METHODS.get(command)
        signature = read_signature(verb, skip=[family.options] if family else [])
        method_specs: tuple[ParameterSpec, ...] = ()
        if family:
            method_specs = _read_method(family, signature, words)
            signature = offer_methods(family, signature)
        application.command(
            command,
            cls=GroupedCommand,
            help=f"{signature.summary}\n\n{signature.description}".strip(),
            short_help=signature.summary,
            context_settings=_CONTEXT,
        )(_make_callback(command, verb, signature, family, method_specs))
    return application


def _root_only() -> None:
    """Stand for a command that this command line does not run."""


def load(address: str) -> Any:
    """Return what ``module:name`` stands for."""
    module, _, name = address.partition(":")
    return getattr(importlib.import_module(module), name)


def _print_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"evfr {evfr.__version__}\n")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    ctx.obj = debug
    if ctx.invoked_subcommand is None:
        sys.stdout.write(ctx.get_help() + "\n")


def read_method_options(family: MethodFamily, method: str) -> tuple[ParameterSpec, ...]:
    """Return the own keyword-only options of one method, for the command line.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.
    method : str
        A key of the family's dict.

    Returns
    -------
    tuple of ParameterSpec
        Without what the verb supplies.
    """
    specs = read_signature(load(family.methods)[method], skip=family.supplied).parameters
    title = f"Options of {family.words(method)}"
    return tuple(replace(spec, section=title) for spec in specs if not spec.is_argument)


def offer_methods(family: MethodFamily, signature: CommandSignature) -> CommandSignature:
    """Offer the keys of the family's dict as the words of the parameter that names a method.

    Parameters
    ----------
    family : MethodFamily
        Where the methods are.
    signature : CommandSignature
        Of the verb.

    Returns
    -------
    CommandSignature
        With the choices.
    """
    choices = tuple(load(family.methods))
    return replace(
        signature,
        parameters=tuple(
            replace(spec, choices=choices, types=()) if spec.name == family.parameter else spec
            for spec in signature.parameters
        ),
    )


def _read_method(
    family: MethodFamily, signature: CommandSignature, words: Sequence[str]
) -> tuple[ParameterSpec, ...]:
    """Find the method that a command line names, and refuse options of the others."""
    methods = load(family.methods)
    ahead = list(words[: words.index("--")] if "--" in words else words)
    if family.is_argument:
        chosen = next((word for word in ahead[1:] if word in methods), None)
        if chosen is None:
            return ()  # typer says what is missing, or shows the help
    else:
        chosen = _chosen_by_option(family, signature, ahead)
        if chosen not in methods:
            raise UsageProblem(
                f"--{family.parameter} {chosen!r} is unknown; give one of {', '.join(methods)}"
            )
    own = read_method_options(family, chosen)
    known = {spec.option for spec in (*own, *signature.parameters)}
    owners: dict[str, list[str]] = {}
    for method in methods:
        for spec in read_method_options(family, method):
            owners.setdefault(spec.option, []).append(method)
    for word in ahead:
        option = word.partition("=")[0]
        if option in owners and option not in known:
            raise UsageProblem(
                f"{option} is an option of {family.words(' and '.join(owners[option]))}, not of "
                f"{family.words(chosen)}; add {family.words(owners[option][0])} or leave it out"
            )
    return own


def _chosen_by_option(family: MethodFamily, signature: CommandSignature, words: Sequence[str]) -> Any:
    """Return the method that the option names, or its default."""
    flag = f"--{family.parameter}"
    chosen = next(spec for spec in signature.parameters if spec.name == family.parameter).default
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == flag:
            chosen = following
        elif word.startswith(f"{flag}="):
            chosen = word.partition("=")[2]
    return chosen


def _make_callback(
    command: str,
    verb: Callable[..., object],
    signature: CommandSignature,
    family: MethodFamily | None,
    method_specs: Sequence[ParameterSpec],
) -> Callable[..., None]:
    """Return a function whose signature typer reads, and that calls the verb."""

    def run(ctx: typer.Context, **given: Any) -> None:
        debug = bool(given.pop("evfr_debug") or ctx.find_root().obj)
        quiet, as_json = given.pop("evfr_quiet"), given.pop("evfr_json")
        keywords = read_values(ctx, signature.parameters, given)
        positional = [keywords.pop(spec.name) for spec in signature.parameters if spec.is_argument]
        if family is not None:
            options = read_values(ctx, method_specs, given)
            defaults = {spec.name: spec.default for spec in method_specs}
            keywords[family.options] = {k: v for k, v in options.items() if v != defaults[k]}
        _run_verb(command, lambda: verb(*positional, **keywords), as_json=as_json, quiet=quiet, debug=debug)

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += [typer_parameter(spec) for spec in (*signature.parameters, *method_specs)]
    parameters += common_parameters()
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__ = command
    return run


def _run_verb(command: str, call: Callable[[], object], *, as_json: bool, quiet: bool, debug: bool) -> None:
    progress: Progress = NullProgress() if quiet else TerminalProgress()
    try:
        with use_progress(progress):
            result = call()
        code = print_result(command, result, as_json=as_json, quiet=quiet)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt as interrupt:
        write_error("interrupted", "finished work is kept; the same command goes on from there")
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    except (EvfrError, OSError, ValueError) as error:
        if debug:
            traceback.print_exc()
        write_error("error", error)
        is_usage = isinstance(error, ValueError) and not isinstance(error, EvfrError)
        raise typer.Exit(EXIT_USAGE if is_usage else EXIT_ERROR) from error
    raise typer.Exit(code)


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
        sys.stdout.write(json.dumps(_json_ready(result.to_dict()), indent=2, allow_nan=False) + "\n")
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


def _json_ready(value: Any) -> Any:
    """Replace what JSON has no word for: NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
