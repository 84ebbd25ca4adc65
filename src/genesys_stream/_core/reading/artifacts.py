"""Complete JSON values, found in text that comes in pieces, and read into a caller's class, as soon as they are there.

The scanner finds them, an `Artifact` judges and parses, and the reader here does both for the elements of an array.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, get_origin

from ..._errors import InvalidArgument, ParseError
from ..._values import Artifact
from ..._values._checks import shown
from .json_scanner import MAX_BYTES, ArtifactScanner

T = TypeVar("T")


class ArtifactReader(Generic[T]):
    """Reads each element of the array at a path into a class, once it is complete.

    Args:
        path: Where the array is, such as "items" or "result.items"; "$" for a text that is an array.
        into: An attrs class, or anything else that cattrs can structure.
        max_bytes: The largest element, in UTF-8 bytes; a larger one is a ParseError.

    Raises:
        InvalidArgument: If an argument is of the wrong kind.
    """

    def __init__(self, path: str, into: type[T], *, max_bytes: int = MAX_BYTES) -> None:
        if not _is_readable(into):
            raise InvalidArgument("into", f"must be a class, not {shown(into)}")
        self._scanner = ArtifactScanner("element", path, max_bytes=max_bytes)
        self._path = path
        self._into = into
        self._ended = False
        self._waiting: deque[Artifact | ParseError] = deque()

    def feed(self, text: str) -> list[T]:
        """Take text.

        Args:
            text: A delta, cut anywhere.

        Returns:
            The values of the elements that it completes, up to one that cannot be parsed, for which the next call
            raises.

        Raises:
            ParseError: An element is not what the class asks for; `text` has it. The next call goes on behind it.
        """
        self._waiting.extend(self._scanner.feed(text))
        return self._read()

    def close(self) -> list[T]:
        """Take note of the end of a text that is complete; do not call it for one that broke.

        Returns:
            The values that were still to be given, as a rule none.

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


def _is_readable(into: object) -> bool:
    """Whether it is a class, or a form of typing such as `list[Item]`, `Item | None` or `Any`."""
    return (
        isinstance(into, type)
        or get_origin(into) is not None
        or type(into).__module__ in {"typing", "typing_extensions"}
    )
