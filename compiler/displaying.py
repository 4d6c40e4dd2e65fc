"""Results that show themselves in notebooks: as HTML, and as text where there is nothing better."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from html import escape
from typing import Protocol

from compiler.tables import Table


class Picture(Protocol):
    """What draws itself."""

    @property
    def title(self) -> str:
        """What is drawn."""
        ...

    def svg(self) -> str:
        """The picture as SVG."""
        ...


def picture_bundle(picture: Picture) -> dict[str, str]:
    """A picture as Jupyter shows it; its title where there are no pictures."""
    return {"image/svg+xml": picture.svg(), "text/plain": picture.title}


Part = Table | Picture | str
"""A table, a picture, or a line of text."""


class Displayed:
    """A result whose parts Jupyter, or whoever asks as Jupyter does, shows one below the other."""

    @abstractmethod
    def displayed(self) -> Iterable[Part]:
        """What is shown."""

    def _repr_html_(self) -> str:
        return "".join(map(_html, self.displayed()))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        text = [_text(part) for part in self.displayed() if isinstance(part, str | Table)]
        return {"text/html": self._repr_html_(), "text/plain": "\n\n".join(text)}


def _html(part: Part) -> str:
    match part:
        case str():
            return f"<p>{escape(part)}</p>"
        case Table():
            return part.html()
        case _:
            return f"<div>{part.svg()}</div>"


def _text(part: str | Table) -> str:
    return part if isinstance(part, str) else part.plain()
