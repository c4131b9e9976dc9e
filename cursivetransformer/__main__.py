"""`python -m cursivetransformer` is the command `cursive`."""

import sys

from cursivetransformer.cli import main

if __name__ == "__main__":
    sys.exit(main())
