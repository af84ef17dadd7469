#!/usr/bin/env python
"""The command line's door: ``python run_bench.py --help``."""

import sys

from bench.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
