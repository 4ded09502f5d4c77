"""What the gateway does with a question and with feedback, whoever brings them."""

import asyncio
from pathlib import Path
from typing import NoReturn

from sense.config import ServeConfig
from sense.errors import StorageError, UserError
from sense.serving import messages
from sense.serving.admission import Admission
from sense.serving.answer import answer
from sense.serving.backend import Backend
from sense.serving.databases import Catalog
from sense.serving.feedback import FeedbackStore
from sense.serving.meters import Meters
from sense.serving.problems import Refusal
from sense.serving.readiness import Readiness

_FEEDBACK_PLACES, _FEEDBACK_QUEUE = 4, 256  # kept at a time, and waiting: overload of questions loses none


class Gateway:
    """What all routes share."""

    def __init__(self, config: ServeConfig, backend: Backend, catalog: Catalog) -> None:
        limits = config.limits
        self.config, self.backend, self.catalog = config, backend, catalog
        self.asking = Admission(limits.concurrency, limits.queue, limits.queue_s)
        self.telling = Admission(_FEEDBACK_PLACES, _FEEDBACK_QUEUE, limits.request_s)
        self.meters = Meters(self.asking)
        self.readiness = Readiness(backend, catalog, self.meters)
        self.feedbacks = FeedbackStore(Path(config.feedback), catalog) if config.feedback is not None else None

    async def close(self) -> None:
        """Ends what runs beside requests; feedback that is being written is finished, and so is SQL that nobody waits for."""
        await self.readiness.close()
        await self.telling.close()
        await self.asking.close()

    def check(self, ask: messages.Ask) -> None:
        """Refusal (422) where a question is beyond this gateway's limits."""
        limits = self.config.limits
        wrong = [
            {"field": f"body.{name}", "message": f"at most {limits.question_chars} characters"}
            for name in ("question", "evidence")
            if len(getattr(ask, name)) > limits.question_chars
        ]
        if ask.k > limits.candidates:
            wrong.append({"field": "body.k", "message": f"at most {limits.candidates} candidates"})
        if wrong:
            raise Refusal(
                422, "invalid", "the request is beyond the gateway's limits", "mend the fields in details", details=wrong
            )

    async def answer(self, ask: messages.Ask, request_id: str) -> messages.Answer:
        """Waits for a place and asks the model, within the limits on time; Refusal where the question is too long for it."""
        try:
            async with self.asking.place() as place, asyncio.timeout(self.config.limits.request_s):
                return await answer(ask, request_id, self.catalog, self.backend, self.config, place.queued_ms, place.thread)
        except UserError as error:
            _refuse(error, "the question cannot be answered")

    async def keep(self, feedbacks: FeedbackStore, feedback: messages.Feedback) -> messages.Kept:
        """Keeps feedback; Refusal where it cannot be."""
        try:
            async with self.telling.place() as place, asyncio.timeout(self.config.limits.request_s):
                return await place.thread(feedbacks.keep, feedback)
        except TimeoutError:  # an OSError, but of ours; what is still being written is found again under its id
            raise
        except OSError as error:
            raise StorageError("feedback") from error
        except UserError as error:
            _refuse(error, "the feedback cannot be kept")


def _refuse(error: UserError, message: str) -> NoReturn:
    """A bare UserError is for the caller, and its text says what to mend; others have a meaning of their own, and paths in it."""
    if type(error) is not UserError:
        raise error
    raise Refusal(422, "invalid", message, str(error)) from error
