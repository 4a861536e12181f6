"""`import headrace` gives the module `pipeline`: the package is installed as headrace, so that is what people type.

Type checkers read the star import; at run time this module is replaced by `pipeline` itself, so there is one of everything.
"""

import sys

import pipeline
from pipeline import *  # noqa: F403  for type checkers: the whole public surface
from pipeline import __all__ as __all__  # noqa: PLC0414, RUF100  an explicit re-export

sys.modules[__name__] = pipeline
