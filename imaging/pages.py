"""Pages of the documentation that are made from a registry: Markdown with one table a section."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One table with what stands above it.

    Parameters
    ----------
    title : str
        Heading.
    text : str
        Paragraphs under the heading, Markdown.
    header : sequence of str
        Names of the table's columns.
    rows : sequence of sequence of str
        Cells, Markdown; as many as the header has.
    picture : str
        Path of a picture relative to the page; '' for none.
    caption : str
        What the picture shows; its text for those who do not see it.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    picture: str = ""
    caption: str = ""


def page(title: str, introduction: str, command: str, sections: Iterable[Section]) -> str:
    """A page in Markdown, ending in a newline.

    Parameters
    ----------
    title, introduction : str
        Heading and first paragraphs.
    command : str
        The command that makes the page; stands in a comment at its top.
    sections : iterable of Section
        In this order.

    Raises
    ------
    ValueError
        A row that has another number of cells than its header.
    """
    parts = [f"<!-- made by `{command}`; change the registry, not this page -->\n# {title}", introduction]
    for section in sections:
        parts.append(f"## {section.title}")
        if section.text:
            parts.append(section.text)
        if section.picture:
            parts.append(f"![{section.caption}]({section.picture})\n\n*{section.caption}*")
        lines = [_line(section.header), "|" + "---|" * len(section.header)]
        for row in section.rows:
            if len(row) != len(section.header):
                raise ValueError(f"{section.title}: {len(row)} cells under {len(section.header)} names: {row}")
            lines.append(_line(row))
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    """A row of a table; a bar within a cell is escaped, a line break becomes a space."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"
