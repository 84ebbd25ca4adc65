"""What all tests share."""

import signal

import hypothesis  # noqa: F401 - before trio, which would otherwise have it imported half-way, with a warning

# A shell starts background jobs deaf to Ctrl-C, and what they start is deaf as well; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
