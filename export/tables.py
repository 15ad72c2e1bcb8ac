"""What commands print: tables on stdout, what is going on meanwhile on stderr."""

from __future__ import annotations

import sys


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def progress(text: str) -> None:
    """Say something on stderr; stdout is for the tables."""
    print(text, file=sys.stderr, flush=True)
