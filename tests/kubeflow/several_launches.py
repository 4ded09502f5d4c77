"""Several stages one after the other in the same processes: what accelerate starts in place of sense.kubeflow.launch."""

import json
import sys

from sense.kubeflow import launch

if __name__ == "__main__":
    for order in json.loads(sys.argv[1]):
        if code := launch.main(json.dumps(order)):
            raise SystemExit(code)
