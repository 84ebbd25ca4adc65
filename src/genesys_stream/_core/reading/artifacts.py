"""The elements of a JSON array, read into a caller's class as soon as each is complete in the text of a stream.

The scanner finds them, and `Artifact.parse` reads them.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from ..._errors import ParseError
from ..._values import Artifact
from ..._values._checks import check_readable
from .json_scanner import MAX_BYTES, ArtifactScanner

T = TypeVar("T")


class ArtifactReader(Generic[T]):
    """Reads each element of the array at a path into a class, once it is complete.

    Args:
        path: Where the array is, such as "items" or "result.items"; "$" for a text that is an array.
        into: The class of an element; what `Completion.parse` takes.
        max_bytes: The largest element, in UTF-8 bytes; a larger one is a ParseError.

    Raises:
        InvalidArgument: An argument has the wrong type.
    """

    def __init__(self, path: str, into: type[T], *, max_bytes: int = MAX_BYTES) -> None:
        check_readable("into", into)
        self._scanner = ArtifactScanner("element", path, max_bytes=max_bytes)
        self._path = path
        self._into = into
        self._ended = False
        self._waiting: deque[Artifact | ParseError] = deque()

    def feed(self, text: str) -> list[T]:
        """Read the elements that the next text completes.

        Args:
            text: A delta, cut anywhere.

        Returns:
            The values of these elements, up to one that cannot be parsed, for which the next call raises.

        Raises:
            ParseError: An element does not fit the class; `text` has it. The next call continues after it.
        """
        self._waiting.extend(self._scanner.feed(text))
        return self._read()

    def close(self) -> list[T]:
        """Mark the text as ended and complete; not to be called for a stream that broke.

        Returns:
            The values that were not returned yet, as a rule none.

        Raises:
            ParseError: As `feed`; or the text ends inside the array, and `text` has the unfinished element, if there
                is one; or the text has no array at the path.
        """
        if not self._ended:
            self._ended = True
            seen, inside = self._scanner.seen, self._scanner.inside
            rest = self._scanner.close()
            self._waiting.extend(rest)
            if not seen:
                self._waiting.append(ParseError(f"the text has no array at {self._path!r}"))
            elif inside and not rest:
                self._waiting.append(ParseError(f"the text ends inside the array at {self._path!r}"))
        return self._read()

    def _read(self) -> list[T]:
        values: list[T] = []
        while self._waiting:
            artifact = self._waiting[0]
            try:
                if isinstance(artifact, ParseError):
                    raise artifact
                values.append(artifact.parse(self._into))
            except ParseError:
                if values:
                    break  # these first: the error comes with the next call
                self._waiting.popleft()
                raise
            self._waiting.popleft()
        return values
