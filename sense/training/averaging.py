"""The average of a model's weights before and after a training.

What a training has unlearnt on the way to what it has learnt comes back in part: WiSE-FT (arXiv 2109.01903).
"""

from pathlib import Path
from typing import Any

import torch

from sense.training import model_folder


def move_towards(model: Any, folder: Path, share: float) -> None:
    """Averages the weights of `model` with those of the model in `folder`, which have the weight `share` (0 to 1).

    Both have whole weights of the same shapes.
    """
    if share == 0:
        return
    start = dict(model_folder.load_model(folder, dtype=model_folder.TRAINING_DTYPE).named_parameters())
    with torch.no_grad():
        for name, weight in model.named_parameters():  # weights that are tied come once
            weight.lerp_(start[name].to(weight.device), share)
