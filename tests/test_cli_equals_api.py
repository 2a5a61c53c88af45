"""The command line and Python are one function: same names, same defaults, every option explained."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from evfr import cli
from evfr._cli.options import default_text, is_repeated, read_values
from evfr._cli.printers import PRINTERS
from evfr._core.signature import ParameterSpec, convert, read_signature


def verb_specs() -> Iterator[Any]:
    """Yield every parameter of every verb, and every own option of every method."""
    for command, address in cli.COMMANDS.items():
        family = cli.METHODS.get(command)
        skip = [family.options] if family else []
        for spec in read_signature(cli.load(address), skip=skip).parameters:
            yield pytest.param(command, None, spec, id=f"{command}-{spec.name}")
        if family:
            for method in cli.load(family.methods):
                for spec in cli.read_method_options(family, method):
                    yield pytest.param(command, method, spec, id=f"{command}-{method}-{spec.name}")


SPECS = list(verb_specs())


def owner(command: str, method: str | None) -> Any:
    """Return the function whose signature is the truth."""
    if method is None:
        return cli.load(cli.COMMANDS[command])
    return cli.load(cli.METHODS[command].methods)[method]


@pytest.mark.parametrize(("command", "method", "spec"), SPECS)
def test_default_equals_the_signature(command: str, method: str | None, spec: ParameterSpec) -> None:
    parameter = inspect.signature(owner(command, method)).parameters[spec.name]
    if parameter.default is parameter.empty:
        assert spec.is_required
        return
    given: dict[str, Any] = {spec.name: None}
    assert read_values(None, [spec], given) == {spec.name: parameter.default}  # type: ignore[arg-type]


@pytest.mark.parametrize(("command", "method", "spec"), SPECS)
def test_default_that_help_shows_means_the_default(
    command: str, method: str | None, spec: ParameterSpec
) -> None:
    if spec.is_required or spec.is_flag or spec.default in (None, (), ""):
        return
    words = [default_text(spec)]
    value = convert(spec, words)
    expected = (
        tuple(spec.default) if is_repeated(spec) and not isinstance(spec.default, Mapping) else spec.default
    )
    assert value == expected
    assert type(value) is type(expected) or isinstance(expected, float | str)


@pytest.mark.parametrize(("command", "method", "spec"), SPECS)
def test_every_option_is_explained(command: str, method: str | None, spec: ParameterSpec) -> None:
    assert len(spec.help) > 10, f"{command}: document {spec.name} in the docstring's Parameters"
    assert spec.help.endswith("."), spec.help


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_keyword_is_on_the_command_line(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as exit_:
        cli.main([command, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    family = cli.METHODS.get(command)
    for name, parameter in inspect.signature(cli.load(cli.COMMANDS[command])).parameters.items():
        if family and name == family.options:
            continue
        wanted = (
            f"--{name.strip('_').replace('_', '-')}"
            if parameter.kind is parameter.KEYWORD_ONLY
            else name.upper()
        )
        assert wanted in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", cli.METHODS)
def test_options_of_methods_do_not_collide_with_the_verb(command: str) -> None:
    family = cli.METHODS[command]
    verb = set(inspect.signature(cli.load(cli.COMMANDS[command])).parameters)
    for method in cli.load(family.methods):
        own = {spec.name for spec in cli.read_method_options(family, method)}
        assert not own & verb, f"rename the option of {method}: {own & verb}"


@pytest.mark.parametrize("command", cli.METHODS)
def test_a_method_is_chosen_by_a_key_of_its_dict(command: str) -> None:
    family = cli.METHODS[command]
    signature = cli.offer_methods(family, read_signature(cli.load(cli.COMMANDS[command])))
    (spec,) = (spec for spec in signature.parameters if spec.name == family.parameter)
    assert spec.choices == tuple(cli.load(family.methods))
    assert spec.is_argument is spec.is_required is family.is_argument
    assert family.is_argument or spec.default in spec.choices
    plain = next(
        s for s in read_signature(cli.load(cli.COMMANDS[command])).parameters if s.name == family.parameter
    )
    assert plain.choices == (), "a Literal of methods would be a second list to keep; annotate str"


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_command_is_named_as_its_function_and_module(command: str) -> None:
    module, _, function = cli.COMMANDS[command].partition(":")
    name = f"{command}_" if keyword.iskeyword(command) else command  # `import` is no name in Python
    assert function == name
    assert module in (f"evfr.verbs.{name}", f"evfr.experiments.{name}")
    assert command in PRINTERS
    assert cli.load(cli.COMMANDS[command]).__doc__


def test_every_printer_has_its_command() -> None:
    assert set(PRINTERS) == set(cli.COMMANDS)
