"""python -m normproof: the normproof program."""
import sys

from normproof._program import main

if __name__ == "__main__":
    sys.exit(main())
