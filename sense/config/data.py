"""Sections of the stages that make data: ingest, synthesize, sample, prefer; and the limits on executing SQL."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from sense.config.environment import cores
from sense.config.generator import GeneratorConfig
from sense.config.section import Count, Positive, Seconds, Section, Seed, Share
from sense.records import Hardness


class OwnConfig(Section):
    """Your own databases, of which `sense own` copies a sample of the rows; its flags go before these keys."""

    sources: list[str] = []
    """SQLite files, folders of them, folders of CSV or Parquet files, URLs without a password, or env:VARIABLE for one that has a
    password; each may have a name of its own before it: NAME=SOURCE.
    """
    questions: list[str] = []
    """Your own questions on them: JSONL or CSV files with question and sql (db_id and evidence if you like), or the gateway's
    folder of feedback. They are used where `data.seeds` names the folder that `sense own` writes.
    """
    seed: Seed = 0
    """Seed of the random draws: the rows, and what masked values become."""
    rows: Count = 300
    """Rows that the copy of a table has at most."""
    scan: Count = 100_000
    """Rows of a table that are looked at, the first ones, to draw the copy's from."""
    tables: list[str] = []
    """Tables that are copied; empty for all of them."""
    mask: list[str] = []
    """Columns whose values are replaced by others of the same shape, as COLUMN or TABLE.COLUMN. Equal values stay equal, and what
    foreign keys join is masked together. The key of the masks is `seed`, or what the environment variable SENSE_MASK_KEY holds.
    """
    timeout_s: Seconds = 60.0
    """Seconds that one statement on a database server may take."""


class DataConfig(Section):
    """Where human-written seeds come from, and databases of your own."""

    seeds: str = "sense/seeds"
    """Folder of human-written questions: the built-in set, one in Spider's or BIRD's layout, or a dataset folder with questions
    of your own: what `sense own --questions` writes. Of these, about half of the SQL skeletons are for dev, and no others.
    """
    own: OwnConfig = OwnConfig()
    """Databases of your own; `sense own` reads the section, and no stage does."""


class ExecutionConfig(Section):
    """Limits on the execution of one SQL query. A query that exceeds one of them ends as `timeout` or `too_large`."""

    timeout_s: Seconds = 5.0
    """Seconds of wall-clock time a query may take."""
    max_rows: Annotated[int, Field(ge=1, le=10**9)] = 10_000
    """Rows a result may have."""
    max_bytes: Annotated[int, Field(ge=1, le=10**10)] = 10_000_000
    """Bytes a result may have."""
    max_steps: Count = 50_000_000
    """Instructions of SQLite's virtual machine a query may take; unlike seconds, the same on every machine."""
    workers: Count | None = None
    """Processes that work at the same time; null: one for each core that may be used. The result is the same."""

    @property
    def processes(self) -> int:
        """`workers` as a number."""
        return self.workers or cores()


class IngestConfig(Section):
    """Human-written seeds: every gold is executed, what fails is dropped, the rest is split into seed and dev by database."""

    seed: Seed = 0
    """Seed of the random draws: the held-out databases and the examples of dev."""
    holdout: Count = 15
    """Databases that become the dev set where the source brings no dev split; not of your own questions."""
    dev_limit: Count | None = None
    """Examples that the dev set keeps, drawn at random; null keeps all."""
    suite: Annotated[int, Field(ge=0, le=99)] = 0
    """Further databases built beside each one, with other rows, on which labels are checked and TS is measured; 0 builds none.
    Where the source brings a test suite, none is added to it.
    """
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing the golds."""


class GrammarConfig(Section):
    """The built-in teacher, which needs no LLM."""

    per_database: Count = 20
    """Questions asked on each database that it invents."""
    tables: Annotated[int, Field(ge=2)] = 20
    """Tables an invented database has at most; where many are allowed, it has five in the mean."""
    rows: Count = 30
    """Rows an invented table has at most."""
    spelt: Share = 0.0
    """Share of the questions that call tables and columns by the words in their names, as far as the names have them. The others
    use synonyms and phrases as well, which a model of a few million weights can hardly learn.
    """
    plain_names: Share = 0.0
    """Share of the databases whose names are all small words joined by underscores. The others differ in case, and some of them
    abbreviate.
    """


QuestionStyle = Literal["question", "command", "keywords", "polite", "two sentences", "formal", "colloquial", "with evidence"]
"""How a question is put; `with evidence` uses an expression that the example's evidence defines."""


SqlFeature = Literal[
    "join",
    "aggregate",
    "GROUP BY",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "DISTINCT",
    "LIKE",
    "subquery",
    "set operation",
    "3+ joins",
    "self join",
    "outer join",
    "3+ conditions",
    "4+ columns",
    "2 group keys",
    "2 order keys",
    "arithmetic",
    "CASE",
    "CTE",
    "window",
    "EXISTS",
    "date function",
    "CAST",
    "string function",
]
"""What a query may have."""


class LlmConfig(Section):
    """A teacher behind an OpenAI-compatible endpoint. Its key is read from the environment variable SENSE_API_KEY.

    What the endpoint does not support is left out of the requests, with a message: JSON schema, JSON mode, seed, temperature,
    system role.
    """

    model: str
    """The endpoint's name of the model."""
    strategy: Literal["question-first", "sql-first"] = "question-first"
    """What the LLM writes. question-first: database, question and SQL (the paper's prompt). sql-first: the question alone;
    database, rows and SQL are the grammar's, on databases of your own too.
    """
    questions: Annotated[int, Field(ge=1, le=40)] = 10
    """With question-first: the questions with SQL that one request asks for, on the one database that it has invented. 1 is the
    paper's form. Each is an example of its own, and is checked and counted by itself.
    """
    quotas: dict[Hardness, dict[SqlFeature, Share]] = {
        "easy": {"aggregate": 0.25, "DISTINCT": 0.1, "ORDER BY": 0.1},
        "medium": {"join": 0.4, "GROUP BY": 0.25, "LIMIT": 0.1, "LIKE": 0.05, "3+ conditions": 0.05, "arithmetic": 0.05},
        "hard": {
            "subquery": 0.3,
            "join": 0.3,
            "HAVING": 0.1,
            "set operation": 0.1,
            "outer join": 0.05,
            "CASE": 0.05,
            "date function": 0.05,
            "string function": 0.05,
        },
        "extra": {
            "subquery": 0.3,
            "join": 0.2,
            "set operation": 0.15,
            "CTE": 0.1,
            "window": 0.1,
            "EXISTS": 0.1,
            "self join": 0.05,
            "outer join": 0.05,
            "3+ joins": 0.05,
        },
    }
    """With several questions a request: of the examples of a hardness, the share that is to have a feature of SQL, at least. What
    is missing of these, of `levels` and of `styles` is asked for.
    """
    queries_per_request: Count = 10
    """With sql-first: the SQL queries, on one database, whose questions one request asks for."""
    styles: dict[QuestionStyle, Annotated[float, Field(ge=0)]] = {
        "question": 0.3,
        "command": 0.2,
        "keywords": 0.08,
        "polite": 0.07,
        "two sentences": 0.07,
        "formal": 0.08,
        "colloquial": 0.12,
        "with evidence": 0.08,
    }
    """With sql-first, and with several questions a request: weights with which the style of a question is drawn; a style that is
    left out has weight 0.
    """
    agreement: Annotated[int, Field(ge=0, le=25)] = 0
    """Answers that the LLM is asked for to each question that passed the other checks, as SQL on the same schema. The example is
    kept if one of them or more gives the gold's result on the database and its suite, and no other result has more of them. 0:
    none.
    """
    base_url: str = "https://api.openai.com/v1"
    """URL of the endpoint, up to and including its version; `/chat/completions` is appended, before a query such as Azure's
    `?api-version=...`, with which the key goes into the header `api-key`.
    """
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    """Sampling temperature; higher values write more varied data."""
    max_tokens: Count = 4096
    """Tokens a completion may have."""
    concurrency: Count = 8
    """Requests in flight at the same time, at most: after a start with few, and where the endpoint limits the rate, there are
    fewer. It changes no data.
    """
    timeout_s: Positive = 120.0
    """Seconds to wait for one completion."""
    retries: Annotated[int, Field(ge=0)] = 5
    """Further tries after a request that failed by itself, before its draft is dropped or, with no connection, the stage ends."""
    mode: Literal["requests", "batch"] = "requests"
    """requests: each request is made by itself, and answered within seconds. batch: requests go to the endpoint's batch API, as
    OpenAI, Azure, Groq and others have one: for a part of the price, within a day and mostly much sooner. A batch holds all that
    does not depend on answers to come. It changes no data; leave it as it is while a batch is on its way.
    """
    batch_requests: Annotated[int, Field(ge=1, le=50_000)] = 50_000
    """Requests in a batch, at most; a batch is no larger than 200 MB either, and smaller where the endpoint's limit on waiting
    tokens is. Several batches follow one another.
    """
    batch_least: Count = 20
    """So many requests are worth a batch. Fewer, such as the last repairs of a run, are made by themselves at the full price."""
    batch_price_share: Share = 0.5
    """Price of an answer from a batch, as a share of that of an answer to a request by itself."""
    demonstrations: Annotated[int, Field(ge=0)] = 2
    """Human-written examples shown in each prompt (the paper: 2)."""
    answers: str | None = None
    """Folder of the answers, which all runs share: what was asked once is not paid for again. null: SENSE_ANSWERS, else
    `.sense/answers`. It changes no data.
    """
    offline: bool = False
    """Use the answers in the folder alone, and ask the endpoint nothing; `sense synthesize --offline` sets it."""
    repair: bool = True
    """Ask once more where a draft has a fault of which a message tells what to mend, such as SQL that fails or a tie at LIMIT;
    false asks for another draft instead.
    """
    match_level: bool = True
    """Drop drafts whose SQL has another hardness than the one asked for, after its repair; false keeps them at the hardness that
    they have, which costs less where the model misses the levels often. Of several questions on one database the levels count
    together: in which order they come does not matter.
    """
    prompt_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million prompt tokens, in any currency, for the cost in report and model card. It changes no data, but DVC runs
    the stage again when it changes: give it before the run.
    """
    completion_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million tokens that the model writes, in the same currency; both prices go together."""
    cached_price: Annotated[float, Field(ge=0)] | None = None
    """Price of a million prompt tokens that the server has in its cache; null: that of other prompt tokens."""
    budget: Positive | None = None
    """The most that a run may pay, all its tries together, in the currency of the prices. It ends before it would pay more, and
    the answers paid for are kept; null: no limit. `sense synthesize --budget` sets it.
    """

    @model_validator(mode="after")
    def _both_prices(self) -> "LlmConfig":
        if (self.prompt_price is None) != (self.completion_price is None):
            raise ValueError("prompt_price and completion_price go together; give both, 0 for what is free")
        if self.prompt_price is None and (self.budget is not None or self.cached_price is not None):
            raise ValueError("budget and cached_price need prompt_price and completion_price")
        return self

    @model_validator(mode="after")
    def _batches_of_drafts(self) -> "LlmConfig":
        if self.mode == "batch" and (self.strategy == "sql-first" or self.agreement):
            raise ValueError("mode: batch is for strategy: question-first without agreement; set mode: requests")
        return self

    @model_validator(mode="after")
    def _some_style(self) -> "LlmConfig":
        if sum(self.styles.values()) <= 0:
            raise ValueError("styles must give at least one style a weight above 0")
        return self


class SplitConfig(Section):
    """Shares of the strong data that no SFT sees. `unseen` has databases of its own, `heldout` has domains of its own."""

    unseen: Share = 0.2
    """Share whose questions the weak model is sampled on."""
    heldout: Share = 0.1
    """Share whose questions the models are evaluated on, as far as whole domains allow."""
    heldout_domains: Count = 8
    """Domains that belong to heldout alone, at least; it takes a database in each of them. The grammar's are the same for every
    seed.
    """

    @model_validator(mode="after")
    def _leave_some(self) -> "SplitConfig":
        if self.unseen + self.heldout >= 1:
            raise ValueError("unseen + heldout must stay below 1, or no strong data is left for SFT")
        return self


class TeacherConfig(Section):
    """One of several teachers, under the name that its examples have as their `source`."""

    share: Annotated[float, Field(gt=0)]
    """Its part of `count`, in proportion to the shares of the others; they need not add up to 1."""
    llm: LlmConfig | None = None
    """Settings of an LLM; null: the built-in grammar."""


TeacherName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class SynthesizeConfig(Section):
    """Strong data: a teacher writes databases, questions and SQL, all of it is executed (paper, section 3.1)."""

    seed: Seed = 0
    """Seed of the random draws: what the grammar writes, the hardness asked for, the demonstrations, the split."""
    teacher: Literal["grammar", "llm"] = "grammar"
    """Who writes: the built-in grammar, or an LLM (then the section `llm` is needed)."""
    count: Count = 2000
    """Examples to keep after all checks."""
    levels: dict[Hardness, Annotated[float, Field(ge=0)]] = {"easy": 0.4, "medium": 0.4, "hard": 0.15, "extra": 0.05}
    """Weights with which a level of Spider's hardness is asked for; a level that is left out has weight 0."""
    grammar: GrammarConfig = GrammarConfig()
    """Settings of the built-in teacher."""
    databases: Literal["invented", "dev"] = "invented"
    """On what the teachers write: databases that they invent, or those of dev, as if they were your own. Skeletons of SQL are
    held out then, not databases, and no draft has one of dev's. They are read whole: large ones belong into `own`. With
    `own` the key has no effect.
    """
    own: list[str] = []
    """Dataset folders that `sense own` wrote, on whose databases all teachers write instead of inventing some. Skeletons of SQL
    are held out then, not databases. DVC does not watch them: after a change in them, `dvc repro -f synthesize`.
    """
    llm: LlmConfig | None = None
    """Settings of the LLM teacher; unused by the grammar."""
    teachers: dict[TeacherName, TeacherConfig] = {}
    """Several teachers by name, each with its share of `count`, in place of `teacher` and `llm`. Their random draws come from
    `seed` and the name; with the names `grammar` and `llm` they are those of a run with that teacher alone.
    """
    split: SplitConfig = SplitConfig()
    """Shares kept from SFT for weak sampling and for evaluation."""
    suite: Annotated[int, Field(ge=0, le=50)] = 3
    """Further databases of each schema, with other rows: wrong SQL is told from the gold on all of them. Labels that matter
    deserve 10; 0 for none.
    """
    decontaminate: list[str] = []
    """Evaluation sets beside dev and heldout, with which no example may overlap: folders or files as `sense decontaminate
    --against` takes them. DVC does not watch them: after a change in them, `dvc repro -f synthesize`.
    """
    max_attempts: Count = 4
    """Drafts asked of the teacher at most, as a multiple of `count`."""
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing the drafts' SQL."""

    @model_validator(mode="after")
    def _complete(self) -> "SynthesizeConfig":
        if self.teachers and (self.teacher == "llm" or self.llm is not None):
            raise ValueError(
                "teachers stands in place of teacher and llm; leave these out, and give each LLM its own llm section"
            )
        if sum(teacher.llm is None for teacher in self.teachers.values()) > 1:
            raise ValueError("the grammar is one teacher; all but one of teachers need an llm section (model, base_url)")
        if self.teacher == "llm" and self.llm is None:
            raise ValueError("teacher: llm needs an llm section (model, base_url)")
        if sum(self.levels.values()) <= 0:
            raise ValueError("levels must give at least one hardness a weight above 0")
        return self

    def llms(self) -> dict[str, LlmConfig]:
        """The sections of all LLMs that write, by the names of the teachers."""
        if self.teachers:
            return {name: teacher.llm for name, teacher in self.teachers.items() if teacher.llm is not None}
        return {"llm": self.llm} if self.teacher == "llm" and self.llm is not None else {}


class ShardConfig(Section):
    """A part of the questions, for sampling in several tasks at once. The Kubeflow pipeline sets it."""

    number: Annotated[int, Field(ge=0)]
    """Which part this is, counted from 0."""
    of: Count
    """How many parts there are."""

    @model_validator(mode="after")
    def _within(self) -> "ShardConfig":
        if self.number >= self.of:
            raise ValueError(f"there are shards 0 to {self.of - 1}")
        return self


class SampleConfig(Section):
    """Weak data: SQL sampled from a model, each executed against the gold (paper, section 3.2)."""

    model: Literal["weak", "sft"] = "weak"
    """The model that dvc.yaml and the Kubeflow pipeline sample: `weak`, or `sft`, the student itself (on-policy). An early
    checkpoint of the student is a section `weak` with the student's model and a smaller `train.max_steps`.
    """
    seed: Seed = 0
    """Seed of the sampling and of the questions drawn by `limit`."""
    k: Count = 8
    """Samples for each question."""
    temperature: Positive = 1.0
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling: probability mass of the tokens that are drawn from; 1 switches it off."""
    max_new_tokens: Count = 256
    """Tokens a sample may have."""
    batch_size: Count = 16
    """Questions generated for at the same time with `generator.kind: transformers`; it bounds memory. On processors each thread
    generates for so many, where memory allows; 64 questions make a chunk, so that two threads need 32 or less.
    """
    greedy: bool = True
    """Also ask for the greedy answer to each question, for `greedy_ex` of the metrics; it is no sample. A k-th more work."""
    generator: GeneratorConfig = GeneratorConfig()
    """What runs the model: transformers, vLLM, or a server."""
    limit: Count | None = None
    """Questions to sample on, drawn at random; null takes all of the unseen set."""
    shard: ShardConfig | None = None
    """The part of the questions to sample on; null takes all of them."""
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing samples and golds."""


class PreferConfig(Section):
    """Preference pairs: which right answer is chosen over which wrong one (paper, section 3.2)."""

    seed: Seed = 0
    """Seed of the draw where several samples could form a pair."""
    strategy: Literal["grouped-any-limit1", "hardest-negative", "near-miss", "all"] = "grouped-any-limit1"
    """grouped-any-limit1: any right with any wrong sample, one pair a question (the paper's); hardest-negative: the wrong
    sample nearest to the right one by its text; near-miss: one pair a question whose rejected answer runs, a sample if there is
    one, else a mutant of the gold, the classes of errors balanced; all: every combination.
    """
    chosen: Literal["sample", "gold", "sample-or-gold"] = "sample"
    """Where the chosen answer comes from: a right sample of the model's own, the gold, or a right sample where the question has
    one and else the gold.
    """
    gold_share: Share = 1.0
    """With `chosen: sample-or-gold`: the largest share of the pairs whose chosen answer is the gold; which of these stay is drawn
    by `seed`.
    """
    headroom: bool = False
    """Choose right samples only of questions with headroom: some of their samples are right and some wrong. A question that the
    model always gets right, which near-miss would pair with a mutant, makes no pair.
    """
    drop_errors: bool = False
    """Leave out wrong samples that did not execute, so that all rejected answers are runnable SQL. near-miss takes them only for
    questions that have nothing else.
    """
    execution: ExecutionConfig = ExecutionConfig()
    """Limits on executing the mutants of near-miss and the golds."""

    @model_validator(mode="after")
    def _chosen_fits(self) -> "PreferConfig":
        if self.gold_share < 1 and self.chosen != "sample-or-gold":
            raise ValueError(f"gold_share ({self.gold_share}) goes with chosen: sample-or-gold; chosen is {self.chosen}")
        if self.headroom and self.chosen == "gold":
            raise ValueError("headroom goes with chosen: sample or sample-or-gold, as it is about right samples; chosen is gold")
        return self
