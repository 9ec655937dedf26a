import inspect
import io
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

import flowssl
from flowssl.cli import main
from flowssl.cli.console import Console
from flowssl.cli.methods import METHODS, Method
from flowssl.cli.parser import COMMANDS
from flowssl.cli.signatures import Parameter, read_parameters

Run = Callable[..., tuple[int, str, str]]
HEAVY = ("torch", "sklearn", "pandas", "polars", "scipy", "matplotlib", "pyarrow", "numpy", "rich")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from flowssl.cli import main\n"
        f"for arguments in [[], *([c] for c in {COMMANDS!r})]:\n"
        "    assert main([*arguments, '--help']) == 0\n"
        "assert main(['--version']) == 0\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert run.stdout.splitlines()[-1] == "heavy: []"
    assert f"flowssl {flowssl.__version__}" in run.stdout
    for command in COMMANDS:
        assert f"usage: flowssl {command} " in run.stdout


@pytest.mark.parametrize(
    ("option", "metavar", "sentence"),
    [
        ("--smoothing", "FLOAT", "Fraction of the largest variance that is added to all (default:"),
        ("--kind", "good|slow|broken|wrong|stopped|INT", "How fit ends, in 100 % of cases (def"),
        ("--early, --no-early", "", "Two switches over two lines (default: yes)"),
        ("--other, --no-other", "", "Two switches over two lines (default: yes)"),
        (
            "--class-prior",
            "uniform|A,B,...|none",
            'Probabilities of the classes. "uniform": equal ones (d',
        ),
        ("--unlabeled-value", "VALUE", "What marks an unlabeled row (default: auto)"),
        ("--checkpoint", "FILE|none", "File of the training's checkpoint (default: MODEL.c"),
        ("--random-state", "INT|none", "Seed (default: none)"),
        ("--verbose", "INT", "How much to report (default: 1)"),
    ],
)
def test_each_parameter_has_an_option_with_its_first_sentence(
    run: Run, option: str, metavar: str, sentence: str
) -> None:
    code, out, err = run("fit", "--help")
    assert (code, err) == (0, "")
    words = " ".join(out.split())  # argparse breaks the line after a long option
    assert f" {option} {metavar}".rstrip() + f" {sentence}" in words
    assert "--warm-start" not in out


def _check(parameters: tuple[Parameter, ...], signature: inspect.Signature) -> None:
    assert [p.name for p in parameters] == [*signature.parameters]
    for parameter in parameters:
        default = signature.parameters[parameter.name].default
        required = default is inspect.Parameter.empty
        assert (parameter.default == "") if required else (parameter.default_value == default)
        assert parameter.summary, parameter.name
        # The data decide the type of the one, and a kind of rows has an option for the other.
        if parameter.name not in ("unlabeled_value", "columns"):
            assert parameter.kinds or parameter.choices or parameter.group, parameter.name


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_source_and_the_imported_class_agree(method: Method) -> None:
    found = read_parameters(method.described_by)
    _check(found, inspect.signature(getattr(import_module(method.home), method.estimator)))
    assert {*method.fixed} <= {parameter.name for parameter in found}
    groups = {p.name: p.group for p in found if p.group is not None}
    assert {*groups} == ({"objective", "images", "text"} if method.is_flow else set())
    for group in groups.values():
        _check(
            read_parameters(group),
            inspect.signature(getattr(import_module(group.module), group.name)),
        )


def test_options_are_those_of_the_named_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    assert "--covariance-type" in capsys.readouterr().out
    assert main(["fit", "--method=scnf-gmm", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--class-features" in shown
    assert "--covariance-type" in shown
    assert "--class-density" not in shown
    assert main(["fit", "--method", "scnf", "--help"]) == 0
    assert "--covariance-type" not in capsys.readouterr().out
    assert main(["fit", "--method", "conditional", "--help"]) == 0
    assert "--views" not in capsys.readouterr().out  # its rows cannot be images
    assert main(["fit", "--method", "m2-vae", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--hidden-layer-sizes A,B,..." in shown
    assert "--kind m1|m2|m1+m2" in shown
    assert "--checkpoint" not in shown
    assert main(["fit", "a.csv", "--target", "b", "-o", "c", "--method", "guess"]) == 2
    assert "invalid choice: 'guess'" in capsys.readouterr().err


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_tables_are_plain_in_a_pipe_and_drawn_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("[red]a", "1"), ("b", "22")]
    Console().table(("name", "rows"), rows, "title")
    assert capsys.readouterr().out == "title\nname    rows\n[red]a     1\nb         22\n"
    terminal = _Tty()
    monkeypatch.setattr(sys, "stdout", terminal)
    Console().table(("name", "rows"), rows, "title")
    drawn = terminal.getvalue()
    assert drawn.count("[red]a") == 1
    assert "─" in drawn


def test_no_command_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"flowssl {flowssl.__version__}\n"
