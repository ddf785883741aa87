"""The errors that hptune raises on purpose, and the exit code each one ends a command with."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


class HptuneError(Exception):
    """A failure that hptune explains in one line; the command exits with `exit_code`."""

    exit_code = EXIT_FAILED


class InputError(HptuneError):
    """The user's input is wrong: the line says what, the value, the rule and the remedy."""

    exit_code = EXIT_BAD_INPUT


class StageError(HptuneError):
    """A stage of the procedure could not reach a decision, for instance because every trial failed."""
