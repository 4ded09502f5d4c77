"""Versions of data without git: DVC's remote, read and written from wherever a task runs.

`pull` fetches a revision (the md5 in dvc.lock or a .dvc file) from a remote, `commit` versions what a run of the pipeline
made and writes the dvc.lock that a working copy takes over, `record` logs it to MLflow. A remote is a folder, or
`s3://bucket/prefix`; S3's endpoint, region and keys come from the environment (AWS_ENDPOINT_URL and so on) and are never shown.
"""

from sense.data_versions.lock import ARTIFACTS, commit, record
from sense.data_versions.pull import pull
from sense.data_versions.remote import Remote, check_readable, check_writable, parse_remote

__all__ = ["ARTIFACTS", "Remote", "check_readable", "check_writable", "commit", "parse_remote", "pull", "record"]
