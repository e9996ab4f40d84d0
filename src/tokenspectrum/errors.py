"""The one exception that means "the user can mend this".

Knows nothing of any stage.  Whoever raises it writes one line: what is wrong, where (file, row, field), what to do.
"""


class UserError(Exception):
    """Bad input, params or files.  Entry points print it as one line and exit non-zero, without a traceback."""
