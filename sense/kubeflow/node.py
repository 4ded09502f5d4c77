"""A process of a training on several nodes, as torchrun starts it in the pods of a TrainJob.

Its argument is a folder, which lies on a claim that all nodes and the task of the pipeline mount:

    order.json    the stage, its section, the paths of its inputs and outputs, and the task's variables for its run in MLflow
    inputs/, outputs/
    result.json   the metrics, once the outputs are there
    error.json    what ended a process, if it is no defect: the text and the exit code
"""

import sys
from pathlib import Path

from sense import config, console, records
from sense.errors import SenseError
from sense.stages import execute

ORDER, RESULT, ERROR = "order.json", "result.json", "error.json"


def main(folder: Path) -> int:
    """Runs the stage; returns the exit code."""
    console.quiet(not config.is_main_process())
    order = records.read_json(folder / ORDER)
    inputs, outputs = ({name: Path(path) for name, path in order[ports].items()} for ports in ("inputs", "outputs"))
    try:
        with config.with_variables(order["environment"]):
            metrics = execute(order["stage"], order["section"], inputs, outputs)
    except SenseError as error:
        records.write_json(folder / ERROR, {"error": str(error), "exit_code": error.exit_code})
        return error.exit_code
    if config.is_main_process():
        records.write_json(folder / RESULT, {"metrics": metrics})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
