"""Several stages one after the other in the same processes: what accelerate starts in place of sense.stages.launch.

An order may have `stop_at`, a step at which the training fails with the class of its model. accelerate divides weights between
GPUs alone, PyTorch between processors too: here accelerate takes these for GPUs.
"""

import json
import sys
from contextlib import ExitStack
from unittest import mock

from accelerate import state
from accelerate.utils import DistributedType

from sense.errors import SenseError
from sense.stages import launch
from sense.training import fit, sharding


def processors_taken_for_gpus():
    original = state.PartialState.__init__

    def initialize(self, *arguments, **options):
        original(self, *arguments, **options)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    return mock.patch.object(state.PartialState, "__init__", initialize)


def fail_at(step):
    original = fit.TrainingProgress.on_step_end

    def on_step_end(self, arguments, trainer_state, control, **options):
        original(self, arguments, trainer_state, control, **options)
        if trainer_state.global_step == step:
            raise SenseError(f"{type(options['model']).__name__} stopped")

    return mock.patch.object(fit.TrainingProgress, "on_step_end", on_step_end)


def main() -> int:
    for order in json.loads(sys.argv[1]):
        state.AcceleratorState._reset_state()  # else the first training decides whether weights are divided
        stop = order.pop("stop_at", None)
        with ExitStack() as stack:
            if order["section"]["train"].get("fsdp"):
                stack.enter_context(processors_taken_for_gpus())
                stack.enter_context(mock.patch.object(sharding, "can_divide", lambda: True))
            if stop is not None:
                stack.enter_context(fail_at(stop))
            code = launch.main(json.dumps(order))
        if code and stop is None:
            return code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
