"""The error family: catchable by house name and by built-in, with messages that say what to do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tenon.core import errors
from tenon.core.errors import ConfigError, MissingExtra, TenonError, need, require


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigError", ValueError),
        ("DataError", ValueError),
        ("UnsupportedModelError", NotImplementedError),
        ("BackendError", RuntimeError),
        ("RunConflict", RuntimeError),
        ("MissingExtra", ImportError),
    ],
)
def test_every_error_is_ours_and_a_builtin(name: str, builtin: type[Exception]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, TenonError)
    assert issubclass(error, builtin)
    assert name in errors.__all__


@dataclass(frozen=True)
class Window:
    window: int

    def __post_init__(self) -> None:
        require(self.window >= 1, self, "window", "1 or more: it counts the query itself")


def test_require_says_what_came_and_what_is_needed() -> None:
    assert Window(1).window == 1
    with pytest.raises(ConfigError) as caught:
        Window(0)
    assert str(caught.value) == "Window.window is 0; it must be 1 or more: it counts the query itself."


def test_need_imports_or_names_the_extra() -> None:
    assert need("json", extra="image").dumps([1]) == "[1]"
    with pytest.raises(MissingExtra, match=r"pip install 'tenon\[image\]'") as caught:
        need("no_such_module_here", extra="image")
    assert caught.value.name == "no_such_module_here"
    assert isinstance(caught.value.__cause__, ImportError)
