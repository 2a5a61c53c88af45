"""The configuration file: the same keys, words and rules as the command line, and less from a file that lay there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evfr import cli
from evfr._cli.methods import method_options
from evfr._cli.settings import NEVER_FOUND, config_word, read_settings
from evfr._core.config_file import MOST_BYTES, ConfigFile, find_config, read_config
from evfr._core.signature import read_signature
from helpers import fake_verbs
from helpers.command_line import Run, make_run, use_fake_verbs

EVERYTHING = """
[pick]
n = 3
signals = ["flow", "motion,ssim"]
strides = "1,2"
size = "large"
jobs = "auto"
minimum = {a = 1, b = 2}
labels = "x.json"
from = "old.json"
is-dry = true
thumbnails = false
min-gap-seconds = 0.25
limit = "none"
method = "odd"
strength = 0.75
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs a command line over verbs without video, in an empty folder."""
    use_fake_verbs(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return make_run(monkeypatch, capsys)


def test_a_file_means_what_the_same_words_mean(run: Run) -> None:
    Path("evfr.toml").write_text(EVERYTHING)
    assert run("pick", "a.mp4")[0] == 0
    (by_file,) = fake_verbs.CALLS
    fake_verbs.CALLS.clear()
    words = (
        "--n",
        "3",
        "--signals",
        "flow",
        "--signals",
        "motion,ssim",
        "--strides",
        "1,2",
        "--size",
        "large",
    )
    more = ("--minimum", "a=1", "--minimum", "b=2", "--labels", "x.json", "--from", "old.json", "--is-dry")
    last = ("--no-thumbnails", "--min-gap-seconds", ".25", "--limit", "none", "--method", "odd")
    assert run("pick", "a.mp4", *words, *more, *last, "--strength", ".75", "--config", "none")[0] == 0
    assert [by_file] == fake_verbs.CALLS
    assert by_file["method_options"] == {"strength": 0.75}
    assert [type(by_file[name]) for name in ("n", "labels", "minimum")] == [int, type(Path()), dict]


def test_words_win_over_the_file_over_defaults(run: Run) -> None:
    Path("evfr.toml").write_text(EVERYTHING)
    words = (
        "--n",
        "5",
        "--no-is-dry",
        "--thumbnails",
        "--method",
        "even",
        "--limit",
        "4",
        "--labels",
        "none",
    )
    code, _, err = run("pick", *words)
    assert code == 2
    assert "evfr.toml: [pick] strength is an option of --method odd, not of --method even" in err
    Path("evfr.toml").write_text(EVERYTHING.replace("strength =", "odd.strength ="))
    assert run("pick", *words)[0] == 0
    (call,) = fake_verbs.CALLS
    assert (call["n"], call["is_dry"], call["thumbnails"], call["limit"], call["labels"]) == (
        *(5, False, True, 4),
        None,
    )
    assert (call["method"], call["method_options"], call["size"], call["ratio"]) == (
        "even",
        {},
        "large",
        None,
    )


def test_the_table_of_a_method_waits_for_it(run: Run) -> None:
    Path("evfr.toml").write_text('[pick.odd]\nstrength = 1\n[pick.even]\nstart = "last"\n')
    assert run("pick")[0] == run("pick", "--method", "odd")[0] == 0
    assert [call["method_options"] for call in fake_verbs.CALLS] == [{"start": "last"}, {"strength": 1.0}]
    code, _, err = run("pick", "--method", "odd", "--start", "last")
    assert (code, "--start is an option of --method even" in err) == (2, True)


def test_which_file_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, n in (("evfr.toml", 1), ("variable.toml", 2), ("named.toml", 3)):
        Path(name).write_text(f"[pick]\nn = {n}\n")
    said = "evfr: options: evfr.toml gives [pick] n\n"
    assert run("pick")[2] == said
    assert (run("pick", "--quiet")[2], run("pick", "-q")[2]) == ("", "")
    monkeypatch.setenv("EVFR_CONFIG", "variable.toml")
    assert run("pick")[2] == "evfr: options: variable.toml gives [pick] n\n"
    assert run("pick", "--config", "named.toml")[2] == run("pick", "--config=none")[2] == ""
    monkeypatch.setenv("EVFR_CONFIG", "none")
    assert run("pick")[2] == ""
    assert [call["n"] for call in fake_verbs.CALLS] == [1, 1, 1, 2, 3, None, None]
    assert config_word(["pick", "--", "--config", "x"]) is None
    assert find_config(None, {"EVFR_CONFIG": ""}) == (Path("evfr.toml"), True)


def test_a_file_that_says_nothing_of_the_command_is_not_announced(run: Run) -> None:
    Path("evfr.toml").write_text("[fail]\ntext = 'no'\n")
    assert run("pick")[2] == ""
    assert run("fail", "value")[::2] == (2, "evfr: options: evfr.toml gives [fail] text\nevfr: error: no\n")


def test_paths_start_at_the_file(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("conf").mkdir()
    Path("conf/a.toml").write_text('[pick]\nlabels = "x.json"\nfrom = "old"\nmethod = "even"\n')
    run("pick", "--config", "conf/a.toml")
    assert fake_verbs.CALLS[-1]["labels"] == Path("conf/x.json")
    assert fake_verbs.CALLS[-1]["from_"] == "old", "a word, where no file has that name"
    Path("conf/old").touch()
    run("pick", "--config", "conf/a.toml")
    assert fake_verbs.CALLS[-1]["from_"] == "conf/old"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("conf/a.toml").write_text('[pick]\nlabels = "~/x.json"\n')
    run("pick", "--config", "conf/a.toml")
    assert fake_verbs.CALLS[-1]["labels"] == tmp_path / "home" / "x.json"
    Path("conf/a.toml").write_text('[pick]\nlabels = "/x.json"\n')
    run("pick", "--config", "conf/a.toml")
    assert fake_verbs.CALLS[-1]["labels"] == Path("/x.json")


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "~/x", "out/x", "s3://bucket/x"])
def test_a_found_file_cannot_reach_out_of_its_folder(run: Run, tmp_path: Path, path: str) -> None:
    Path("out").symlink_to(tmp_path.parent)
    Path("evfr.toml").write_text(f'[pick]\nlabels = "{path}"\n')
    code, _, err = run("pick")
    assert code == 2
    assert f"evfr.toml: [pick] labels: {path} leads out of the file's folder" in err
    assert run("pick", "--config", "evfr.toml")[0] == 0
    assert not [name for name in Path().iterdir() if name.name not in ("out", "evfr.toml")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pick]\nmin_gap_seconds = 1", "[pick] min_gap_seconds is no option of evfr pick; did you mean min-gap-sec"),
        ("[pick]\nqqq = 1", "[pick] qqq is no option of evfr pick; `evfr pick -h` lists all"),
        ("[pick]\npaths = 'a'", "[pick] paths is no option of evfr pick"),
        ("[pick]\nn = 'x'", "[pick] n: 'x' is not allowed; give a whole number"),
        ("[pick]\nn = 1.5", "[pick] n: '1.5' is not allowed; give a whole number"),
        ("[pick]\nn = true", "[pick] n must be a string or a number, got true or false"),
        ("[pick]\nn = [1]", "[pick] n must be a string or a number, got a list"),
        ("[pick]\nn = {a = 1}", "[pick] n must be a string or a number, got a table"),
        ("[pick]\nn = 1979-05-27", "[pick] n must be a string or a number, got a date or time"),
        ("[pick]\nn = 0x" + "f" * 9000, "[pick] n: this number has too many digits"),
        ("[pick]\nlabels = 'a\\u0000'".replace("'", '"'), "[pick] labels: a path cannot hold the character NUL"),
        ("[pick]\nstrides = [[1]]", "[pick] strides must be a string or a number, got a list"),
        ("[pick]\nminimum = 'a'", "[pick] minimum: 'a' is not NAME=VALUE"),
        ("[pick]\nsize = 'tiny'", "[pick] size: 'tiny' is not allowed; give small, large"),
        ("[pick]\nis-dry = 'yes'", "[pick] is-dry must be true or false, got 'yes'"),
        ("[pick]\nquiet = 1", "[pick] quiet must be true or false, got 1"),
        ("[pick]\nmethod = 'evn'", "[pick] method 'evn' is unknown; give one of even, odd"),
        ("[pick]\nmethod = ['odd']", "[pick] method ['odd'] is unknown; give one of even, odd"),
        ("[pick.odd]\nstrenth = 1", "[pick.odd] strenth is no option of --method odd; did you mean strength?"),
        ("json = 1", "json must be true or false, got 1"),
        ("[pik]\nn = 1", "[pik] means nothing here; did you mean pick?"),
        ("n = 1", "n means nothing here; a table is named as a command"),
        ("pick = 1", "pick must be a table: write [pick] and its options below"),
        ("pick", "this is no TOML: "),
        ("a = " + "[" * 9000, "this is no configuration file: it is nested too deeply"),
        ("a = " + "9" * 9000, "this is no TOML: "),
        ("#" * (MOST_BYTES + 1), f"{MOST_BYTES + 1} bytes are too many"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_key(run: Run, text: str, message: str) -> None:
    Path("evfr.toml").write_text(text)
    code, out, err = run("pick")
    assert (code, out) == (2, "")
    assert f"evfr: error: evfr.toml: {message}" in err
    assert err.count("\n") == 1
    assert not fake_verbs.CALLS


def test_a_file_that_is_not_there_or_no_file(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such configuration file; --config none reads none"):
        read_config(tmp_path / "nope.toml")
    assert run("pick", "--config", ".")[0] == 2
    (tmp_path / "bytes.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ValueError, match="this is no TOML"):
        read_config(tmp_path / "bytes.toml")


def test_common_options_stand_at_the_top_or_in_a_table(run: Run) -> None:
    Path("c.toml").write_text("json = true\n[pick]\nquiet = true\n")
    out = run("pick", "--config", "c.toml")[1]
    assert json.loads(out)["n"] == "None"
    assert run("pick", "--config", "c.toml", "--no-json")[1].startswith("paths = ")


def test_a_required_option_may_stand_in_the_file(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    signature = read_signature(fake_verbs.pick, skip=["method_options"])
    assert "--n" in {spec.option for spec in signature.parameters}
    Path("evfr.toml").write_text("[pick]\nn = 9\n")
    assert "[default: 9]" in " ".join(run("pick", "-h")[1].split()), "help shows what applies"


def test_show_config_says_where_each_value_comes_from(run: Run) -> None:
    Path("c.toml").write_text('[pick]\nn = 3\nminimum = {a = 1}\nis-dry = true\nmethod = "odd"\n')
    words = ("pick", "a.mp4", "--config", "c.toml", "--size", "large", "--show-config")
    code, out, _ = run(*words, "--json")
    assert (code, fake_verbs.CALLS) == (0, [])
    shown = json.loads(out)
    rows = {row["option"]: (row["value"], row["from"]) for row in shown["options"]}
    assert shown["command"] == "pick"
    assert rows["PATHS"] == (["a.mp4"], "command line")
    assert rows["--n"] == (3, "c.toml: [pick] n")
    assert rows["--size"] == ("large", "command line")
    assert rows["--strength"] == (0.5, "default")
    assert rows["--labels"] == (None, "default")
    text = " ".join(run(*words)[1].split())
    assert "--minimum a=1 c.toml: [pick] minimum" in text
    assert "--is-dry yes c.toml: [pick] is-dry" in text
    assert max(map(len, run(*words)[1].splitlines())) <= 80


def specs_of_all() -> dict[str, set[str]]:
    """Map each option of the real commands, without dashes, to the texts of its help."""
    found: dict[str, set[str]] = {}
    for command, address in cli.COMMANDS.items():
        family = cli.METHODS.get(command)
        specs = list(read_signature(cli.load(address), skip=[family.options] if family else []).parameters)
        for method in cli.load(family.methods) if family else ():
            specs += cli.read_method_options(family, method)  # type: ignore[arg-type]
        for spec in specs:
            if not spec.is_argument:
                found.setdefault(spec.option[2:], set()).add(spec.help)
    return found


def test_what_a_found_file_may_not_set_exists_and_common_names_are_free() -> None:
    options = specs_of_all()
    assert set(NEVER_FOUND) <= set(options)
    assert not {"config", "show-config", "json", "quiet", "debug", "help"} & set(options)
    risky = ("delete", "remote files", "a remote store", "command of yours", "hugging face", "a cluster")
    for name, texts in options.items():
        for text in texts:
            if any(word in text.lower() for word in risky):
                assert name in NEVER_FOUND, f"may a found file set --{name}? {text}"


@pytest.mark.parametrize("key", sorted(NEVER_FOUND))
def test_refused_from_a_found_file(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(monkeypatch, capsys)
    for command, address in cli.COMMANDS.items():
        specs = read_signature(cli.load(address)).parameters if command not in cli.METHODS else ()
        spec = next((spec for spec in specs if spec.option == f"--{key}"), None)
        if spec is not None:
            word = spec.choices[0] if spec.choices else "x"
            Path("evfr.toml").write_text(f"[{command}]\n{key} = {'true' if spec.is_flag else repr(word)}\n")
            code, _, err = run(command, "--show-config", *["x"] * sum(s.is_required for s in specs))
            assert (code, "taken only from a file that you name" in err) == (2, True)
            return


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text("ab/.~=-,:\0", max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "strength", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    sorted(set(re.findall(r"^([a-z-]+) =", EVERYTHING, re.MULTILINE)) | {"odd", "json", "?"})
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(table=st.dictionaries(KEYS, VALUES, max_size=4), is_found=st.booleans())
def test_any_table_is_taken_as_words_or_refused_with_its_place(
    table: dict[str, object], is_found: bool
) -> None:
    family = cli.MethodFamily("method", "method_options", "helpers.fake_verbs:METHODS", ("seed", "cuts"))
    specs = cli.offer_methods(family, read_signature(fake_verbs.pick, skip=["method_options"])).parameters
    config = ConfigFile(Path("evfr.toml"), is_found, {"pick": table})
    try:
        found = read_settings(config, "pick", specs, method_options(family), "odd")
    except ValueError as error:
        assert str(error).startswith("evfr.toml: [pick")
        return
    for spec in specs:
        value = found.options[spec.name].value if spec.name in found.options else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert (
                table[spec.option[2:]] == value or value != value or str(value) in str(table[spec.option[2:]])
            )
