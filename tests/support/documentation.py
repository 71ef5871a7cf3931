"""What README and docs tell people to type."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")))

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """The content between two fences.

    Parameters
    ----------
    page
        Path in the repository.
    language
        What stands beside the first fence.
    text
        Between the fences.
    """

    page: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:50]}"

    @property
    def commands(self) -> list[list[list[str]]]:
        """Give the words of each command of each line; a line with pipes has several commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [_pipeline(words) for line in lines if (words := shlex.split(line, comments=True))]


def blocks(*languages: str) -> list[Block]:
    """Give all fenced blocks in some languages."""
    found = [
        Block(str(page.relative_to(REPOSITORY)), language, text)
        for page in PAGES
        for language, text in _FENCE.findall(page.read_text("utf-8"))
    ]
    return [block for block in found if block.language in languages]


def spans(pattern: str) -> list[str]:
    """Give what stands between single backquotes, once each, if it begins with a pattern."""
    texts = (_FENCE.sub("", page.read_text("utf-8")) for page in PAGES)
    all_spans = (span.strip() for text in texts for span in _SPAN.findall(text))
    return sorted({span for span in all_spans if re.match(pattern, span)})


def _pipeline(words: list[str]) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    return commands
