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
        merged = _merged(merged, helm.values_from_yaml((EXAMPLES / file).read_text()))
    for path, value in (set or {}).items():
        merged = _merged(merged, functools.reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), value))
    return merged


def documents(merged: Mapping[str, Any], name: str = "release", namespace: str = "serving") -> dict[str, str]:
    """Template -> text; helm.HelmError where values are refused."""
    return _chart().render(dict(merged), name=name, namespace=namespace)


def render(*files: str | Path, set: Mapping[str, Any] | None = None, name: str = "release") -> list[Manifest]:
    """All manifests, with the champion's values where no file says which version to serve."""
    if not any(str(file).endswith(CHAMPION) for file in files):
        files = (*files, CHAMPION)
    return parsed(documents(values(*files, set=set), name))


def parsed(texts: Mapping[str, str]) -> list[Manifest]:
    """The manifests in what `documents` gives."""
    return [one for path, text in texts.items() if path.endswith(".yaml") for one in yaml.load_all(text, Loader=_Strict) if one]


def find(manifests: Sequence[Manifest], kind: str, suffix: str = "") -> Manifest:
    """The one manifest of a kind whose name ends so."""
    (found,) = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)]
    return found


def kinds(manifests: Sequence[Manifest]) -> list[str]:
    """Kind and name of each, in order of the alphabet."""
    return sorted(f"{one['kind']}/{one['metadata']['name']}" for one in manifests)


def pod(manifest: Manifest) -> dict[str, Any]:
    """The pod's spec of a Deployment, or of a Pod."""
    return manifest["spec"] if manifest["kind"] == "Pod" else manifest["spec"]["template"]["spec"]


def vllm_command(
    manifests: Sequence[Manifest], mounts: Mapping[str, str | Path] | None = None
) -> tuple[list[str], dict[str, str]]:
    """What vLLM's container runs, and its environment without what comes from Secrets.

    `mounts`: a mount path of the container (/models, /cache) -> the folder that stands for it here.
    """
    return _command(pod(find(manifests, "Deployment", "-vllm"))["containers"][0], mounts or {})


def fetch_command(
    manifests: Sequence[Manifest], mounts: Mapping[str, str | Path] | None = None
) -> tuple[list[str], dict[str, str]]:
    """What the init container runs that downloads the model; as `vllm_command`."""
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
    env = {one["name"]: _placed(one["value"], mounts) for one in container["env"] if "value" in one}
    return [_placed(word, mounts) for word in (*container["command"], *container["args"])], env


def _placed(text: str, mounts: Mapping[str, str | Path]) -> str:
    """`text` with the paths under a mount as they are here; a path is a word of its own, or follows = or a quote."""
    for path, here in mounts.items():
        if text == path or text.startswith(f"{path}/"):
            text = f"{here}{text.removeprefix(path)}"
        text = text.replace(f"={path}/", f"={here}/").replace(f'"{path}/', f'"{here}/')
    return text


def _merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`more` over `base`, as Helm merges values files."""
    result = dict(base)
    for key, value in more.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
