"""The error that is the user's to mend."""


class UserError(Exception):
    """Bad usage, configuration or input. Shown without a traceback; the process exits with 2.

    The message says what is wrong, where, what is allowed and what to do.
    """
