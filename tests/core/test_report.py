"""The page: self-contained, everything escaped, the same bytes every time; and the numbers as a reader wants them."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure as Plot

from tenon.core.report import (
    MAX_ROWS,
    Card,
    Excerpt,
    Excerpts,
    Figure,
    Report,
    Table,
    _columns,
    figure_from_matplotlib,
    render_html,
    render_markdown,
    style,
    to_json,
)
from tenon.core.run import Run

EVIL = "<script>alert('x')</script>|`*[l](javascript:y)\n\"&"
CARD = Card(
    name="m", title="Method", paper="On Methods", arxiv="2412.12094", summary="s", shape="apply", when_to_use="Often."
)
SVG = "<svg xmlns='http://www.w3.org/2000/svg'/>"


def drawn() -> Figure:
    with style():
        fig = Plot(figsize=(3, 2))
        fig.subplots().plot([1, 2, 3], [3, 1, 2], label="loss")
    return figure_from_matplotlib(fig, "loss", "How it falls.", "A line that falls.")


def report(**changes: object) -> Report:
    fields = {
        "title": "SepLLM",
        "summary": "Half the cache.",
        "tables": (Table("result", ({"policy": "full", "bits": 1.25}, {"policy": "sep", "bits": None}), "On nano."),),
        "figures": (drawn(),),
        "notes": ("Three rows were left out.",),
        "facts": {"seed": 7, "config": {"window": 256, "inner": {"init": 3}}},
        "card": CARD,
    }
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


class Page(HTMLParser):
    """Collects what a browser would load, run or follow, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.loads += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "poster")]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_everything() -> None:
    page = Page(render_html([report()], title="SepLLM", facts={"machine": {"cpu": "Abacus"}}))
    for text in (
        "SepLLM",
        "Half the cache.",
        "result",
        "On nano.",
        "policy",
        "1.25",
        "How it falls.",
        "Three rows were",
        "seed",
        "7",
        "window",
        "256",
        "inner.init",
        "Abacus",
        "On Methods",
        "arXiv 2412.12094",
        "Often.",
    ):
        assert text in page.text, text
    assert page.open == []
    assert page.tags.count("h1") == 1
    assert "nav" not in page.tags


def test_the_page_needs_no_network_and_no_script() -> None:
    html = render_html([report(), report(title="Other")], title="Tour")
    page = Page(html)
    assert page.loads
    assert all(one.startswith("data:image/") for one in page.loads)
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(one.startswith(("#part-", "https://arxiv.org/abs/")) for one in page.links)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html
    assert 'name="viewport"' in html
    assert "prefers-color-scheme: dark" in html


def test_several_reports_have_contents_that_lead_to_them() -> None:
    page = Page(html := render_html([report(), report(title="Other")], title="Tour"))
    assert page.tags.count("nav") == 1
    assert page.tags.count("h1") == 1
    assert page.tags.count("h2") == 2
    for link in (one for one in page.links if one.startswith("#")):
        assert f'id="{link[1:]}"' in html


def test_every_text_is_escaped() -> None:
    evil = Report(
        EVIL,
        EVIL,
        tables=(Table(EVIL, ({EVIL: EVIL, "n": 1},), EVIL),),
        figures=(Figure(EVIL, SVG, None, EVIL, EVIL), Figure("f", "<svg onload='alert(1)'><script/></svg>", None)),
        notes=(EVIL,),
        facts={EVIL: EVIL, "group": {EVIL: {EVIL: EVIL}}},
        card=Card(name="m", title=EVIL, paper=EVIL, arxiv=EVIL, summary=EVIL, shape="apply", when_to_use=EVIL),
    )
    html = render_html([evil, evil], title=EVIL, facts={EVIL: EVIL})
    page = Page(html)
    assert page.open == []
    assert "script" not in page.tags
    assert "svg" not in page.tags
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(one.startswith(("#part-", "https://arxiv.org/abs/")) for one in page.links)
    assert page.text.count("alert('x')") >= 20  # nothing was lost either
    markdown = render_markdown([evil], title="t")
    assert "<script" not in markdown
    assert "](javascript" not in markdown.replace("\\]", "")
    assert json.loads(to_json([evil]))["reports"][0]["title"] == EVIL


def test_figures_are_images_that_decode_to_the_drawing() -> None:
    fig = drawn()
    for shown, kind, data in ((fig, "svg+xml", (fig.svg or "").encode()), (Figure("f", None, fig.png), "png", fig.png)):
        html = render_html([report(figures=(shown,))], title="t")
        (found,) = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', html)
        assert (found[0], base64.b64decode(found[1])) == (kind, data)
    assert 'alt="A line that falls."' in render_html([report()], title="t")
    assert 'alt="f"' in render_html([report(figures=(Figure("f", SVG, None),))], title="t")


def test_a_picture_that_moves_stands_still_on_paper_and_for_who_asks_for_it() -> None:
    motion = '<style class="motion">@keyframes k{0%{fill:red}}\n</style>'
    moving = SVG.replace("/>", f"><style>g{{}}</style>{motion}<g/></svg>")
    html = render_html(
        [report(figures=(Figure("f", moving, None, alt="It moves."), Figure("g", SVG, None)))], title="t"
    )
    found = re.findall(r'<img( class="\w+")? src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', html)
    assert [(css, base64.b64decode(data).decode(), alt) for css, data, alt in found] == [
        (' class="moving"', moving, "It moves."),
        (' class="still"', moving.replace(motion, ""), "It moves."),
        ("", SVG, "g"),
    ]
    # One of the two is seen at a time.
    assert ".still { display: none; }" in html
    (media,) = re.findall(r"@media print, \(prefers-reduced-motion: reduce\) \{(.*)\}", html)
    assert ".moving { display: none; }" in media
    assert ".still { display: block; }" in media


def test_a_drawing_has_the_same_bytes_every_time_and_no_date() -> None:
    one, two = drawn(), drawn()
    assert one == two
    assert one.svg is not None
    assert one.png is not None
    xml.etree.ElementTree.fromstring(one.svg)
    assert "<dc:date>" not in one.svg
    assert one.png[:4] == b"\x89PNG"
    assert b"tEXt" not in one.png


def test_the_style_leaves_no_trace() -> None:
    import sys

    before = dict(mpl.rcParams)
    drawn()
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or mpl.get_backend()  # never imported by us


def test_rendering_twice_gives_the_same_bytes() -> None:
    assert render_html([report()], title="t") == render_html([report()], title="t")


@pytest.mark.parametrize(
    ("cells", "is_number", "shown"),
    [
        ([1, 20000, None], True, ["1", "20,000", "–"]),
        ([0.5, 0.25], True, ["0.50", "0.25"]),
        ([0.123456, 12.3], True, ["0.12", "12.30"]),
        ([53.2, 100.0], True, ["53.2", "100.0"]),
        ([0.001, 0.95], True, ["0.001", "0.950"]),
        ([1e-9, 2.0], True, ["1e-09", "2"]),
        ([3e12, 1.5], True, ["3e+12", "1.5"]),
        ([2.0, 3.0], True, ["2", "3"]),
        ([1.5, "inf", "nan"], True, ["1.5", "inf", "nan"]),
        ([0, 0.0], True, ["0", "0"]),
        ([-0.5, 1], True, ["-0.5", "1.0"]),
        ([True, False], False, ["yes", "no"]),
        (["a", 1, 0.123456], False, ["a", "1", "0.1235"]),
        ([[1, 2], None], False, ["1, 2", "–"]),
        ([None, None], False, ["–", "–"]),
    ],
)
def test_numbers_stand_as_a_reader_wants_them(cells: list[object], is_number: bool, shown: list[str]) -> None:
    ((_, found_number, found),) = _columns(Table("t", tuple({"c": cell} for cell in cells)))
    assert (found_number, found) == (is_number, shown)


def test_columns_are_all_keys_in_order_of_appearance() -> None:
    columns = _columns(Table("t", ({"a": 1, "b": 2}, {"c": 3, "a": 4})))
    assert [(name, cells) for name, _, cells in columns] == [("a", ["1", "4"]), ("b", ["2", "–"]), ("c", ["–", "3"])]


def test_a_long_table_says_what_it_leaves_out() -> None:
    table = Table("t", tuple({"n": i} for i in range(MAX_ROWS + 5)))
    html = render_html([report(tables=(table,))], title="t")
    assert "5 more rows are in the JSON" in html
    assert html.count("<tr>") == MAX_ROWS + 1
    assert len(json.loads(to_json([report(tables=(table,))]))["reports"][0]["tables"][0]["rows"]) == MAX_ROWS + 5
    assert "No rows." in render_html([report(tables=(Table("t", ()),))], title="t")


def test_markdown_is_written_out() -> None:
    assert render_markdown([report(figures=(Figure("loss", SVG, None, "Falls.", "A line."),))], title="t") == (
        "# SepLLM\n\nHalf the cache.\n\nOn Methods, [arXiv 2412.12094](https://arxiv.org/abs/2412.12094)\n\n"
        "**result** On nano.\n\n| policy | bits |\n| :-- | --: |\n| full | 1.25 |\n| sep | – |\n\n"
        "![A line.](figures/loss.svg)\n\n**loss** Falls.\n\n- Three rows were left out.\n\n"
        "- seed: 7\n- config window: 256\n- config inner.init: 3\n"
    )


def test_json_holds_the_numbers_and_names_the_figures() -> None:
    one = report(tables=(Table("t", ({"x": float("inf"), "y": 0.1},)),))
    (found,) = json.loads(to_json([one]))["reports"]
    assert found["tables"] == [{"name": "t", "rows": [{"x": "inf", "y": 0.1}], "caption": ""}]
    assert found["figures"] == [{"name": "loss", "caption": "How it falls.", "alt": "A line that falls."}]
    assert found["facts"]["config"]["window"] == 256
    assert found["card"]["arxiv"] == "2412.12094"


def test_excerpts_mark_what_went_and_what_came() -> None:
    parts = (("Now ", "soft"), ("3 + 4 = ", "plain"), ("7", "removed"), ("8", "added"), (".", "plain"))
    one = report(excerpts=(Excerpts("pairs", (Excerpt("value, step 2", parts),), "What was edited."),))  # type: ignore[arg-type]
    page = render_html([one], title="t")
    assert '<span class="soft">Now </span>3 + 4 = <del>7</del><ins>8</ins>.</p>' in page
    assert "*value, step 2*: Now 3 + 4 = ~~7~~**8**." in render_markdown([one], title="t")
    shown = json.loads(to_json([one]))["reports"][0]["excerpts"][0]["items"][0]
    assert shown["parts"][2] == ["7", "removed"]


def test_excerpts_of_a_run_come_back_and_are_escaped(tmp_path: Path) -> None:
    item = Excerpt(EVIL, ((EVIL, "added"),))
    with Run.open(tmp_path / "run", config={}) as run:
        run.excerpts("pairs", [item], EVIL)
        run.excerpts("pairs", [item], EVIL)
        assert run.collect("t").excerpts == (Excerpts("pairs", (item,), EVIL),)
        page = run.report("t").read_text()
    assert "<script>" not in page
    assert "<script>" not in (tmp_path / "run" / "report.md").read_text()
