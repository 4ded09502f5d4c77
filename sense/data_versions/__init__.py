"""Versions of data without git: DVC's remote, read and written from wherever a task runs.

`pull` fetches a revision (the md5 in dvc.lock or a .dvc file) from a remote, `commit` versions what a run of the pipeline
made and writes the dvc.lock that a working copy takes over, `record` logs it to MLflow. `push` makes a folder the newest version
under its name, and `resolve` finds that. A remote is a folder, or
`s3://bucket/prefix`; S3's endpoint, region and keys come from the environment (AWS_ENDPOINT_URL and so on) and are never shown.
"""

from sense.data_versions.latest import LATEST, push, resolve
from sense.data_versions.lock import ARTIFACTS, commit, record
from sense.data_versions.pull import pull
from sense.data_versions.remote import Remote, check_readable, check_writable, missing_revisions, parse_remote

__all__ = [
    "ARTIFACTS",
    "LATEST",
    "Remote",
    "check_readable",
    "check_writable",
    "commit",
    "missing_revisions",
    "parse_remote",
    "pull",
    "push",
    "record",
    "resolve",
]
