"""A word of ink: its points, the tokens it becomes, and the pictures and files it is shown in."""

from .._moved import names_of

__getattr__ = names_of("ink")  # the names of the module that this package was
