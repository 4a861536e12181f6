"""The version, told once in the code: asking the installed package for it takes 12 ms at every start."""

VERSION = "0.1.0"  # the same as in pyproject.toml
