"""`kill -9` in the middle of each stage; the same command again ends as if nothing had happened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from sense import records
from sense.stages import STAGES
from tests import mlflow_store, pipeline
from tests.pipeline import Ended, Place, Run

pytestmark = pytest.mark.slow

PARAMS = pipeline.sections()
SLOW = {"sft", "dpo", "evaluate", "publish"}  # killed at every fourth moment of the delivery, the others at every one


@dataclass(frozen=True)
class Whole:
    """The pipeline, run from end to end without a kill: its files, and what each section's run counted."""

    place: Place
    ended: Mapping[str, Ended]

    def outputs(self, section: str) -> dict[str, Path]:
        return pipeline.outputs(section, self.place.out)

    def digests(self, section: str) -> dict[str, str]:
        return pipeline.digests(self.outputs(section))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """For the processes to come: two of them share a small machine with whatever else runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("TQDM_DISABLE", "1")
        yield patch


@pytest.fixture(scope="module")
def whole(tmp_path_factory, one_thread):
    place = Place(tmp_path_factory.mktemp("whole"))
    _store(place, one_thread)
    ended = {}
    for section in pipeline.SECTIONS:
        order = Run(section, PARAMS[section], pipeline.inputs(section, place.out), pipeline.outputs(section, place.out), place)
        ended[section] = pipeline.run(order)
        assert ended[section].code == 0, section
    return Whole(place, ended)


def _store(place, patch):
    place.store.mkdir(parents=True)
    return mlflow_store.fresh(place.store, patch)


def _order(section, whole, place):
    """The section's run on the undisturbed pipeline's inputs, with outputs of its own."""
    given = pipeline.inputs(section, whole.place.out)
    return Run(section, PARAMS[section], given, pipeline.outputs(section, place.out), place)


def _lay_old(order, whole):
    """Puts an older edition under each final name, a folder where a folder will come; returns the digests."""
    for name, path in order.outputs.items():
        files = [path / "a.txt", path / "inner" / "b.txt"] if whole.outputs(order.section)[name].is_dir() else [path]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("old")
    return pipeline.digests(order.outputs)


@pytest.mark.parametrize("section", STAGES)
def test_killed_again_and_again_a_stage_ends_as_if_it_had_not_been(section, whole, tmp_path, monkeypatch):
    place = Place(tmp_path)
    client = _store(place, monkeypatch)
    order = _order(section, whole, place)
    old, wanted = _lay_old(order, whole), whole.digests(section)
    moments = [{"any": int(share * whole.ended[section].counts["any"]), "delivery": 1} for share in (0.1, 0.35, 0.7)]
    moments += [{"delivery": number} for number in range(2, 200, 4 if section in SLOW else 1)]
    for moment in moments:
        ended = pipeline.run(replace(order, kill=moment))
        if ended.code == 0:
            break
        assert ended.code == -SIGKILL, moment
        for name, digest in pipeline.digests(order.outputs).items():
            assert digest in _whole_editions(name, old, wanted, order), (moment, name)
    assert moment["delivery"] > 2  # it was killed in the middle of the delivery too
    assert _comparable(order.outputs) == _comparable(whole.outputs(section))
    assert sorted(path.name for path in place.out.rglob(".*")) == []
    assert list(place.work.iterdir()) == []
    _check_store(section, client)


def _whole_editions(name, old, wanted, order):
    return {old[name], wanted[name]}


def _comparable(places):
    return pipeline.digests(places)


def _check_store(section, client):
    pass
