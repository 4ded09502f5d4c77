"""What `helm test` runs, in the gateway's image: is the gateway ready, does it answer, and does the installed version answer.

The answer's worth is not judged: a model may abstain. Standard library only.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any


def call(path: str, body: dict[str, Any] | None = None) -> Any:
    """The gateway's answer to GET `path`, or to POST with a body."""
    key = os.environ["SENSE_GATEWAY_KEYS"].split(",")[0].strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(os.environ["GATEWAY_URL"] + path, data, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
        return json.load(response)


def wait(deadline: float) -> None:
    """Until /readyz says yes; ends the test if it does not in time."""
    while True:
        try:
            call("/readyz")
            return
        except OSError as error:  # not there yet, or 503
            if time.monotonic() > deadline:
                sys.exit(f"/readyz: not ready: {error}")
            time.sleep(2)


def main() -> None:
    """Ends with 1 and the reason if anything is not as it should be."""
    deadline = time.monotonic() + float(os.environ["TIMEOUT_S"])
    wait(deadline)
    wanted = {"name": os.environ["MODEL"], "version": os.environ["VERSION"]}
    try:
        names = [found["name"] for found in call("/v1/databases")["databases"]]
        if not names:
            sys.exit("/v1/databases: the gateway has no database")
        database = os.environ["DATABASE"] or names[0]
        while True:
            answer = call("/v1/sql", {"question": os.environ["QUESTION"], "database": database})
            if wanted.items() <= answer["model"].items():
                break
            if time.monotonic() > deadline:
                sys.exit(f"/v1/sql: {answer['model']} answered, not {wanted['name']} version {wanted['version']}")
            time.sleep(2)  # the last pod of the version before is still on its way out
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.url}: {error.code} {error.read().decode(errors='replace')}")
    print(f"{database}: {answer['sql'] or 'abstained: ' + answer['reason']}")


main()
