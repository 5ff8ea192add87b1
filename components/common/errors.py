"""The errors that are not ours: the user's to mend, and the data's."""


class UserError(Exception):
    """Bad usage, configuration or input. Shown without a traceback; the process exits with 2.

    The message says what is wrong, where, what is allowed and what to do. A line's end within a
    line is a name's, and is shown, not obeyed.

    Attributes:
        lines: The message: most have one.
    """

    def __init__(self, *lines: str):
        super().__init__(*lines)
        self.lines = lines

    def __str__(self) -> str:
        return "\n".join(self.lines)


class DataRejected(Exception):
    """DataGate refused the data; the process exits with 4.

    Attributes:
        verdict: The content of `verdict.json`.
    """

    def __init__(self, message: str, verdict: str):
        super().__init__(message)
        self.verdict = verdict
