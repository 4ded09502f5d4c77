"""A stand-in for Google Cloud Storage over HTTP on 127.0.0.1: lists and sends objects as its JSON API does.

with GoogleStore({"BUCKET/FOLDER/file": b"..."}) as store:
    store.environment  # what Google's client needs
"""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class GoogleStore:
    """A running server with the objects that it was made with."""

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                bucket, _, name = address.path.partition("/b/")[2].partition("/o")
                content = listing(objects, bucket, parse_qs(address.query)) if not name else objects.get(bucket + unquote(name))
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_: object) -> None:
                """Nothing: a test prints what it needs."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def environment(self) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{self._server.server_port}", "GOOGLE_CLOUD_PROJECT": "test"}

    def __enter__(self) -> "GoogleStore":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def listing(objects: Mapping[str, bytes], bucket: str, query: Mapping[str, list[str]]) -> bytes:
    """What stands directly below the query's prefix: objects and further folders."""
    prefix = query.get("prefix", [""])[0]
    names = [key.removeprefix(f"{bucket}/") for key in objects if key.startswith(f"{bucket}/{prefix}")]
    files = [name for name in names if "/" not in name.removeprefix(prefix)]
    folders = {prefix + name.removeprefix(prefix).partition("/")[0] + "/" for name in names if name not in files}
    items = [{"name": name, "bucket": bucket, "size": str(len(objects[f"{bucket}/{name}"]))} for name in files]
    return json.dumps({"kind": "storage#objects", "items": items, "prefixes": sorted(folders)}).encode()
