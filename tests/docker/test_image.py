"""The image as a cluster runs it: any user of group 0, a read-only root, no network; and nothing inside that need not be."""

import json
import re

import pytest

from sense import __version__, config, records
from sense.stages import execute
from tests.docker.container import ROOT, docker, run

pytestmark = pytest.mark.docker

USERS = ["", "123456:0"]  # the image's own, and one that no file of it knows
MAX_BYTES = 2.5e9
TOOLS = ["gcc", "g++", "cc", "c++", "clang", "ld", "make", "cmake", "nvcc"]
SECRET = re.compile(r"secret|token|password|credential|api_?key|access_?key", re.IGNORECASE)


@pytest.fixture(scope="module")
def inspected(image):
    return json.loads(docker("image", "inspect", image))[0]


# --- what it runs


def test_it_runs_a_command_and_without_one_prints_the_help(image):
    assert run(image, "sense", "--version") == f"sense {__version__}"
    assert run(image) == run(image, "sense", "--help")
    assert "usage: sense" in run(image)


@pytest.mark.parametrize("user", USERS)
def test_the_libraries_of_the_stages_can_be_imported(image, user):
    script = "import torch, trl, peft, accelerate, datasets, mlflow.transformers, dvc.api, dvc_s3; trl.SFTTrainer, trl.DPOTrainer"
    assert run(image, "python", "-c", f"{script}; print('imported')", user=user) == "imported"


@pytest.mark.parametrize("user", USERS)
def test_a_stage_writes_the_same_bytes_as_outside_the_image(image, user, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    ports = ["--seeds", "sense/seeds", "--seed", "/out/seed", "--dev", "/out/dev", "--metrics", "/out/ingest.json"]
    run(image, "sense", "ingest", "--params", "configs/tiny.yaml", *ports, user=user, mounts={out: "/out"})
    outputs = {name: tmp_path / name for name in ("seed", "dev", "metrics")}
    section = config.load(ROOT / "configs" / "tiny.yaml").ingest.model_dump()
    execute("ingest", section, {"seeds": ROOT / "sense" / "seeds"}, outputs)
    assert records.digest(out / "seed") == records.digest(outputs["seed"])
    assert records.digest(out / "dev") == records.digest(outputs["dev"])
    owner = (out / "ingest.json").stat()
    assert (owner.st_uid, owner.st_gid) == (int(user.partition(":")[0] or 1000), 0)


def test_kubeflows_executor_runs_a_component(image, tmp_path):
    (tmp_path / "component.py").write_text(
        "from kfp import dsl\n\n\n"
        "def measure(section: dict, metrics: dsl.Output[dsl.Metrics]) -> str:\n"
        "    from sense import config\n\n"
        "    metrics.log_metric('limit', config.IngestConfig(**section).dev_limit)\n"
        "    return 'measured'\n"
    )
    executor_input = {
        "inputs": {"parameterValues": {"section": {"dev_limit": 7}}},
        "outputs": {
            "parameters": {"Output": {"outputFile": "/out/answer"}},
            "artifacts": {
                "metrics": {"artifacts": [{"name": "metrics", "type": {"schemaTitle": "system.Metrics"}, "uri": "/out/metrics"}]}
            },
            "outputFile": "/out/executor_output.json",
        },
    }
    tmp_path.chmod(0o777)
    arguments = [
        "--component_module_path",
        "/out/component.py",
        "--executor_input",
        json.dumps(executor_input),
        "--function_to_execute",
        "measure",
    ]
    start = '_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main "$@"'
    run(image, "sh", "-ec", start, "sh", *arguments, user="123456:0", mounts={tmp_path: "/out"})
    executor_output = json.loads((tmp_path / "executor_output.json").read_text())
    assert executor_output["parameterValues"] == {"Output": "measured"}
    assert executor_output["artifacts"]["metrics"]["artifacts"][0]["metadata"] == {"limit": 7}


def test_dvc_needs_no_git_and_writes_to_tmp_alone(image):
    script = "cp -r /opt/sense /tmp/project && cd /tmp/project && dvc init -q --no-scm && dvc stage list --name-only"
    assert run(image, "sh", "-ec", script, user="123456:0").split()[:2] == ["ingest", "synthesize"]


# --- its metadata


def test_labels_and_revision(image, inspected):
    labels = inspected["Config"]["Labels"]
    required = {"title", "description", "licenses", "base.name", "revision"}
    assert {f"org.opencontainers.image.{name}" for name in required} <= set(labels)
    assert all(labels.values())
    script = "from sense.tracking import code_revision; print(code_revision())"
    assert run(image, "python", "-c", script) == labels["org.opencontainers.image.revision"]


def test_it_runs_as_a_user_without_a_name(image, inspected):
    assert inspected["Config"]["User"] == "1000:0"  # a number: runAsNonRoot can tell
    assert not inspected["Config"]["Entrypoint"]
    assert run(image, "id", "-u") == "1000"


def test_its_size(inspected):
    assert inspected["Size"] < MAX_BYTES


# --- its files


def test_of_the_working_copy_it_has_the_project_alone(image):
    files = run(image, "find", ".", "-type", "f", "-not", "-path", "*/__pycache__/*").split()
    top_files = ["LICENSE", "dvc.yaml", ".dvcignore", "params.yaml"]
    folders = [file for folder in ("sense", "configs") for file in (ROOT / folder).rglob("*")]
    expected = [str(file.relative_to(ROOT)) for file in folders if file.is_file() and "__pycache__" not in file.parts]
    assert sorted(files) == sorted(f"./{name}" for name in top_files + expected)


def test_no_compiler_and_no_installer(image):
    assert run(image, "sh", "-c", f"for tool in {' '.join(TOOLS)}; do command -v $tool || true; done") == ""
    script = "from importlib.util import find_spec; print([name for name in ('pip', 'setuptools', 'wheel') if find_spec(name)])"
    assert run(image, "python", "-c", script) == "[]"


def test_no_tests_of_its_packages_and_no_caches(image):
    tests = "find /opt/venv -type d -name tests -not -path '*.dist-info/*'"
    caches = "find / -xdev -name .cache 2>/dev/null || true"
    assert run(image, "sh", "-c", f"{tests}; {caches}") == ""


def test_no_secret_in_environment_or_history(image, inspected):
    names = [line.partition("=")[0] for line in inspected["Config"]["Env"]]
    assert [name for name in names if SECRET.search(name)] == []
    assert SECRET.findall(docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)) == []


def test_group_0_may_add_files_to_the_working_directory_but_change_none(image):
    script = "find /opt -xdev -writable; touch new && ls new && mv sense other 2>/dev/null || echo kept"
    assert docker("run", "--rm", "--network", "none", "--user", "123456:0", image, "sh", "-c", script).split() == [
        "/opt/sense",
        "new",
        "kept",
    ]


# --- the image serve


def test_serve_has_sense_beside_the_python_of_its_base(serve_image):
    assert run(serve_image, "sense", "--version", user="123456:0") == f"sense {__version__}"
    libraries = "[name for name in ('fastapi', 'uvicorn', 'sense', 'torch') if find_spec(name)]"
    script = f"import sys; from importlib.util import find_spec; print({libraries}, sys.prefix)"
    assert run(serve_image, "/opt/venv/bin/python", "-c", script) == "['fastapi', 'uvicorn', 'sense'] /opt/venv"
    assert not run(serve_image, "python3", "-c", script).endswith("/opt/venv")
    image_config = json.loads(docker("image", "inspect", serve_image))[0]["Config"]
    assert (image_config["User"], image_config["Entrypoint"]) == ("1000:0", None)
