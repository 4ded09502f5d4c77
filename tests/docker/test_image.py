"""The image as a cluster runs it: any user of group 0, a read-only root, no network; and nothing inside that need not be."""

import json
import re

import pytest

from sense import __version__, config, records
from sense.stages import execute
from tests.docker.container import ROOT, docker, run

pytestmark = pytest.mark.docker

USERS = ["", "123456:0"]  # the image's own, and one that no file of it knows
BYTES = 2.5e9
TOOLS = ["gcc", "g++", "cc", "c++", "clang", "ld", "make", "cmake", "nvcc"]
SECRET = re.compile(r"secret|token|password|credential|api_?key|access_?key", re.IGNORECASE)


@pytest.fixture(scope="module")
def inspected(image):
    return json.loads(docker("image", "inspect", image))[0]


# --- what it runs


def test_a_whole_command_or_none(image):
    assert run(image, "sense", "--version") == f"sense {__version__}"
    assert run(image) == run(image, "sense", "--help")
    assert "usage: sense" in run(image)


@pytest.mark.parametrize("user", USERS)
def test_what_the_stages_import_is_there(image, user):
    script = "import torch, trl, peft, accelerate, datasets, mlflow.transformers, dvc.api, dvc_s3; trl.SFTTrainer, trl.DPOTrainer"
    assert run(image, "python", "-c", f"{script}; print('there')", user=user) == "there"


@pytest.mark.parametrize("user", USERS)
def test_a_stage_writes_what_it_writes_here_into_a_mounted_folder(image, user, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)
    ports = ["--seeds", "sense/seeds", "--seed", "/out/seed", "--dev", "/out/dev", "--metrics", "/out/ingest.json"]
    run(image, "sense", "ingest", "--params", "configs/tiny.yaml", *ports, user=user, mounts={out: "/out"})
    here = {name: tmp_path / name for name in ("seed", "dev", "metrics")}
    section = config.load(ROOT / "configs" / "tiny.yaml").ingest.model_dump()
    execute("ingest", section, {"seeds": ROOT / "sense" / "seeds"}, here)
    assert records.digest(out / "seed") == records.digest(here["seed"])
    assert records.digest(out / "dev") == records.digest(here["dev"])
    owner = (out / "ingest.json").stat()
    assert (owner.st_uid, owner.st_gid) == (int(user.partition(":")[0] or 1000), 0)


def test_kubeflows_executor_runs_a_component(image, tmp_path):
    (tmp_path / "component.py").write_text(
        "from kfp import dsl\n\n\n"
        "def measure(section: dict, found: dsl.Output[dsl.Metrics]) -> str:\n"
        "    from sense import config\n\n"
        "    found.log_metric('limit', config.IngestConfig(**section).dev_limit)\n"
        "    return 'measured'\n"
    )
    told = {
        "inputs": {"parameterValues": {"section": {"dev_limit": 7}}},
        "outputs": {
            "parameters": {"Output": {"outputFile": "/out/answer"}},
            "artifacts": {
                "found": {"artifacts": [{"name": "found", "type": {"schemaTitle": "system.Metrics"}, "uri": "/out/found"}]}
            },
            "outputFile": "/out/executor_output.json",
        },
    }
    tmp_path.chmod(0o777)
    module = [
        "--component_module_path",
        "/out/component.py",
        "--executor_input",
        json.dumps(told),
        "--function_to_execute",
        "measure",
    ]
    start = '_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main "$@"'
    run(image, "sh", "-ec", start, "sh", *module, user="123456:0", mounts={tmp_path: "/out"})
    written = json.loads((tmp_path / "executor_output.json").read_text())
    assert written["parameterValues"] == {"Output": "measured"}
    assert written["artifacts"]["found"]["artifacts"][0]["metadata"] == {"limit": 7}


def test_dvc_needs_neither_git_nor_a_place_to_write_but_tmp(image):
    script = "cp -r /opt/sense /tmp/project && cd /tmp/project && dvc init -q --no-scm && dvc stage list --name-only"
    assert run(image, "sh", "-ec", script, user="123456:0").split()[:2] == ["ingest", "synthesize"]


# --- what it says of itself


def test_labels_and_revision(image, inspected):
    labels = inspected["Config"]["Labels"]
    named = {"title", "description", "licenses", "base.name", "revision"}
    assert {f"org.opencontainers.image.{name}" for name in named} <= set(labels)
    assert all(labels.values())
    script = "from sense.tracking import code_revision; print(code_revision())"
    assert run(image, "python", "-c", script) == labels["org.opencontainers.image.revision"]


def test_it_runs_as_nobody_in_particular(image, inspected):
    assert inspected["Config"]["User"] == "1000:0"  # a number: runAsNonRoot can tell
    assert not inspected["Config"]["Entrypoint"]
    assert run(image, "id", "-u") == "1000"


def test_its_size(inspected):
    assert inspected["Size"] < BYTES


# --- what is not inside


def test_the_project_is_all_of_the_working_copy_that_is_inside(image):
    found = run(image, "find", ".", "-type", "f", "-not", "-path", "*/__pycache__/*").split()
    tops = ["LICENSE", "dvc.yaml", ".dvcignore", "params.yaml"]
    folders = [file for folder in ("sense", "configs") for file in (ROOT / folder).rglob("*")]
    expected = [str(file.relative_to(ROOT)) for file in folders if file.is_file() and "__pycache__" not in file.parts]
    assert sorted(found) == sorted(f"./{name}" for name in tops + expected)


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


def test_group_0_may_add_to_the_working_directory_and_change_nothing_of_it(image):
    script = "find /opt -xdev -writable; touch new && ls new && mv sense other 2>/dev/null || echo kept"
    assert docker("run", "--rm", "--network", "none", "--user", "123456:0", image, "sh", "-c", script).split() == [
        "/opt/sense",
        "new",
        "kept",
    ]


# --- the other image


def test_serve_has_sense_beside_the_python_of_its_base(serve_image):
    assert run(serve_image, "sense", "--version", user="123456:0") == f"sense {__version__}"
    script = "import sys; print([name for name in ('fastapi', 'uvicorn', 'sense', 'torch') if find_spec(name)], sys.prefix)"
    asked = f"from importlib.util import find_spec; {script}"
    assert run(serve_image, "/opt/venv/bin/python", "-c", asked) == "['fastapi', 'uvicorn', 'sense'] /opt/venv"
    assert not run(serve_image, "python3", "-c", asked).endswith("/opt/venv")
    settings = json.loads(docker("image", "inspect", serve_image))[0]["Config"]
    assert (settings["User"], settings["Entrypoint"]) == ("1000:0", None)
