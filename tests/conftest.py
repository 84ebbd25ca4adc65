"""What all tests share."""

import signal

from hypothesis import HealthCheck, settings  # before trio, which would otherwise import it half-way, with a warning

# A shell starts background jobs deaf to Ctrl-C, and what they start is deaf as well; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of what else the machine does than of what is tested.
settings.register_profile("any machine", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
