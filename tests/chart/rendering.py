"""The chart rendered by the real Helm engine, as `helm template -f FILE -f FILE --set ...` would, and parsed."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

CHART = Path(__file__).parent.parent.parent / "charts" / "sense"
EXAMPLES = CHART / "examples"
CHAMPION = "values.champion.yaml"
Manifest = dict[str, Any]


def values(*files: str | Path, set: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Values files (names are those of the examples) merged in order, then `set`: dotted path -> value."""
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merge(merged, helm.values_from_yaml((EXAMPLES / file).read_text()))
    for path, value in (set or {}).items():
        merged = _merge(merged, functools.reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), value))
    return merged


def documents(merged: Mapping[str, Any], name: str = "release", namespace: str = "serving") -> dict[str, str]:
    """Template -> text; helm.HelmError where values are refused."""
    return _chart().render(dict(merged), name=name, namespace=namespace)


def render(*files: str | Path, set: Mapping[str, Any] | None = None, name: str = "release") -> list[Manifest]:
    """All manifests, with the champion's values where no file says which version to serve."""
    if not any(str(file).endswith(CHAMPION) for file in files):
        files = (*files, CHAMPION)
    return parse(documents(values(*files, set=set), name))


def parse(texts: Mapping[str, str]) -> list[Manifest]:
    """The manifests in the texts that `documents` returns."""
    return [
        manifest
        for path, text in texts.items()
        if path.endswith(".yaml")
        for manifest in yaml.load_all(text, Loader=_Strict)
        if manifest
    ]


def find(manifests: Sequence[Manifest], kind: str, suffix: str = "") -> Manifest:
    """The manifest of this kind whose name ends with `suffix`; an error unless there is exactly one."""
    (match,) = [manifest for manifest in manifests if manifest["kind"] == kind and manifest["metadata"]["name"].endswith(suffix)]
    return match


def kinds(manifests: Sequence[Manifest]) -> list[str]:
    """Kind and name of each manifest, sorted."""
    return sorted(f"{manifest['kind']}/{manifest['metadata']['name']}" for manifest in manifests)


def pod(manifest: Manifest) -> dict[str, Any]:
    """The pod's spec of a Deployment, of a Job, or of a Pod."""
    return manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]


def vllm_command(
    manifests: Sequence[Manifest], mounts: Mapping[str, str | Path] | None = None
) -> tuple[list[str], dict[str, str]]:
    """The command of vLLM's container, and its environment without the variables from Secrets.

    `mounts`: a mount path of the container (/models, /cache) -> the folder that stands for it here.
    """
    return _command(pod(find(manifests, "Deployment", "-vllm"))["containers"][0], mounts or {})


def fetch_command(
    manifests: Sequence[Manifest], mounts: Mapping[str, str | Path] | None = None
) -> tuple[list[str], dict[str, str]]:
    """The command of the init container that downloads the model, and its environment, as `vllm_command`."""
    return _command(pod(find(manifests, "Deployment", "-vllm"))["initContainers"][0], mounts or {})


class _Strict(yaml.CSafeLoader):
    """Refuses a key that a mapping has twice, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError("while constructing a mapping", node.start_mark, f"a key twice in {keys}")
        return super().construct_mapping(node, deep)


@functools.cache
def _chart() -> helm.Chart:
    return helm.Chart.load(CHART)


def _command(container: Mapping[str, Any], mounts: Mapping[str, str | Path]) -> tuple[list[str], dict[str, str]]:
    env = {variable["name"]: _localize(variable["value"], mounts) for variable in container["env"] if "value" in variable}
    return [_localize(argument, mounts) for argument in (*container["command"], *container["args"])], env


def _localize(text: str, mounts: Mapping[str, str | Path]) -> str:
    """`text` with the paths under a mount replaced by those here; a path is the whole text, or follows = or a quote."""
    for path, folder in mounts.items():
        if text == path or text.startswith(f"{path}/"):
            text = f"{folder}{text.removeprefix(path)}"
        text = text.replace(f"={path}/", f"={folder}/").replace(f'"{path}/', f'"{folder}/')
    return text


def _merge(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`more` over `base`, as Helm merges values files."""
    result = dict(base)
    for key, value in more.items():
        old = result.get(key)
        result[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
