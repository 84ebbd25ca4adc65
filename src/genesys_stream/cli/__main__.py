"""`python -m genesys_stream.cli`, where the scripts of an environment are not on the path."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
