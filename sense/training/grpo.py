"""GRPO on TRL: the model answers each question several times, and learns from those answers that earn more than the others.

The order of the questions is drawn once for the whole training, as the rows of one pass: a killed training skips those it has
seen, and draws the same answers, as its checkpoint has the state of the random generators.
"""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase
from trl import GRPOConfig, GRPOTrainer

from sense import config
from sense.training import fit, sharding

# The rewards of answers, given as the ids of their questions and their texts.
Reward = Callable[[Sequence[str], Sequence[str]], list[float]]
# An advantage below this is rounding: those of answers that earn more or less than the mean of their group are 0.01 at least.
_NO_ADVANTAGE = 1e-3


class _VaryingGroupsTrainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, whose loss leaves out answers without an advantage, and so groups whose answers all earn the same.

    TRL 1.16 gives them a policy gradient of 0, but counts their tokens in the mean and pulls them towards the reference. Its mask
    of tokens that a tool wrote, which bear no loss, leaves them out, and unlike the mask of the completion does not hide them
    from the model. The curve has the share of answers that are learnt from; KL divergence and entropy are those of these answers,
    and missing where there are none.
    """

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        batch = super()._generate_and_score_completions(inputs)
        counts = (batch["advantages"].abs() > _NO_ADVANTAGE) & batch["completion_mask"].any(dim=1)
        learnt_from = counts.long().unsqueeze(1)
        batch["tool_mask"] = learnt_from.expand_as(batch["completion_mask"]).contiguous()
        tokens = (batch["completion_mask"] * batch["tool_mask"]).sum()
        batch["num_items_in_batch"] = self.accelerator.gather(tokens).sum()
        share = self.accelerator.gather(learnt_from).float().mean().item()
        self._metrics["train" if self.model.training else "eval"]["completions/learnt_from"].append(share)
        return batch

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        loss = super()._compute_loss(model, inputs)
        if not self.accelerator.gather((inputs["completion_mask"] * inputs["tool_mask"]).sum()).sum():
            values = self._metrics["train" if self.model.training else "eval"]
            for name in ("kl", "entropy"):
                values[name][-1:] = [math.nan] if values[name] else []  # TRL's 0 of no tokens; its log leaves NaN out
        return loss


def train(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[dict[str, str]],
    reward: Reward,
    settings: config.DpoConfig,
    *,
    checkpoints: Path,
    on_log: fit.OnLog,
) -> tuple[Any, list[dict[str, float]]]:
    """Trains on `questions`, rows of `example_id` and `prompt`; the model it starts from is the reference.

    Returns the model and its training curve, one dict for each logged step.
    """
    grpo = settings.grpo

    def execution(completion_ids: Sequence[Sequence[int]], example_id: Sequence[str], **_: Any) -> list[float]:
        texts = tokenizer.batch_decode(completion_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return reward(example_id, texts)

    rows = _rows_in_order(questions, settings)
    arguments = fit.training_arguments(settings.train, settings.seed, checkpoints)
    trainer = _VaryingGroupsTrainer(
        model=model,
        reward_funcs=execution,
        args=sharding.complete(
            GRPOConfig(
                **{**arguments, "max_steps": len(rows) // _questions_a_step(settings)},
                num_generations=grpo.num_generations,
                temperature=grpo.temperature,
                max_completion_length=grpo.max_completion_length,
                beta=grpo.beta,
                loss_type=grpo.loss,
                scale_rewards=grpo.scale_rewards,
                mask_truncated_completions=grpo.mask_truncated,
                disable_dropout=True,
                shuffle_dataset=False,
            )
        ),
        train_dataset=fit.to_dataset(rows),
        processing_class=tokenizer,
        callbacks=[fit.TrainingProgress("grpo", on_log)],
    )
    return fit.run_trainer(trainer, checkpoints, settings.train)


def _questions_a_step(settings: config.DpoConfig) -> int:
    answers = settings.train.batch_size * settings.train.accumulation * config.processes()
    return answers // settings.grpo.num_generations


def _rows_in_order(questions: Sequence[dict[str, str]], settings: config.DpoConfig) -> list[dict[str, str]]:
    """The questions of every step, one step after the other: all of them in an order drawn by the seed, then in another one."""
    a_step = _questions_a_step(settings)
    steps = settings.train.max_steps or max(1, round(settings.train.epochs * len(questions) / a_step))
    draw = random.Random(f"{settings.seed}-grpo")
    rows: list[dict[str, str]] = []
    while len(rows) < steps * a_step:
        rows += draw.sample(questions, len(questions))
    return rows[: steps * a_step]
