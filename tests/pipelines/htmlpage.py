"""Reading the pages that the writers make, without a browser."""

import base64
import hashlib
import re
from html.parser import HTMLParser

VOID = {"meta", "img", "line", "rect", "input", "image", "path", "circle", "br", "canvas_"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.raw: list[tuple[dict[str, str | None], str]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"script", "style"}:
            self.raw.append(({"in": self.open[-1]} | self.tags[-1][1], data))
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def digest(source: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() + "'"


def check_policy(html: str) -> None:
    """The policy names exactly the style and the script of the page, and nothing in the page could be run or loaded."""
    page = Page(html)
    (policy,) = [a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "data:"
    assert rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    styles = [source for attributes, source in page.raw if attributes["in"] == "style"]
    scripts = [source for a, source in page.raw if a["in"] == "script" and "type" not in a]
    assert rules == {
        "style-src": " ".join(map(digest, styles)),
        "script-src": " ".join(map(digest, scripts)),
    }
    assert len(scripts) == len(styles) == 1
    assert "unsafe" not in policy
    kinds = {a.get("type") for tag, a in page.tags if tag == "script"}
    assert kinds <= {None, "application/json", "text/plain"}  # the last two are never run
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not re.search(r"javascript:", html, re.I)
