"""How many tokens an example costs, by the number of questions that one request asks an LLM for.

The LLM is the stand-in, in this process, with the demonstrations that a run with the built-in seeds has, and with the faults of
`make demo TEACHER=http`. It counts four characters as a token, in what it is asked and in what it answers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sense.config import GrammarConfig, IngestConfig, SynthesizeConfig
from sense.stages import ingest, synthesize
from sense.stand_in.stand_in import Behaviour, StandIn
from tests.endpoint import Endpoint
from tests.stand_ins import answerer

ROOT = Path(__file__).parents[1]
FAULTS = {"429": 0.02, "500": 0.02, "truncated": 0.02, "refusal": 0.02, "wrong-sql": 0.1}
GRAMMAR = GrammarConfig(tables=6, rows=10)
"""What the prompts ask for: two to six tables, at most ten rows each."""


@dataclass(frozen=True)
class Paid:
    """What a run paid for: requests, and tokens of prompts and completions, repairs among them; `kept` are its examples."""

    requests: int
    prompt: int
    completion: int
    kept: int

    @property
    def tokens(self) -> float:
        """Tokens of an example."""
        return (self.prompt + self.completion) / self.kept


def measure(questions: int, count: int, faults: Mapping[str, float]) -> Paid:
    """Has `count` examples written with so many questions a request, with faults at these rates."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        seed, dev = folder / "seed", folder / "dev"
        outputs = ingest.Outputs(seed, dev, folder / "ingest" / "metrics.json")
        ingest.run(IngestConfig(holdout=4), ingest.Inputs(ROOT / "sense" / "seeds"), outputs)
        stand_in = StandIn(Behaviour(0, faults, retry_after_s=0), GRAMMAR, lambda: 0.0)
        with Endpoint(answerer(stand_in)) as endpoint:
            llm = {"model": "grammar", "base_url": endpoint.base_url, "answers": str(folder / "answers"), "questions": questions}
            section = {"teacher": "llm", "llm": llm, "count": count, "split": {"heldout_domains": 1}}
            section |= {"execution": {"workers": 1}}
            config = SynthesizeConfig.model_validate(section)
            names = ("strong", "unseen", "heldout", "decontamination", "metrics")
            paths = synthesize.Outputs(**{port: folder / "work" / port for port in names})
            metrics = synthesize.run(config, synthesize.Inputs(seed=seed, dev=dev), paths)
        lines = [json.loads(line) for file in folder.glob("answers/ledger/*.jsonl") for line in file.read_text().splitlines()]
    prompt, completion = (sum(line[side] or 0 for line in lines) for side in ("prompt", "completion"))
    return Paid(len(lines), prompt, completion, metrics["funnel"]["kept"])
