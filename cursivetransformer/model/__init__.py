"""The Transformer that moves the pen, and its files."""

from .._moved import names_of

__getattr__ = names_of("model")  # the names of the module that this package was
