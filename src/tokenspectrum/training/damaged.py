"""The error of a checkpoint that is of no use.  A module of its own: the loop and every backend know it."""


class DamagedError(Exception):
    """The message names the file and what is wrong with it."""
