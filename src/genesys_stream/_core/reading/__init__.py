"""Reading a stream: bytes to events, events to chunks, chunks to a completion."""
