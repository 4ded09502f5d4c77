"""A text such as "y" arrived in a task as true.

Report: kubeflow/pipelines #9451. Right is that every text in the compiled pipeline stands in quotes, in both documents, because
KFP's server and Kubernetes read YAML as Go does, where `y`, `1e-5` and `0o14` are no texts.
"""

from pathlib import Path

from sense import cli
from tests.yaml_texts import read_as_go, read_as_python

ROOT = Path(__file__).parents[2]
MORE = """
  env: {VERBOSE: "y", RATE: "1e-5", MODE: "on", OCTAL: "0o14"}
resources:
  defaults: {node_selector: {gpu: "y"}, tolerations: [{key: dedicated, operator: Equal, value: "n", effect: NoSchedule}]}
"""


def test_texts_of_the_environment_and_of_nodes_are_texts_for_go(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    params, output = tmp_path / "params.yaml", tmp_path / "pipeline.yaml"
    params.write_text((ROOT / "configs" / "tiny.yaml").read_text() + MORE)
    assert cli.main(["pipeline", "compile", "--params", str(params), "-o", str(output)]) == 0
    spec, platform = read_as_go(output.read_text())
    assert [spec, platform] == read_as_python(output.read_text())
    task = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-sft"]
    assert task["nodeSelector"]["labels"] == {"gpu": "y"}
    assert task["tolerations"] == [{"effect": "NoSchedule", "key": "dedicated", "operator": "Equal", "value": "n"}]
    env = spec["deploymentSpec"]["executors"]["exec-sft"]["container"]["env"]
    assert {"VERBOSE": "y", "RATE": "1e-5", "MODE": "on", "OCTAL": "0o14"}.items() <= {
        one["name"]: one["value"] for one in env
    }.items()
