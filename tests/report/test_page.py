"""The page: self-contained, escaped, well formed, and the same bytes every time."""

from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gibbous.errors import ShapeError
from gibbous.report import Section, Table, write_page

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Checker(HTMLParser):
    """Keeps the stack of open elements, and every id and link."""

    def __init__(self):
        super().__init__()
        self.stack, self.ids, self.links, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self._note(tag, attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self._note(tag, attrs)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def _note(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.links.append(value)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def small():
    fig, ax = plt.subplots(layout="constrained")
    ax.plot([0, 1], [1, 0])
    ax.set_title("a <b> & c")
    return fig


def large():
    fig, ax = plt.subplots()
    ax.plot(*np.random.default_rng(0).normal(size=(2, 8_000)), ".")
    return fig


def sections():
    table = Table(["name", "value"], [["a", "0.5"], ["<i>", "-1.2e-3"]])
    return [
        Section("First", "One.\n\nTwo <script>alert(1)</script>.", [("line", small())], table),
        Section("Second", figures=[('says "hi"', small()), ("points", large())]),
    ]


def parse(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    return checker


def test_page_is_well_formed_and_self_contained(tmp_path):
    path = tmp_path / "new" / "page.html"
    write_page(path, "Title", sections(), subtitle="below")
    text = path.read_text("utf-8")
    page = parse(text)
    assert page.stack == []
    assert page.tags.count("svg") == 2
    assert page.tags.count("img") == 1  # the large one
    assert page.tags.count("p") == 3  # the subtitle and two paragraphs
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith(("#", "data:image/png;base64,"))
        assert not link.startswith("#") or link[1:] in page.ids
    for outside in ("@import", "<link", "<script", "url(http", "<metadata"):
        assert outside not in text
    assert list(path.parent.iterdir()) == [path]


def test_text_is_escaped_everywhere(tmp_path):
    evil = '<script>alert("x")</script>'
    table = Table([evil], [[evil]])
    section = Section(evil, evil, [(evil, small())], table)
    write_page(tmp_path / "p.html", evil, [section, section], subtitle=evil)
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "<script" not in text
    assert "script" not in parse(text).tags
    assert "&lt;script&gt;" in text


def test_the_same_results_give_the_same_bytes(tmp_path):
    parts = sections()
    for name, content in (("a", parts), ("b", parts), ("c", sections())):
        write_page(tmp_path / name, "Title", content)
    first = (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").read_bytes() == first  # the same figures drawn again
    assert (tmp_path / "c").read_bytes() == first  # the same figures made again


def test_one_section_needs_no_contents(tmp_path):
    write_page(tmp_path / "p.html", "T", [Section("only", "text")])
    assert "<nav" not in (tmp_path / "p.html").read_text("utf-8")
    write_page(tmp_path / "p.html", "T", [Section("one"), Section("two")])
    assert "<nav" in (tmp_path / "p.html").read_text("utf-8")


def test_a_failed_write_leaves_the_old_page(tmp_path):
    path = tmp_path / "p.html"
    path.write_text("old")
    with pytest.raises(AttributeError):
        write_page(path, "T", [Section("s", figures=[("no figure", None)])])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_tables_know_their_numbers():
    table = Table(["name", "x", "mixed"], [["a", "0.68", "1"], ["b", "-1.2e-3", "n/a"]])
    assert table.numeric == [False, True, False]
    assert Table(["empty"], []).numeric == [False]
    with pytest.raises(ShapeError, match="2 cells"):
        Table(["a", "b"], [["1"]])
