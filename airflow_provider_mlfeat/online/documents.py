"""The small JSON documents of a store: tables, deployments, aliases. They change together or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Document = dict[str, Any]
Result = TypeVar("Result")


class Draft:
    """All documents as a change sees and edits them.

    :param documents: what there is.
    """

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._documents = dict(documents)
        self.written: dict[str, Document | None] = {}

    def get(self, name: str) -> Document | None:
        """The document of that name, or None."""
        return self._documents.get(name)

    def list(self, prefix: str) -> dict[str, Document]:
        """The documents whose names begin so, in the order of their names."""
        return {name: self._documents[name] for name in sorted(self._documents) if name.startswith(prefix)}

    def put(self, name: str, document: Document) -> None:
        """Write a document; one that is there already with the same contents stays as it is."""
        if self._documents.get(name) != document:
            self._documents[name] = self.written[name] = document

    def delete(self, name: str) -> None:
        """Delete a document; nothing happens when there is none."""
        if self._documents.pop(name, None) is not None:
            self.written[name] = None


class Documents(ABC):
    """Where the documents are kept."""

    @abstractmethod
    def revision(self) -> int:
        """A number that grows with every change."""

    @abstractmethod
    def read(self) -> Draft:
        """All documents at one moment."""

    @abstractmethod
    def change(self, edit: Callable[[Draft], Result]) -> Result:
        """Edit documents in one step; `edit` runs again when somebody else was faster, and may raise."""
