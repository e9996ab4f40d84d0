"""The one exception for mistakes that a user of the project can correct."""


class ProjectError(Exception):
    """A mistake in a file, a missing input, a refused result.  Printed as one line, without a traceback."""
