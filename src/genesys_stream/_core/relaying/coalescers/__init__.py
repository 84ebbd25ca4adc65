"""Coalescers: where waiting text is cut, and when. A new strategy is a file here, and a line in `__init__.pyi`."""
