"""`python -m tests.conformance --recordings DIR [--area NAME]`."""

import sys

from tests.conformance._runner import main

if __name__ == "__main__":
    sys.exit(main())
