"""A promotion is `helm upgrade -f values.champion.yaml`: what changes then, and that going back gives the old bytes."""

import difflib

import pytest

from tests.chart.rendering import CHAMPION, documents, find, render, values

FULL = "values-full.yaml"
PROMPT = {"schemaStyle": "compact", "sampleValues": 0}
THREE = {"model": {"name": "sense", "version": "3", "digest": "33" * 32, "prompt": PROMPT, "previous": None}}
FOUR = {
    "model": {
        "name": "sense",
        "version": "4",
        "digest": "44" * 32,
        "prompt": {"schemaStyle": "ddl", "sampleValues": 2},
        "previous": {"version": "3", "digest": "33" * 32, "prompt": PROMPT},
    }
}


def texts(model):
    return documents(values(FULL, set=model))


def changes(before, after):
    """Template -> lines that came or went, without their indentation."""
    result = {}
    for name in before.keys() | after.keys():
        lines = difflib.ndiff(before.get(name, "").splitlines(), after.get(name, "").splitlines())
        moved = [f"{line[0]} {line[2:].strip()}" for line in lines if line[0] in "+-"]
        if moved:
            result[name.removeprefix("sense/templates/")] = moved
    return result


def pods(version, digest):
    """The lines of vLLM's Deployment in which a version stands: labels, annotations, download, arguments."""
    folder = f"/models/sense/{version}-{digest[:12]}"
    return [
        f'sense/model-version: "{version}"',
        f'sense/model-version: "{version}"',
        f'sense/model-digest: "{digest[:12]}"',
        f'sense/model-digest: "{digest}"',
        f"""- '{{"digest":"{digest}","into":"{folder}","needs":"model/config.json","uri":"models:/sense/{version}"}}'""",
        f"- {folder}/model",
        f"- sense-{version}",
    ]


def test_a_promotion_changes_the_version_and_nothing_else():
    changed = changes(texts(THREE), texts(FOUR))
    assert changed.keys() == {
        "vllm-deployment.yaml",
        "gateway-configmap.yaml",
        "gateway-deployment.yaml",
        "prefetch.yaml",
        "tests/ask.yaml",
        "NOTES.txt",
    }
    assert sorted(line[2:] for line in changed["vllm-deployment.yaml"] if line[0] == "-") == sorted(pods("3", "33" * 32))
    assert sorted(line[2:] for line in changed["vllm-deployment.yaml"] if line[0] == "+") == sorted(pods("4", "44" * 32))
    downloads = [pods("3", "33" * 32)[4], pods("4", "44" * 32)[4]]
    assert [line.split(":")[0] for line in changed["gateway-deployment.yaml"]] == ["- checksum/config", "+ checksum/config"]
    assert not [line for line in changed["gateway-configmap.yaml"] if line.startswith("-")]
    assert changed["tests/ask.yaml"] == ['- value: "3"', '+ value: "4"']
    assert sorted(changed["prefetch.yaml"]) == sorted(f"{sign} {line}" for sign, line in zip("-+", downloads, strict=True))


def claims(*modes):
    return {"gateway.databases.claims": [{"name": f"d{n}", "claimName": f"c{n}", "accessMode": m} for n, m in enumerate(modes)]}


MANY = "ReadWriteMany"
SHARED = claims(MANY, "ReadOnlyMany")


@pytest.mark.parametrize(
    ("options", "interrupted", "reasons"),
    [
        (
            {},
            True,
            ["gateway.feedback.accessMode is ReadWriteOnce", "gateway.databases.claims (sales) accessMode is ReadWriteOnce"],
        ),
        (SHARED, True, ["gateway.feedback.accessMode is ReadWriteOnce"]),
        (SHARED | {"gateway.feedback.accessMode": MANY}, False, []),
        (SHARED | {"gateway.feedback.enabled": False}, False, []),
        (SHARED | {"gateway.feedback.enabled": False, "gateway.strategy": {"type": "Recreate"}}, True, []),
        (
            claims(MANY, "ReadWriteOncePod") | {"gateway.feedback.enabled": False},
            True,
            ["gateway.databases.claims (d1) accessMode is ReadWriteOncePod"],
        ),
    ],
)
def test_the_notes_say_whether_and_why_a_promotion_interrupts_the_gateway(options, interrupted, reasons):
    texts_by_path = documents(values("values-one-gpu.yaml", CHAMPION, set=options))
    notes = texts_by_path["sense/templates/NOTES.txt"]
    assert ("nothing is answered for some seconds" in notes) is interrupted
    assert ("type: Recreate" in texts_by_path["sense/templates/gateway-deployment.yaml"]) is interrupted
    assert sorted(line.strip() for line in notes.splitlines() if " is ReadWrite" in line) == sorted(reasons)
    assert ("A claim keeps the access" in notes) is bool(reasons)


def test_while_a_rollout_shows_two_versions_the_gateway_knows_both():
    text = texts(FOUR)["sense/templates/gateway-configmap.yaml"]
    assert '"sense-3":' in text
    assert '"sense-4":' in text
    assert '"sense-4":' not in texts(THREE)["sense/templates/gateway-configmap.yaml"]


def test_what_selects_pods_survives_a_promotion():
    """A Deployment's selector cannot be changed, and a Service must show both versions."""
    for kind in ("Deployment", "Service", "PodDisruptionBudget", "ServiceMonitor"):
        for part in ("-vllm", "-gateway"):
            before, after = (find(render(FULL, CHAMPION, set=model), kind, part)["spec"]["selector"] for model in (THREE, FOUR))
            assert before == after


def test_going_back_gives_the_old_bytes():
    assert texts(THREE) == texts(THREE | {})
    assert changes(texts(FOUR), texts(THREE)).keys() == changes(texts(THREE), texts(FOUR)).keys()


@pytest.mark.parametrize(
    ("options", "template"),
    [
        ({"gateway.limits": {"rows": 5}}, "gateway"),
        ({"vllm.maxModelLen": 1024}, "vllm"),
    ],
)
def test_a_change_restarts_only_the_pods_it_concerns(options, template):
    changed = changes(texts(THREE), documents(values(FULL, set={**THREE, **options})))
    assert {name.partition("-")[0] for name in changed} == {template}
