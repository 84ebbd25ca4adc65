"""A JSON value found in the text of a stream."""

from __future__ import annotations

from typing import Any, TypeVar

from attrs import field, frozen

from .. import _errors
from ._checks import check_readable
from ._completions import _size, parse

T = TypeVar("T")


@frozen
class Artifact:
    """A JSON value as the model wrote it, found by its brackets and quotes; `value` and `parse` check it.

    Attributes:
        text: The JSON text, without what stands around it.
        offset: Where it begins in the stream's text, in UTF-8 bytes.
        index: Its number among the artifacts of its stream, from 0.
        complete: Whether its end was seen; if not, this is as much of it as was said, or as may be kept.
        path: Where it stands in its document, such as "$.items[3]"; "$" for a whole document.
    """

    text: str = field(repr=_size)
    offset: int = 0
    index: int = 0
    complete: bool = True
    path: str = "$"

    @property
    def end(self) -> int:
        """Where it ends in the stream's text, in UTF-8 bytes."""
        return self.offset + len(self.text.encode())

    @property
    def value(self) -> Any:
        """The parsed JSON, as `json.loads` gives it.

        Raises:
            ParseError: The text is not JSON, or incomplete.
        """
        return self._read(Any)

    def parse(self, into: type[T]) -> T:
        """Read the text into a class of the caller's own.

        Args:
            into: What `Completion.parse` takes.

        Returns:
            The value.

        Raises:
            ParseError: The text is not JSON or incomplete, or a field is missing or of another type; `fields` names
                each, and `text` has the text.
            InvalidArgument: `into` is not a class that JSON can be read into.
        """
        check_readable("into", into)
        value: T = self._read(into)
        return value

    def _read(self, into: Any) -> Any:
        name = f"the artifact {self.index} at {self.path}"
        if not self.complete:
            msg = f"{name} is incomplete: its end was not said, or it is too large"
            raise _errors.ParseError(msg, text=self.text)
        try:
            return parse(self.text, into)
        except _errors.ParseError as error:
            msg = f"{name} does not parse: {error}"
            raise _errors.ParseError(msg, fields=error.fields, text=self.text) from None
