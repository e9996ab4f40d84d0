"""The one exception that says: whoever works in this project can mend this."""


class ProjectError(Exception):
    """A mistake in a file, a missing input, a refused result.  Printed as one line, without a traceback."""
