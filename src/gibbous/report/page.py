"""One HTML page with everything in it: text, tables and figures; nothing is fetched from elsewhere.

Figures are inline SVG, or PNG where the SVG would be large. Whatever changes from run to run is
kept out (dates, random ids), so the same results give the same bytes.
"""

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup, escape

from gibbous.errors import ShapeError

if TYPE_CHECKING:
    import matplotlib.figure

_LARGEST_SVG = 400_000  # bytes; a figure beyond it becomes a picture
_NUMBER = re.compile(r"[\s<>≤≥~]*[-+\N{MINUS SIGN}]?\.?\d[\d.,]*(e[-+]?\d+)?( ?%|[ ±]+[\d.]+)?\s*")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        head: one name for each column.
        rows: each as long as `head`.

    Raises:
        ShapeError: if a row is shorter or longer than the head.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.head):
                raise ShapeError(f"expected rows of {len(self.head)} cells, got {list(row)}")

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only; they are set flush right."""
        columns = zip(*self.rows, strict=True) if self.rows else [("",)] * len(self.head)
        return [all(_NUMBER.fullmatch(str(cell)) for cell in column) for column in columns]


@dataclass(frozen=True)
class Section:
    """A part of a page: title, text, table, then figures.

    Args:
        title: plain text.
        text: plain text; an empty line begins a new paragraph.
        figures: pairs of a caption and a matplotlib figure.
        table: shown between text and figures.
    """

    title: str
    text: str = ""
    figures: Sequence[tuple[str, "matplotlib.figure.Figure"]] = ()
    table: Table | None = None

    @property
    def paragraphs(self) -> list[str]:
        """The text, cut at empty lines."""
        return [p for p in (part.strip() for part in re.split(r"\n\s*\n", self.text)) if p]


def write_page(
    path: str | os.PathLike[str], title: str, sections: Sequence[Section], *, subtitle: str = ""
) -> None:
    """Write a page; a file of that name is replaced in one step, or left as it was on an error.

    Args:
        path: of the HTML file; missing folders are made.
        title: of the page, plain text.
        sections: its parts, in order.
        subtitle: one line below the title.
    """
    parts, count = [], 0
    for section in sections:
        figures = []
        for caption, figure in section.figures:
            count += 1
            figures.append((caption, figure_markup(figure, caption, f"f{count}-")))
        parts.append({"section": section, "figures": figures})
    source = resources.files("gibbous.report").joinpath("page.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.from_string(source).render(
        title=title, subtitle=subtitle, parts=parts, version=_version()
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(html, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def figure_markup(figure: "matplotlib.figure.Figure", caption: str, prefix: str) -> Markup:
    """A figure as inline SVG, or as an embedded PNG where the SVG would be large.

    Args:
        figure: any matplotlib figure.
        caption: read out by screen readers.
        prefix: put before every id, which must differ between the figures of a page.
    """
    import matplotlib as mpl

    buffer = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "gibbous", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    if len(buffer.getvalue()) <= _LARGEST_SVG:
        return Markup(_inline(buffer.getvalue().decode(), caption, prefix))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=160, bbox_inches="tight", metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(caption, data)


def _inline(svg: str, caption: str, prefix: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)  # holds for all elements
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    # matplotlib hashes ids from coordinates, whose last bits may differ from one drawing of a
    # figure to the next; numbers in order of appearance do not.
    names = dict.fromkeys(re.findall(r'\bid="([^"]*)"', svg))
    numbers = {name: f"{prefix}{i}" for i, name in enumerate(names)}
    svg = re.sub(r'(\bid="|href="#|url\(#)([^")]*)', lambda m: m[1] + numbers.get(m[2], m[2]), svg)
    head = f'<svg role="img" aria-label="{escape(caption)}" class="drawing"'
    return svg.replace("<svg", head, 1).strip()


def _version() -> str:
    try:
        return metadata.version("gibbous")
    except metadata.PackageNotFoundError:  # run from a source tree
        return "(not installed)"
