"""Models from elsewhere than MLflow: what the chart renders for each source, and its init container run on stand-ins of them."""

import json
import os
import subprocess
import sys

import helm_python as helm
import pytest

from sense import records
from tests.chart.rendering import CHAMPION, documents, fetch_command, find, pod, render, values, vllm_command
from tests.chart.validity import check
from tests.google_store import GoogleStore
from tests.object_store import BUCKET, ObjectStore
from tests.weights import safetensors_file

IMAGE = f"registry.example.com/models/sense@sha256:{'ab' * 32}"
URI = {"kind": "uri", "uri": "s3://models/sense/3", "existingSecret": "store-keys"}
CLAIM = {"kind": "claim", "claim": {"name": "models", "path": "sense/3", "accessMode": "ReadOnlyMany"}}
OCI = {"kind": "image", "image": {"reference": IMAGE, "path": "model"}}
SOURCES = {"uri": URI, "claim": CLAIM, "image": OCI}
FULL, ONE, CPU = "values-full.yaml", "values-one-gpu.yaml", "values-cpu.yaml"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def options(source, **more):
    return {"modelSource": source, "mlflow.trackingUri": "", "vllm.storage.persistence.enabled": False} | more


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("file", [ONE, FULL])
def test_what_is_rendered_is_valid_and_has_no_secret(file, kind):
    adapters = {"mlflow.trackingUri": "http://mlflow", "vllm.storage.persistence.enabled": True} if file == FULL else {}
    manifests = render(file, set=options(SOURCES[kind], **adapters))
    for manifest in manifests:
        check(manifest)
    spec = pod(find(manifests, "Deployment", "-vllm"))
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in (*spec["initContainers"], *spec["containers"]):
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    source = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "source"]
    assert [mount["readOnly"] for mount in source] == ([True] if kind != "uri" else [])
    assert ("models" in volumes) == (kind == "uri" or file == FULL)


def test_each_source_is_where_vllm_looks_for_the_model():
    paths, volumes, environment = {}, {}, {}
    for kind, source in SOURCES.items():
        manifests = render(ONE, set=options(source))
        paths[kind] = vllm_command(manifests)[0][2]
        spec = pod(find(manifests, "Deployment", "-vllm"))
        volumes[kind] = [volume for volume in spec["volumes"] if volume["name"] == "source"]
        environment[kind] = {one["name"] for one in spec["initContainers"][0]["env"]}
    digest = values(CHAMPION)["model"]["digest"]
    folder = f"/models/sense/{values(CHAMPION)['model']['version']}-{digest[:12]}/model"
    assert paths == {"uri": folder, "claim": "/source/sense/3", "image": "/source/model"}
    assert volumes["claim"] == [{"name": "source", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}]
    assert volumes["image"] == [{"name": "source", "image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}}]
    assert not any("MLFLOW_TRACKING_URI" in names for names in environment.values())


@pytest.mark.parametrize("more", [{}, {"output": "kserve"}])
def test_a_canary_comes_from_mlflow_and_is_a_deployment(more):
    canary = {"version": "9", "digest": "ab" * 32, "prompt": {"schemaStyle": "ddl", "sampleValues": 0}}
    manifests = render(ONE, set=options(OCI, **{"mlflow.trackingUri": "http://mlflow", "model.canary": canary}, **more))
    for manifest in manifests:
        check(manifest)
    (argument,) = pod(find(manifests, "Deployment", "-canary-vllm"))["initContainers"][0]["args"]
    assert json.loads(argument)["uri"] == "models:/sense/9"


def test_credentials_are_references_that_the_download_alone_reads():
    source = {"kind": "uri", "uri": "gs://models/sense/3", "keyFile": {"existingSecret": "google", "key": "reader.json"}}
    spec = pod(find(render(ONE, set=options(source)), "Deployment", "-vllm"))
    init, vllm = spec["initContainers"][0], spec["containers"][0]
    assert {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/credentials/reader.json"} in init["env"]
    assert "credentials" not in {mount["name"] for mount in vllm["volumeMounts"]}
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "credentials"]
    assert volume["secret"] == {"secretName": "google", "items": [{"key": "reader.json", "path": "reader.json"}]}
    init = pod(find(render(ONE, set=options(URI)), "Deployment", "-vllm"))["initContainers"][0]
    assert init["envFrom"] == [{"secretRef": {"name": "store-keys"}}]


def test_the_network_is_open_to_the_source_and_not_to_mlflow():
    off = {
        "vllm.lora.adapters": [],
        "networkPolicy.vllmClients": [],
        "inferencePool.enabled": False,
        "inferencePool.parentRefs": [],
        "inferencePool.hostnames": [],
    }
    policies = {
        kind: find(render(FULL, set=options(source, **off)), "NetworkPolicy", "-vllm")["spec"]["egress"]
        for kind, source in SOURCES.items()
    }
    for rules in policies.values():
        assert "10.20.0.0/16" not in json.dumps(rules)  # MLflow's
        assert "10.30.0.0/16" in json.dumps(rules)  # the object store's


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (ONE, {"modelSource.kind": "uri"}, "modelSource.kind is uri, but modelSource.uri is empty"),
        (ONE, {"modelSource.kind": "claim"}, "modelSource.kind is claim, but modelSource.claim.name is empty"),
        (ONE, {"modelSource.kind": "image"}, "modelSource.kind is image, but modelSource.image.reference is empty"),
        (ONE, {"modelSource.uri": "s3://models/b"}, "modelSource.uri is set, but modelSource.kind is mlflow: set kind to uri"),
        (ONE, options(CLAIM | {"uri": "s3://models/b"}), "modelSource.uri is set, but modelSource.kind is claim"),
        (ONE, options(URI, **{"model.digest": ""}), "model.digest is missing: without it nobody can tell"),
        (ONE, options(OCI, **{"vllm.download.verify": False}), "vllm.download.verify is false, but modelSource.kind is image"),
        (ONE, options(CLAIM | {"existingSecret": "s"}), "are for kind uri, but it is claim"),
        (ONE, options(URI | {"keyFile": {"existingSecret": "s"}}), "modelSource.keyFile is for gs:// alone"),
        (ONE, options({"kind": "image", "image": {"reference": "models/sense:3"}}), "models/sense:3 names no digest"),
        (ONE, options({"kind": "claim", "claim": {"name": "m", "path": "a/../b"}}), "the path a/../b leads out of its volume"),
        (ONE, options(CLAIM, **{"vllm.storage.persistence.enabled": True}), "vllm.storage.persistence is for downloads"),
        (FULL, options({"kind": "claim", "claim": {"name": "m"}}), "modelSource.claim.accessMode is ReadWriteOnce with up to 6"),
        (FULL, options(URI), "mlflow.trackingUri is missing: vllm.lora.adapters come from MLflow"),
        (FULL, options(URI, **{"networkPolicy.artifacts": []}), "networkPolicy.artifacts is empty: the download could not reach"),
        (
            ONE,
            options(OCI, **{"model.canary": {"version": "9", "digest": "", "prompt": {"schemaStyle": "ddl", "sampleValues": 0}}}),
            "mlflow.trackingUri is missing: model.canary comes from MLflow",
        ),
        (ONE, {"modelSource.kind": "http"}, "/modelSource/kind"),
        (ONE, options({"kind": "uri", "uri": "s3://key:secret@bucket/a"}), "/modelSource/uri"),
        (ONE, options({"kind": "uri", "uri": "https://host/a"}), "/modelSource/uri"),
        (ONE, options({"kind": "uri", "uri": "gs://models/sense"}), "/modelSource/uri"),  # MLflow would lose the first letter
        (ONE, options({"kind": "uri", "url": "s3://models/b"}), "url"),
        (ONE, options({"kind": "claim", "claim": {"name": "m", "path": "/a"}}), "/modelSource/claim/path"),
    ],
)
def test_sources_that_make_no_sense_are_refused(file, changes, message):
    with pytest.raises(helm.HelmError) as error:
        documents(values(file, CHAMPION, set=changes))
    assert message in str(error.value)


def write_model(folder):
    """A model folder in two shards, as it was published; returns its digest."""
    folder.mkdir(parents=True)
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    for name, content in {"config.json": {}, "model.safetensors.index.json": index, "sense.json": {"prompt": {}}}.items():
        records.write_json(folder / name, content)
    for shard in SHARDS:
        (folder / shard).write_bytes(safetensors_file(shard.encode() * 100))
    digest = records.digest(folder)
    (folder / "README.md").write_text("# card\n")
    return digest


def run_init(manifests, mounts, environment=None):
    """(exit code, output) of the init container, its volumes replaced by folders."""
    command, env = fetch_command(manifests, mounts)
    command = [sys.executable if word == "python" else word for word in command]
    surroundings = {**os.environ, **env, "HOME": str(next(iter(mounts.values()))), "POD_NAME": "pod-a", **(environment or {})}
    process = subprocess.run(
        command,
        env=surroundings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        check=False,
    )
    return process.returncode, process.stdout


def missing(folder):
    (folder / SHARDS[1]).unlink()


def cut_off(folder):
    with (folder / SHARDS[1]).open("r+b") as file:
        file.truncate(200)


def changed(folder):
    (folder / "sense.json").write_text('{"prompt": {"other": 1}}')


FAULTS = {
    missing: f"{SHARDS[1]} is missing",
    cut_off: f"{SHARDS[1]} ends after 200 of {len(safetensors_file(SHARDS[1].encode() * 100))} bytes",
    changed: "it was changed since it was published",
}


@pytest.mark.parametrize(("source", "name"), [(CLAIM, "claim models"), (OCI, IMAGE)])
def test_a_mounted_model_is_compared_before_it_is_served(tmp_path, source, name):
    kind = source["kind"]
    model = tmp_path / "volume" / source[kind]["path"]
    digest = write_model(model)
    manifests = render(CPU, set=options(source, **{"model.digest": digest, "model.previous": None}))
    mounts = {"/source": tmp_path / "volume"}
    code, output = run_init(manifests, mounts)
    assert (code, output) == (0, f"{name}: comparing {model}\n{name}: {model} is whole\n")
    whole = {file: file.read_bytes() for file in model.iterdir()}
    for spoil, message in FAULTS.items():
        spoil(model)
        code, output = run_init(manifests, mounts)
        assert code == 3
        assert f"not {digest}: {message}; copy it there again" in output
        for file, content in whole.items():
            file.write_bytes(content)
    assert run_init(manifests, mounts)[0] == 0
    (model / "config.json").unlink()
    code, output = run_init(manifests, mounts)
    assert (code, "does the volume hold the model" in output) == (3, True)


@pytest.fixture
def store():
    with ObjectStore() as running:
        yield running


def upload(store, folder, prefix):
    for file in folder.iterdir():
        store.client.put_object(Bucket=BUCKET, Key=f"{prefix}/{file.name}", Body=file.read_bytes())


def test_a_model_in_an_object_store_is_downloaded_compared_and_served_whole_or_not_at_all(tmp_path, store):
    digest = write_model(tmp_path / "model")
    upload(store, tmp_path / "model", "models/sense/3")
    source = {"kind": "uri", "uri": f"s3://{BUCKET}/models/sense/3", "existingSecret": "keys"}
    manifests = render(CPU, set=options(source, **{"model.digest": digest, "model.previous": None}))
    mounts = {"/models": tmp_path / "models"}
    served = vllm_command(manifests, mounts)[0]
    served = tmp_path / served[served.index("--model") + 1]
    store.client.put_object(Bucket=BUCKET, Key=f"models/sense/3/{SHARDS[0]}", Body=b"x" * 50)  # as a copy that broke off
    code, output = run_init(manifests, mounts, store.environment)
    assert code == 3
    assert "copy it there again" in output
    assert not served.exists()
    assert [path for path in (tmp_path / "models").rglob("*") if path.is_file()] == []
    upload(store, tmp_path / "model", "models/sense/3")
    code, output = run_init(manifests, mounts, store.environment)
    assert code == 0, output
    assert {file.name: file.read_bytes() for file in served.iterdir()} == {
        file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()
    }
    code, output = run_init(manifests, mounts)  # without the store: nothing is fetched again
    assert (code, output) == (0, f"{source['uri']}: {served.parent} is there\n")


def test_an_object_store_that_cannot_be_read_ends_the_container(tmp_path, store):
    source = {"kind": "uri", "uri": "s3://no-such-bucket/models/sense"}
    manifests = render(CPU, set=options(source, **{"model.digest": "ab" * 32}))
    code, output = run_init(manifests, {"/models": tmp_path / "models"}, store.environment)
    assert code == 1
    assert "s3://no-such-bucket/models/sense: the download failed (see above): is modelSource.uri right" in output


def test_google_s_store_is_read_likewise(tmp_path):
    digest = write_model(tmp_path / "model")
    objects = {f"models/sense/3/{file.name}": file.read_bytes() for file in (tmp_path / "model").iterdir()}
    source = {"kind": "uri", "uri": "gs://models/sense/3"}
    manifests = render(CPU, set=options(source, **{"model.digest": digest, "model.previous": None}))
    with GoogleStore(objects) as running:
        code, output = run_init(manifests, {"/models": tmp_path / "models"}, running.environment)
    assert code == 0, output
    (shard,) = (tmp_path / "models").rglob(SHARDS[1])
    assert shard.read_bytes() == (tmp_path / "model" / SHARDS[1]).read_bytes()
