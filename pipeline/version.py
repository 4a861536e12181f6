"""The version. The package takes it from here; asking the installed package for it takes 12 ms at every start."""

VERSION = "0.1.0"
