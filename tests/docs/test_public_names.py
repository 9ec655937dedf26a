"""Every public name says what it is and shows how it is used."""

import inspect
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_extensions"))

from public_names import constant_docs, public_modules, public_names  # noqa: E402

# No example: an exception is raised, not called.
NO_EXAMPLE = (BaseException,)


def described():
    for module in public_modules():
        constants = constant_docs(module)
        for name in public_names(module):
            if name not in constants:
                yield f"{module}.{name}", getattr(import_module(module), name)


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in described()])
def test_a_public_name_has_a_docstring_with_an_example(value):
    text = value.__doc__
    assert text
    assert text.strip()
    if not (inspect.isclass(value) and issubclass(value, NO_EXAMPLE)):
        assert re.search(r"Examples\n +-{8}\n(?s:.*?)>>> ", text)


@pytest.mark.parametrize("module", public_modules())
def test_a_public_constant_has_a_description(module):
    assert all(constant_docs(module).values()), constant_docs(module)


@pytest.mark.parametrize("module", public_modules())
def test_a_public_module_has_a_docstring(module):
    assert import_module(module).__doc__
