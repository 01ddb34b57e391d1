"""Configs: three sources in a fixed order, every type both ways, and refusals that say what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenon.core.config import differences, field_docs, from_dict, identity, load, to_dict
from tenon.core.errors import ConfigError, require


@dataclass(frozen=True, kw_only=True)
class Inner:
    window: int = 256
    """Nearest tokens kept [tokens]."""
    init: int = 3


@dataclass(frozen=True, kw_only=True)
class Base:
    seed: int = 0
    """The seed."""


@dataclass(frozen=True, kw_only=True)
class Config(Base):
    steps: int = 10
    """How many steps,
    in total."""
    rate: float = 0.5
    """Learning rate."""
    tag: str = "x"
    undocumented: bool = False
    where: Path | None = None
    """A path."""
    mode: Literal["fast", "exact", 3] = "fast"
    names: tuple[str, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    sizes: tuple[int, ...] | None = None
    limit: int | float | None = None
    title: str | None = None
    weights: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    extra: Inner | None = None
    device: str = "cpu"
    cache: str = field(default="", metadata={"identity": False})

    def __post_init__(self) -> None:
        require(self.steps >= 1, self, "steps", "1 or more")


@dataclass(frozen=True, kw_only=True)
class Outer:
    config: Config = field(default_factory=Config)


@dataclass(frozen=True, kw_only=True)
class Needy:
    size: int


CONFIGS = st.builds(
    Config,
    steps=st.integers(1, 10**12),
    rate=st.floats(allow_nan=False),
    tag=st.text(),
    undocumented=st.booleans(),
    where=st.none() | st.just(Path("a/b")),
    mode=st.sampled_from(["fast", "exact", 3]),
    names=st.lists(st.text()).map(tuple),
    pair=st.tuples(st.integers(), st.floats(allow_nan=False)),
    sizes=st.none() | st.lists(st.integers()).map(tuple),
    limit=st.none() | st.integers() | st.floats(allow_nan=False),
    title=st.none() | st.text(),
    weights=st.dictionaries(st.text(), st.floats(allow_nan=False)),
    inner=st.builds(Inner, window=st.integers()),
    extra=st.none() | st.builds(Inner, init=st.integers()),
)


@given(CONFIGS)
def test_a_config_survives_json(cfg: Config) -> None:
    again = from_dict(Config, json.loads(json.dumps(to_dict(cfg))))
    assert again == cfg
    assert type(again.limit) is type(cfg.limit)  # an int in a union with float stays an int


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("steps=20", "steps", 20),
        ("steps=1e9", "steps", 10**9),
        ("steps= 1_000 ", "steps", 1000),
        ("rate=3", "rate", 3.0),
        ("rate=1e-4", "rate", 1e-4),
        ("tag=none", "tag", "none"),
        ("tag=a=b", "tag", "a=b"),
        ("undocumented=true", "undocumented", True),
        ("undocumented=0", "undocumented", False),
        ("where=none", "where", None),
        ("where=runs/a", "where", Path("runs/a")),
        ("mode=exact", "mode", "exact"),
        ("mode=3", "mode", 3),
        ("names=a,b", "names", ("a", "b")),
        ('names=["a,b", "c"]', "names", ("a,b", "c")),
        ("names=", "names", ()),
        ("pair=3,4", "pair", (3, 4.0)),
        ("sizes=1,2", "sizes", (1, 2)),
        ("sizes=none", "sizes", None),
        ("limit=7", "limit", 7),
        ("limit=0.5", "limit", 0.5),
        ("title=none", "title", None),
        ("title=Night", "title", "Night"),
        ('weights={"a": 1}', "weights", {"a": 1.0}),
        ("inner.window=5", "inner", Inner(window=5)),
        ('inner={"init": 0}', "inner", Inner(init=0)),
        ("extra.init=4", "extra", Inner(init=4)),
    ],
)
def test_set_reads_the_value_by_the_fields_type(text: str, name: str, value: object) -> None:
    cfg = load(Config, sets=[text])
    assert getattr(cfg, name) == value
    assert type(getattr(cfg, name)) is type(value)  # no command-line text type leaks out
    assert cfg == from_dict(Config, {name: value})


def test_sources_are_laid_over_each_other(tmp_path: Path) -> None:
    presets = {"paper": Config(steps=100, rate=0.1, inner=Inner(window=64, init=1))}
    (tmp_path / "c.toml").write_text('rate = 0.2\nnames = ["a"]\n[inner]\nwindow = 32\n')
    (tmp_path / "c.json").write_text('{"rate": 0.2, "names": ["a"], "inner": {"window": 32}}')
    for name in ("c.toml", "c.json"):
        cfg = load(Config, presets=presets, preset="paper", file=tmp_path / name, sets=["inner.window=16", "steps=5"])
        assert cfg == Config(steps=5, rate=0.2, names=("a",), inner=Inner(window=16, init=1))
    assert load(Config) == Config()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stps": 1}, r"Config has no field 'stps'; did you mean 'steps'\?"),
        ({"inner": {"windw": 1}}, r"Config.inner has no field 'windw'; did you mean 'window'\?"),
        ({"extra": {"windw": 1}}, r"Config.extra has no field 'windw'; did you mean 'window'\?"),
        ({"steps": "3"}, "Config.steps is '3'; it must be an integer"),
        ({"steps": 1.5}, "Config.steps is 1.5; it must be an integer"),
        ({"steps": float("inf")}, "it must be an integer"),
        ({"steps": float("nan")}, "it must be an integer"),
        ({"steps": True}, "Config.steps is True; it must be an integer"),
        ({"undocumented": 1}, "Config.undocumented is 1; it must be true or false"),
        ({"mode": "slow"}, "Config.mode is 'slow'; it must be one of 'fast', 'exact', 3"),
        ({"names": "abc"}, r"Config.names is 'abc'; it must be a list \(each item text\)"),
        ({"pair": [1]}, r"it must be a list of 2 \(an integer, a number\)"),
        ({"sizes": 3}, r"it must be a list \(each item an integer\) or none"),
        ({"title": 3}, "Config.title is 3; it must be text or none"),
        ({"inner": 3}, "Config.inner is 3; it must be a table of Inner's fields"),
        ({"steps": 0}, "Config.steps is 0; it must be 1 or more"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Config, values)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Needy.size is missing and has no default; it must be an integer"):
        from_dict(Needy, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps", "has no '='"),
        ("stps=1", r"--set stps=1: Config has no field 'stps'; did you mean 'steps'\?"),
        ("window=1", r"no field 'window'; did you mean 'inner.window' or 'extra.window'\? \(known: seed, steps, "),
        ("inner.windw=1", r"Inner has no field 'windw'; did you mean 'window'\?"),
        ("steps=many", "Config.steps is 'many'; it must be an integer"),
        ("undocumented=maybe", "it must be true or false"),
        ("inner=3", "Config.inner is 3; it must be a table"),
        ("inner=x", "Config.inner is 'x'; it must be a table of Inner"),
        ("weights=3", "it must be a table"),
        ("tag.x=3", "Config.tag is .*; it must be text"),
    ],
)
def test_wrong_sets_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(Config, sets=[text])


def test_a_name_is_found_in_configs_inside_configs() -> None:
    with pytest.raises(
        ConfigError, match=r"no field 'init'; did you mean 'config.inner.init' or 'config.extra.init'\?"
    ):
        load(Outer, sets=["init=1"])
    with pytest.raises(ConfigError, match=r"no field 'inner'; did you mean 'config.inner'\?"):
        load(Outer, sets=["inner.init=1"])


def test_wrong_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no preset 'papr' of Config; did you mean 'paper'\?"):
        load(Config, presets={"paper": Config()}, preset="papr")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(Config, file=tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("steps 3")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load(Config, file=tmp_path / "bad.toml")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ConfigError, match="holds a list"):
        load(Config, file=tmp_path / "list.json")


def test_field_docs_are_the_docstrings_under_the_fields() -> None:
    docs = field_docs(Config)
    assert docs["steps"] == "How many steps, in total."
    assert docs["seed"] == "The seed."  # inherited
    assert "undocumented" not in docs
    assert "tag" not in docs
    assert field_docs(Inner) == {"window": "Nearest tokens kept [tokens]."}


def test_differences_name_every_field() -> None:
    old = to_dict(Config(names=("a",)))
    new = to_dict(Config(steps=11, inner=Inner(window=1), names=("a", "b"), extra=Inner()))
    assert differences(old, new) == [
        "steps: 10 -> 11",
        'names: ["a"] -> ["a", "b"]',
        "inner.window: 256 -> 1",
        'extra: null -> {"window": 256, "init": 3}',
    ]
    assert differences({"a": 1}, {"b": True}) == ["a: 1 -> (absent)", "b: (absent) -> true"]
    assert differences({"a": 1}, {"a": True}) == ["a: 1 -> true"]
    assert differences(old, old) == []


def test_identity_leaves_out_what_cannot_change_a_result() -> None:
    one = identity(Config(device="cuda", cache="/a"))
    assert one == identity(Config())
    assert "device" not in one
    assert "cache" not in one
    assert one != identity(Config(steps=11))
