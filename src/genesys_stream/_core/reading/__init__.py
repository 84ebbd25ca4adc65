"""A stream that is read: bytes to events, events to chunks, chunks to a completion."""
