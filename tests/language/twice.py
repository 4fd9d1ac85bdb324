"""A module that another one loads once more, beside the one of this name."""


class Thing:
    """A class of one of the two."""


def make():
    """A thing of the same module."""
    return Thing()
