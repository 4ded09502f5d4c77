"""The errors SENSE raises: each names the place, the value and the fix.

`SenseError` is the root. `UserError` and its children are the user's to mend (a file, a value, an
endpoint) and end the command with exit code 2; anything else is a defect of SENSE.
"""


class SenseError(Exception):
    """Root of every error SENSE raises on purpose."""

    exit_code = 1


class UserError(SenseError):
    """Something the user can mend: the message names the file or value, what is wrong and the fix."""

    exit_code = 2


class ConfigError(UserError):
    """params.yaml (or a profile) is wrong; the message lists every problem in it at once."""


class InputError(UserError):
    """An input file is missing, malformed or does not fit the others; names file and line."""


class EndpointError(UserError):
    """A model endpoint refused, could not be reached or kept answering nonsense."""


class StorageError(UserError):
    """A write failed (disk full, no permission); nothing half written was left under its final name."""
