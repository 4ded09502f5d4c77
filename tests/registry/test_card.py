"""The model card."""

from sense.registry import card
from tests.registered_models import publish_version, run_json
from tests.report_runs import read_metrics, write_run


def test_the_card_tells_recipe_data_limits_and_no_more_than_that(client, tmp_path, capsys):
    recipe = {"dpo": {"beta": 0.1, "loss": "sigmoid", "label_smoothing": 0.1}, "sft": {"note": "`|\n# forged\u202e" + "x" * 500}}
    publish_version(tmp_path, "a", recipe=recipe)
    whole = run_json(capsys, "show", "1")["card"]
    assert "- `dpo.beta`: `0.1`" in whole
    assert "- `dpo.label_smoothing`: `0.1`" in whole
    assert "- `base.name`: `x`" in whole
    assert "\n# forged" not in whole
    assert "\u202e" not in whole
    assert "x" * 200 not in whole
    assert "| dev | hard | 5 | 60.0% |" in whole
    for name in ("predictions", "dev", "heldout", "strong", "samples", "pairs"):
        assert f"- {name}: `{client.get_model_version('sense', '1').tags[f'sense.digest.{name}']}`" in whole
    assert "Questions are in English" in whole
    assert len(client.get_model_version("sense", "1").description) <= 5000


def test_inline_code_cannot_be_left():
    assert card.code("a`b|c\nd") == "`a'b¦c d`"
    assert card.code("") == "–"


def test_the_card_tells_the_results_on_every_set_and_the_origin(tmp_path):
    sets = read_metrics(write_run(tmp_path), "evaluate")["sets"]
    recipe = {"dpo": {"beta": 0.1, "loss": "sigmoid"}}
    markdown = card.render(card.CardFacts("sense", sets, {}, recipe, {"strong": "12ab"}, "abc", 1024))
    assert "| held out | SENSE | 4 | 75.0% | 0.0% to 90.0% | 75.0% | < 0.001 |" in markdown
    for fact in (
        "`abc`",
        "dpo.beta",
        "`0.1`",
        "`12ab`",
        "then trained by preference learning (DPO) on pairs of executed samples.",
    ):
        assert fact in markdown
    sets["dev"] |= {"suite": {"databases": 9}, "perturbation": {"kind": "no-keys", "set": "heldout"}}
    for model in sets["dev"]["models"].values():
        model |= {"ts": 0.5, "ts_low": 0.25, "ts_high": 0.75}
    recipe = {"dpo": {"method": "rft"}}
    markdown = card.render(card.CardFacts("sense", sets, {}, recipe, {}, "abc", 1024))
    assert "then trained by fine-tuning on executed samples that are right (RFT)." in markdown
    assert "right on all databases of its test suite (9 further ones in all), on `dev`: base 50.0%," in markdown
    assert "(questions, a perturbed copy of held out: no-keys)" in markdown
