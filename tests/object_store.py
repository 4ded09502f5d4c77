"""A real S3 API over HTTP on 127.0.0.1 (moto's server, in this process), with one bucket.

with ObjectStore() as store:
    store.environment  # what a client needs: endpoint, region, keys
"""

from typing import Any

import botocore.session
import httpx
from moto.server import ThreadedMotoServer

BUCKET = "sense-data"
KEY_ID, SECRET = "AKIATESTONLY", "topsecret-of-the-store"


class ObjectStore:
    """A running server, one at a time; `client` is botocore's, for looking into the bucket."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.client: Any = None

    @property
    def url(self) -> str:
        host, port = self._server.get_host_and_port()
        return f"http://{host}:{port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def __enter__(self) -> "ObjectStore":
        self._server.start()
        httpx.post(f"{self.url}/moto-api/reset").raise_for_status()  # one memory for all servers of a process
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET}
        session = botocore.session.get_session()
        self.client = session.create_client("s3", endpoint_url=self.url, region_name="us-east-1", **keys)
        self.client.create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.stop()

    def demand_keys(self, after: int = 0) -> None:
        """From now on, or `after` so many requests, refuses keys that it has not given out itself: all of them."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=str(after)).raise_for_status()

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """Every object under `prefix`: its key and its content."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}
