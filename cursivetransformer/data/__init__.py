"""Where words come from, and how they become batches."""

from .._moved import names_of

__getattr__ = names_of("data")  # the names of the module that this package was
