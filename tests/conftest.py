"""What all tests share."""

import hypothesis  # noqa: F401 - before trio, which would otherwise have it imported half-way, with a warning
