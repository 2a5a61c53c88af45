"""Turn the parameters of a verb into typer options and back into values.

Typer splits words and writes help; types are converted here, so that the words mean the same whatever typer's
version makes of an annotation.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from evfr._cli.commands import JOBS
from evfr._cli.complete import complete_choices
from evfr._cli.terminal import printable
from evfr._core.signature import ParameterSpec, convert

__all__ = [
    "GroupedCommand",
    "GroupedCommands",
    "common_parameters",
    "default_text",
    "is_repeated",
    "read_values",
    "typer_parameter",
]

COMMON = "Common options"


class GroupedCommands(TyperGroup):
    """List the commands by the job that they are for, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section per job; what is in none of them comes last."""
        jobs = {title: [name for name in names if name in self.commands] for title, names in JOBS.items()}
        known = {name for names in jobs.values() for name in names}
        jobs["Commands"] = [name for name in self.commands if name not in known]
        width = max(map(len, self.commands))
        for title, names in jobs.items():
            if names:
                with formatter.section(title):
                    # Equal first columns keep the sections in line with each other.
                    formatter.write_dl([(name.ljust(width), self._line(name)) for name in names])

    def _line(self, name: str) -> str:
        return self.commands[name].short_help or ""


class GroupedCommand(TyperCommand):
    """Show options in the groups that their ``rich_help_panel`` names, as plain text."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write a required argument as its bare name."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per group, in order of first appearance."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = getattr(parameter, "rich_help_panel", None)
                default = "Arguments" if parameter.param_type_name == "argument" else COMMON
                if parameter.param_type_name == "argument":
                    record = (parameter.metavar or record[0], record[1])
                groups.setdefault(title or default, []).append(record)
        if "Options" not in groups and "More options" in groups:
            groups = {
                "Options" if title == "More options" else title: records for title, records in groups.items()
            }
        for title, records in sorted(groups.items(), key=lambda item: item[0] == COMMON):
            with formatter.section(title):
                formatter.write_dl(records)


def typer_parameter(spec: ParameterSpec) -> inspect.Parameter:
    """Return what typer reads for one parameter: an argument or an option with its help and default."""
    help_text = spec.help
    if spec.has_many_choices:
        help_text += f" One of {', '.join(spec.choices)}."
    if spec.is_argument:
        information = typer.Argument(
            help=help_text,
            metavar=spec.name.upper(),
            show_default=False,
            autocompletion=complete_choices(spec),
        )
    else:
        name = (
            f"{spec.option}/--no-{spec.option[2:]}"
            if spec.is_flag and spec.default is not False
            else spec.option
        )
        panel = "More options" if spec.section == "Other Parameters" else spec.section
        panel = "Options" if panel == "Parameters" else panel
        metavar = None if spec.is_flag else spec.metavar
        if spec.default not in (None, "", ()) and not spec.is_flag:
            help_text += f" [default: {default_text(spec)}]"
        short = [f"-{spec.name}"] if len(spec.name) == 1 else []
        information = typer.Option(
            name,
            *short,
            help=help_text,
            metavar=metavar,
            rich_help_panel=panel,
            show_default=False,
            autocompletion=complete_choices(spec),
        )
    kind: Any = bool | None if spec.is_flag else list[str] | None if is_repeated(spec) else str | None
    default: Any = None
    if spec.is_required:
        kind, default = (list[str] if is_repeated(spec) else str), inspect.Parameter.empty
    return inspect.Parameter(
        spec.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, information]
    )


def is_repeated(spec: ParameterSpec) -> bool:
    """Whether the parameter may be given several times."""
    return spec.is_sequence or spec.is_mapping


def default_text(spec: ParameterSpec) -> str:
    """Write the signature's default as the words that would give it."""
    if isinstance(spec.default, Mapping):
        return ",".join(f"{name}={value}" for name, value in spec.default.items())
    if isinstance(spec.default, tuple | list):
        return ",".join(map(str, spec.default))
    return str(spec.default)


def common_parameters(defaults: Mapping[str, bool]) -> list[inspect.Parameter]:
    """Return the options that every command has: ``--json``, ``--quiet``, ``--debug``, ``--config``, ``--show-config``.

    Parameters
    ----------
    defaults : mapping of str to bool
        What a configuration file sets; such a flag can be taken back by its ``--no-``.
    """

    def flag(name: str, *short: str, text: str) -> inspect.Parameter:
        default = defaults.get(name, False)
        decls = [f"--{name}/--no-{name}" if default else f"--{name}", *short]
        information = typer.Option(*decls, help=text, rich_help_panel=COMMON, show_default=False)
        return inspect.Parameter(
            f"evfr_{name.replace('-', '_')}",
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[bool, information],
        )

    config = typer.Option(
        "--config",
        metavar="FILE",
        help="Take options that are not given from this TOML file; none takes none. Without it EVFR_CONFIG names "
        "the file, else evfr.toml in this folder is taken.",
        rich_help_panel=COMMON,
    )
    return [
        flag("json", text="Print the result as JSON, for programs."),
        flag("quiet", "-q", text="No progress, no warnings; errors are still shown."),
        flag("debug", text="Show the trace of an error."),
        inspect.Parameter(
            "evfr_config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, config],
        ),
        flag("show-config", text="Show each option, its value and where that comes from; run nothing."),
    ]


def read_values(
    ctx: typer.Context, specs: Iterable[ParameterSpec], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a value per parameter: what was given, converted, else the signature's own default."""
    values = {}
    for spec in specs:
        value = given[spec.name]
        if value is None or (is_repeated(spec) and not value and not spec.is_required):
            values[spec.name] = spec.default
        elif spec.is_flag:
            values[spec.name] = value
        else:
            try:
                values[spec.name] = convert(spec, value if is_repeated(spec) else [value])
            except ValueError as error:
                hint = spec.name.upper() if spec.is_argument else spec.option
                raise typer.BadParameter(printable(str(error)), ctx=ctx, param_hint=hint) from error
    return values
