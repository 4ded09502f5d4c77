"""The Helm chart's values for a version."""

import yaml

from tests.registered_models import (
    publish_inputs,
    run_models,
    run_publish,
    run_refused,
)


def test_values_are_one_resolved_version_and_the_one_beside_it(two_versions, tmp_path, capsys):
    digest = {v: two_versions.get_model_version("sense", v).tags["sense.digest.sense"] for v in "12"}
    prompt = {"schemaStyle": "compact", "sampleValues": 0, "target": "sql"}
    first, second = ({"version": v, "digest": digest[v], "prompt": prompt} for v in "12")

    def values(which: str) -> dict:
        capsys.readouterr()
        assert run_models("values", which) == 0
        return yaml.safe_load(capsys.readouterr().out)["model"]

    assert values("sense@champion") == {"name": "sense", **first, "previous": None}
    assert values("2") == {"name": "sense", **second, "previous": first}  # the champion is served when it arrives
    assert run_models("promote", "2") == 0
    assert values("champion") == {"name": "sense", **second, "previous": first}
    assert run_models("rollback") == 0
    assert values("champion") == {"name": "sense", **first, "previous": second}
    file = tmp_path / "values.champion.yaml"
    capsys.readouterr()
    assert run_models("values", "champion", "-o", str(file)) == 0
    assert capsys.readouterr().out == ""
    assert yaml.safe_load(file.read_text())["model"] == {"name": "sense", **first, "previous": second}
    for tag in ("sense.digest.model", "sense.digest.sense"):
        two_versions.delete_model_version_tag("sense", "1", tag)
    assert "carries no digest" in run_refused(capsys, "values", "champion", "-o", str(tmp_path / "other.yaml"))
    assert not (tmp_path / "other.yaml").exists()


def test_values_say_that_a_version_writes_a_linking_line(two_versions, tmp_path, capsys):
    prompt = {"schema_style": "ddl", "sample_values": 3, "target": "linked"}
    run_publish(tmp_path / "linked", publish_inputs(tmp_path / "linked" / "inputs", prompt=prompt))
    capsys.readouterr()
    assert run_models("values", "3") == 0
    model = yaml.safe_load(capsys.readouterr().out)["model"]
    assert model["prompt"] == {"schemaStyle": "ddl", "sampleValues": 3, "target": "linked"}
    assert model["previous"]["prompt"]["target"] == "sql"
