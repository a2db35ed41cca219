"""Runs one of our modules in Python's isolated mode: `python -I launch.py MODULE ARGUMENTS...`.

Isolated mode ignores PYTHON* variables, the current folder and the user's packages; what remains is the installation.
The folder that holds this code is added for a checkout that is not installed.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

if __name__ == "__main__":
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if root not in sys.path:
        sys.path.insert(0, root)
    module = sys.argv[1]
    sys.argv[:2] = [module]
    sys.exit(import_module(module).main())
