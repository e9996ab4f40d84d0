"""The error of a checkpoint that cannot be used.  A module of its own, because the loop and every backend need it."""


class DamagedError(Exception):
    """The message names the file and what is wrong with it."""
