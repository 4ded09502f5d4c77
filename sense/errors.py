"""The exceptions of SENSE. The message of each names the file or value, what is wrong and the fix.

SenseError            a defect of SENSE, unless it is one of these: exit code 1
  UserError           something that the user can mend: exit code 2
    ConfigError       a configuration file
    InputError        an input file or folder
    EndpointError     a server: a model endpoint, MLflow, a DVC remote, Kubeflow
    StorageError      a disk that is full, or a missing permission
"""


class SenseError(Exception):
    """The root of all exceptions that SENSE raises itself."""

    exit_code = 1


class UserError(SenseError):
    """Something that the user can mend; the command ends with exit code 2."""

    exit_code = 2


class ConfigError(UserError):
    """params.yaml (or a profile) is wrong; the message lists every problem in it at once."""


class InputError(UserError):
    """An input file is missing, malformed or does not fit the others; names file and line."""


class EndpointError(UserError):
    """A model endpoint or another server refused, could not be reached, or kept sending invalid responses."""


class StorageError(UserError):
    """A write failed (disk full, no permission); nothing half written was left under its final name."""


def install(extra: str) -> str:
    """How to install an extra of pyproject.toml, for a message that says what lacks."""
    return f"in SENSE's checkout, pip install -e '.[{extra}]'"


_DISK_FULL_MESSAGES = ("No space left", "Disk quota", "File too large")


def says_disk_full(error: BaseException) -> bool:
    """Whether the message of an error says that the disk or the quota is full: some libraries wrap the OSError that says so."""
    return any(message in str(error) for message in _DISK_FULL_MESSAGES)
