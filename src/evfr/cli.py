"""The command line: one dict from command to verb; parse, call, print.

Arguments, options, defaults and help all come from the verb's signature and its docstring. A command that
chooses a method from a family's dict offers, besides its own options, those of the chosen method only.
"""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any

import typer

import evfr
from evfr._cli.commands import COMMANDS, METHODS, MethodFamily
from evfr._cli.complete import COMPLETE_VARIABLE, hint, typed_words
from evfr._cli.methods import (
    chosen_word,
    load,
    method_options,
    offer_methods,
    read_method_options,
    refuse_options_of_others,
)
from evfr._cli.options import (
    GroupedCommand,
    GroupedCommands,
    common_parameters,
    read_values,
    typer_parameter,
)
from evfr._cli.output import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    describe_settings,
    print_result,
    report_crash,
    report_error,
)
from evfr._cli.settings import Settings, load_config, read_settings
from evfr._cli.source import read_summary
from evfr._cli.terminal import TerminalProgress, tolerate_any_name, write_error
from evfr._core.config_file import ConfigFile
from evfr._core.progress import NullProgress, Progress, use_progress
from evfr._core.signature import CommandSignature, ParameterSpec, plain, read_docstring, read_signature
from evfr.errors import EvfrError

__all__ = [
    "COMMANDS",
    "METHODS",
    "MethodFamily",
    "build_application",
    "load",
    "main",
    "offer_methods",
    "read_method_options",
]

HELP = """Choose the frames of video that are worth labelling, and say why.

The main job: evfr select VIDEO --ratio 0.1 --out DIR
"""
EPILOG = (
    "Exit codes: 0 done; 1 error; 2 wrong usage; 3 finished, but some inputs were bad and are listed; "
    "130 interrupted. `evfr COMMAND -h` shows a command's options."
)
_CONTEXT = {"help_option_names": ["-h", "--help"]}
_WrongWords: Any = typer.BadParameter.__base__
"""What typer raises for any words that do not fit; it exports only this one child of it."""
_OWN_CONFIG = {"doctor"}
"""Commands that look at the configuration file themselves, so that a bad one does not stop them."""


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
    if COMPLETE_VARIABLE in os.environ:
        _complete(words)
    ahead = _ahead(words)
    sys.excepthook = partial(report_crash, words=ahead)
    as_json = "--json" in ahead
    try:
        application = build_application(words)
        code = typer.main.get_command(application).main(args=words, prog_name="evfr", standalone_mode=False)
    except UsageProblem as problem:
        code = report_error("usage", problem, EXIT_USAGE, as_json=as_json)
    except _WrongWords as error:
        error.show()
        code = report_error("usage", error.format_message(), EXIT_USAGE, as_json=as_json, is_shown=True)
    raise SystemExit(code or 0)


class UsageProblem(Exception):
    """The words given do not fit the command; the text says which and what to do."""


def _ahead(words: Sequence[str]) -> list[str]:
    """Return the words up to ``--``, behind which nothing is an option."""
    return list(words[: words.index("--")] if "--" in words else words)


def _complete(words: Sequence[str]) -> None:
    """Let typer answer the shell that asks what may come next; typer ends the process."""
    from typer import completion

    # Without it typer takes help texts as they are; with it each answer would take 0.15 s longer.
    sys.modules["rich"] = None  # type: ignore[assignment]
    completion.completion_init()  # type: ignore[attr-defined]
    application = build_application(typed_words(), is_lenient=True)
    typer.main.get_command(application).main(
        args=list(words), prog_name="evfr", complete_var=COMPLETE_VARIABLE
    )


def build_application(words: Sequence[str], *, is_lenient: bool = False) -> typer.Typer:
    """Build the typer application for one command line.

    Parameters
    ----------
    words : sequence of str
        The command line, read ahead only to know the command, its method and the configuration file.
    is_lenient : bool
        Take what does not fit as not said: the line is being typed.

    Returns
    -------
    typer.Typer
        With every command of `COMMANDS`; options are those of the one that the words name.

    Raises
    ------
    UsageProblem
        If the method is unknown, an option belongs to another method, or the configuration file is wrong.
    """
    application = typer.Typer(
        cls=GroupedCommands,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=_CONTEXT,
        pretty_exceptions_enable=False,
    )
    application.callback(invoke_without_command=True, help=HELP, epilog=EPILOG)(_root)
    invoked = next((word for word in words if not word.startswith("-")), None)
    for command, address in COMMANDS.items():
        if command == invoked:
            _add_command(application, command, words, is_lenient=is_lenient)
            continue
        # Of the others at most one line is shown, so nothing else of them is read.
        summary = "" if invoked in COMMANDS else read_summary(address) or _import_summary(address)
        summary = hint(summary) if is_lenient else summary
        application.command(command, help=summary, short_help=summary)(_root_only)
    return application


def _import_summary(address: str) -> str:
    return plain(read_docstring(load(address))[0])


def _add_command(application: typer.Typer, command: str, words: Sequence[str], *, is_lenient: bool) -> None:
    """Add the command that the words name, with its own options and those of its method."""
    verb = load(COMMANDS[command])
    family = METHODS.get(command)
    signature = read_signature(verb, skip=[family.options] if family else [])
    try:
        call = _read_call(command, signature, family, _ahead(words))
    except ValueError as problem:
        if not is_lenient:
            raise UsageProblem(str(problem)) from problem
        offered = offer_methods(family, signature) if family else signature
        call = _Call(command, family, offered.parameters)
    application.command(
        command,
        cls=GroupedCommand,
        help=f"{signature.summary}\n\n{signature.description}".strip(),
        short_help=signature.summary,
        context_settings=_CONTEXT,
    )(_make_callback(verb, call, is_lenient=is_lenient))


@dataclass(frozen=True, slots=True)
class _Call:
    """Hold what is known of a command line before typer reads it.

    Attributes
    ----------
    command : str
        A key of `COMMANDS`.
    family : MethodFamily or None
        Whose method it takes.
    specs, own : tuple of ParameterSpec
        Parameters of the verb and of the chosen method, with the defaults that a file gives.
    defaults : mapping
        The method's own defaults by name: what equals them is not handed on.
    settings : Settings
        What the file gives.
    config : ConfigFile
        The file.
    """

    command: str
    family: MethodFamily | None
    specs: tuple[ParameterSpec, ...]
    own: tuple[ParameterSpec, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=lambda: Settings({}, {}))
    config: ConfigFile = field(default_factory=ConfigFile)

    @property
    def flags(self) -> dict[str, bool]:
        """The common options that the file sets."""
        return {name: setting.value for name, setting in self.settings.flags.items()}

    def announce(self) -> None:
        """Say on one line that a file which this command line does not name gives options."""
        settings = [*self.settings.flags.values(), *self.settings.options.values()]
        if settings:
            keys = ", ".join(setting.where.rpartition(": ")[2] for setting in settings)
            write_error("options", f"{self.config.path} gives {keys}")


def _read_call(
    command: str, signature: CommandSignature, family: MethodFamily | None, ahead: Sequence[str]
) -> _Call:
    """Find the method that a command line or its file names, refuse options of the others, and read the file."""
    config = ConfigFile() if command in _OWN_CONFIG else load_config(ahead, COMMANDS)
    if family is None:
        settings = read_settings(config, command, signature.parameters, {}, None)
        return _Call(command, None, settings.apply(signature.parameters), settings=settings, config=config)
    methods = method_options(family)
    chosen = chosen_word(family, methods, ahead)
    if not family.is_argument:
        place, of_file = f"--{family.parameter}", config.tables.get(command, {}).get(family.parameter)
        if chosen is None and of_file is not None:
            place, chosen = f"{config.path}: [{command}] {family.parameter}", of_file
        elif chosen is None:
            chosen = next(spec for spec in signature.parameters if spec.name == family.parameter).default
        if not isinstance(chosen, str) or chosen not in methods:
            raise ValueError(f"{place} {chosen!r} is unknown; give one of {', '.join(methods)}")
    if chosen is not None:
        refuse_options_of_others(family, signature, methods, chosen, ahead)
    signature = offer_methods(family, signature)
    settings = read_settings(config, command, signature.parameters, methods, chosen, family.words)
    own = methods.get(chosen or "", ())
    return _Call(
        command,
        family,
        settings.apply(signature.parameters),
        settings.apply(own),
        {spec.name: spec.default for spec in own},
        settings,
        config,
    )


def _root_only() -> None:
    """Stand for a command that this command line does not run."""


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"evfr {evfr.__version__}")
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
        typer.echo(ctx.get_help())


def _make_callback(verb: Callable[..., object], call: _Call, *, is_lenient: bool) -> Callable[..., None]:
    """Return a function whose signature typer reads, and that calls the verb."""
    specs = (*call.specs, *call.own)
    shown = [replace(spec, help=hint(spec.help)) for spec in specs] if is_lenient else specs

    def run(ctx: typer.Context, **given: Any) -> None:
        debug = bool(given.pop("evfr_debug") or ctx.find_root().obj)
        quiet, as_json = given.pop("evfr_quiet"), given.pop("evfr_json")
        named, is_shown = given.pop("evfr_config"), given.pop("evfr_show_config")
        values = read_values(ctx, call.specs, given)
        options = read_values(ctx, call.own, given)
        if named is None and not (quiet and "quiet" not in call.flags):
            call.announce()
        if is_shown:
            places = {name: setting.where for name, setting in call.settings.options.items()}
            describe_settings(call.command, specs, {**values, **options}, given, places, as_json=as_json)
            return
        positional = [values.pop(spec.name) for spec in call.specs if spec.is_argument]
        if call.family is not None:
            values[call.family.options] = {k: v for k, v in options.items() if v != call.defaults[k]}
        _run_verb(
            call.command, lambda: verb(*positional, **values), as_json=as_json, quiet=quiet, debug=debug
        )

    parameters = [inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    parameters += [typer_parameter(spec) for spec in shown]
    parameters += common_parameters(call.flags)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__ = call.command
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
        text = "finished work is kept; the same command goes on from there"
        raise typer.Exit(report_error("interrupted", text, EXIT_INTERRUPTED, as_json=as_json)) from interrupt
    except (EvfrError, OSError, ValueError) as error:
        if debug:
            traceback.print_exc()
        is_usage = isinstance(error, ValueError) and not isinstance(error, EvfrError)
        kind, code = ("usage", EXIT_USAGE) if is_usage else ("error", EXIT_ERROR)
        raise typer.Exit(report_error(kind, error, code, as_json=as_json)) from error
    raise typer.Exit(code)
