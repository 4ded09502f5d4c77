"""`sense models card` and `sense models push`, on a stand-in for a hub."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard, constants

from sense.errors import InputError
from sense.registry import hub as hub_client
from sense.registry import hub_card
from sense.registry.gate import VersionScore
from tests.hub_server import TOKEN, Hub, Repository
from tests.registered_models import publish_version, run_json, run_models, run_refused, safetensors_file

REPO = "acme/text-to-sql"
# what huggingface_hub's uploads by Git LFS make httpx warn of
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    """A hub of the environment, which stores large files as Git LFS does, and not in chunks."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running


def test_the_card_has_base_licence_and_the_measured_ex_with_its_interval(two_versions, capsys, tmp_path):
    file = tmp_path / "README.md"
    assert run_models("card", "2", "--license", "apache-2.0", "-o", str(file)) == 0
    assert run_models("card", "2", "--license", "apache-2.0") == 0
    assert capsys.readouterr().out == file.read_text()
    card = ModelCard(file.read_text())
    assert card.text.startswith("\n# sense\n")
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == (
        "apache-2.0",
        "transformers",
        "text-generation",
    )
    assert card.data.tags == ["text-to-sql", "sql", "sense"]
    dev, heldout = card.data.eval_results
    assert (dev.dataset_type, dev.dataset_revision, dev.metric_value) == ("sense-dev", "aaa", 0.6)
    assert dev.metric_args == {"mode": "strict@1", "ci95_low": 0.1, "ci95_high": 0.9}
    assert (heldout.dataset_revision, heldout.metric_value) == ("hhh", 0.25)
    assert heldout.dataset_name == "Synthetic questions (heldout)"  # on other databases, or on those of training


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ({"name": "HuggingFaceTB/SmolLM2-135M"}, {"base_model": "HuggingFaceTB/SmolLM2-135M", "base_model_relation": "finetune"}),
        ({"name": "/data/models/smol"}, {}),
        ({"name": "smol"}, {}),
        ({"nano": {"hidden": 64}}, {}),
    ],
)
def test_the_base_is_named_if_it_is_on_the_hub(base, expected):
    metadata = hub_card.metadata("sense", {"base": base, "recipe": {"sft": {}, "dpo": {}}}, {}, None)
    assert {key: value for key, value in metadata.items() if key.startswith("base")} == expected
    assert metadata["tags"][-2:] == ["sft", "dpo"]
    recipe = {"sft": {}, "dpo": {"method": "grpo"}}
    assert hub_card.metadata("sense", {"base": base, "recipe": recipe}, {}, None)["tags"][-2:] == ["sft", "grpo"]
    assert not {"license", "model-index"} & metadata.keys()


def test_a_base_in_a_folder_is_no_name_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "models" / "smol").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "base_model" not in hub_card.metadata("sense", {"base": {"name": "models/smol"}}, {}, None)


def test_a_set_without_interval_or_ex():
    scores = {"dev": VersionScore("1", "aaa", 0.5, mode="strict@2"), "heldout": VersionScore("1", "hhh", None)}
    (model,) = hub_card.metadata("sense", {}, scores, None)["model-index"]
    (result,) = model["results"]
    assert result["metrics"][0]["args"] == {"mode": "strict@2"}


def test_a_version_is_sent_with_its_card_in_one_commit(two_versions, hub, capsys):
    pushed = run_json(capsys, "push", "challenger", REPO, "--license", "mit")
    assert pushed == {
        "name": "sense",
        "version": "2",
        "repo": REPO,
        "url": f"{hub.address}/{REPO}",
        "revision": "main",
        "commit": f"{1:040x}",
    }
    repository = hub.repositories[REPO]
    assert repository.commits == [{"branch": "main", "summary": "sense version 2"}]
    assert not repository.private
    files = repository.branches["main"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors", "sense.json", "tokenizer_config.json"]
    assert files["model.safetensors"] == safetensors_file(b"b")
    assert json.loads(files["config.json"])["architectures"] == ["LlamaForCausalLM"]
    assert run_models("card", "2", "--license", "mit") == 0
    assert files["README.md"].decode() == capsys.readouterr().out
    assert yaml.safe_load(files["README.md"].decode().split("---\n")[1])["license"] == "mit"


def test_the_token_goes_to_the_hub_alone_and_is_printed_nowhere(two_versions, hub, capsys, caplog):
    assert run_models("push", "1", REPO) == 0
    hub.fail["/preupload/"] = 403
    assert run_models("push", "2", REPO) == 2
    printed = capsys.readouterr()
    assert TOKEN not in printed.out + printed.err + caplog.text
    assert "refused, Authorization: Bearer ***" in printed.err
    assert {token for _, path, token in hub.requests if path.startswith("/storage/")} == {""}
    assert {token for _, path, token in hub.requests if not path.startswith("/storage/")} == {f"Bearer {TOKEN}"}


def test_what_is_there_stays_but_for_weights_of_another_model(two_versions, hub):
    shard = "model-00001-of-00002.safetensors"
    old = {"LICENSE": b"mine", "README.md": b"old", shard: b"old", "model.safetensors.index.json": b"{}"}
    hub.repositories[REPO] = Repository(private=False, branches={"main": dict(old)})
    assert run_models("push", "1", REPO) == 0
    files = hub.repositories[REPO].branches["main"]
    assert files["LICENSE"] == b"mine"
    assert files["README.md"] != b"old"
    assert sorted(set(old) - set(files)) == [shard, "model.safetensors.index.json"]


def test_a_push_is_repeated_without_sending_the_weights_twice(two_versions, hub):
    hub.fail["/commit/"] = 500
    assert run_models("push", "1", REPO) == 2
    assert hub.repositories[REPO].branches["main"] == {}
    hub.fail.clear()
    assert run_models("push", "1", REPO) == 0
    assert len([path for method, path, _ in hub.requests if method == "PUT"]) == 1
    assert "model.safetensors" in hub.repositories[REPO].branches["main"]


def test_a_branch_and_a_private_repository(two_versions, hub, capsys):
    assert run_json(capsys, "push", "1", REPO, "--private", "--revision", "v1/trial")["revision"] == "v1/trial"
    repository = hub.repositories[REPO]
    assert repository.private
    assert repository.branches["main"] == {}
    assert "model.safetensors" in repository.branches["v1/trial"]


def test_a_public_repository_is_not_taken_for_a_private_one(two_versions, hub, capsys):
    hub.repositories[REPO] = Repository(private=False)
    message = run_refused(capsys, "push", "1", REPO, "--private")
    assert f"{REPO}: a public repository, and --private asks for a private one" in message
    assert hub.repositories[REPO].branches["main"] == {}


@pytest.mark.parametrize("token", [None, "", " \n"])
def test_without_a_token_nothing_is_sent(two_versions, hub, capsys, monkeypatch, tmp_path, token):
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text("hf_ofAnotherLogin")
    message = run_refused(capsys, "push", "1", REPO)
    assert f"HF_TOKEN: not set, and nobody may write to {hub.address} without a token" in message
    assert f"{hub.address}/settings/tokens" in message
    assert hub.requests == []


@pytest.mark.parametrize(
    ("path", "status", "meaning"),
    [
        ("/api/models/", 401, "the hub refuses the token of HF_TOKEN; create a new one"),
        ("/api/repos/create", 403, "the token of HF_TOKEN may not write there"),
        ("/preupload/", 404, "no such model repository or branch, or the token may not see it; name another"),
        (
            "/api/repos/create",
            409,
            "there is something of that name, which is no model repository or which the token may not see",
        ),
        ("/commit/", 429, "too many requests; run the same command again later"),
        ("/commit/", 500, "the hub answers with status 500; run the same command again later"),
        ("/storage/", 403, "the token of HF_TOKEN may not write there"),
    ],
)
def test_what_a_hub_refuses(two_versions, hub, capsys, path, status, meaning):
    hub.fail[path] = status
    message = run_refused(capsys, "push", "1", REPO)
    assert f"{REPO} on {hub.address}: {meaning}" in message
    assert "Traceback" not in message


def test_a_hub_that_cannot_be_reached(two_versions, hub, capsys, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    message = run_refused(capsys, "push", "1", REPO)
    assert "http://127.0.0.1:1: cannot be reached, or sent what is no answer of a hub" in message
    assert "check the network and HF_ENDPOINT" in message


@pytest.mark.parametrize("address", ["https://ann:pw5@hub.acme.test", "https://ann@hub.acme.test/"])
def test_an_address_with_a_password_is_refused_and_not_printed(monkeypatch, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(InputError) as refused:
        hub_client.target(REPO, None, False)
    assert str(refused.value) == "HF_ENDPOINT: holds a name or password; leave them out, the token is HF_TOKEN"


def test_a_machine_that_may_not_ask_the_hub(two_versions, hub, capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = run_refused(capsys, "push", "1", REPO)
    assert "HF_HUB_OFFLINE" in message
    assert hub.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("push", "1", "sense"), "sense: no owner; write OWNER/NAME"),
        (("push", "1", "a/b/c"), "write OWNER/NAME"),
        (("push", "9", REPO), "no version or alias '9'"),
        (("push", "1", REPO, "--license", "My Own"), "--license 'My Own': write the hub's identifier"),
        (("card", "1", "--license", ""), "write the hub's identifier"),
        (("card", "nope"), "no version or alias 'nope'"),
    ],
)
def test_wrong_arguments(two_versions, hub, capsys, arguments, message):
    assert message in run_refused(capsys, *arguments)
    assert hub.requests == []


def test_a_version_whose_sense_json_is_no_object(client, hub, capsys, tmp_path):
    publish_version(tmp_path, "a")
    (file,) = (path for path in tmp_path.rglob("artifacts/model/sense.json"))
    file.write_text("[]")
    assert "sense version 1: no model of SENSE" in run_refused(capsys, "card", "1")
