"""Whether the base model that a profile names can be had where a task runs: a folder, the cache of the hub, or the hub itself."""

import os
from pathlib import Path

import httpx
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from sense.config import ModelConfig, environment
from sense.errors import InputError, UserError
from sense.training import model_files

_CONFIG = "config.json"
_TIMEOUT_S = 20.0  # of the hub


def check(model: ModelConfig, key: str) -> str:
    """Where the base of `model`, the value of `key` in params.yaml, is; UserError says why it cannot be had, and the fix."""
    if model.name is None:
        return "nano, made of random weights"
    if model.name == "sense-nano":
        from sense.training import nano_base

        return f"{model.name}, in {_checked_folder(Path(nano_base.resolve(model.name)), None, key)}"
    if Path(model.name).is_dir():
        return f"{_checked_folder(Path(model.name), model.gguf_file, key)}, a folder"
    if model.name.startswith(("/", ".", "~")):
        raise UserError(f"{key}.name = {model.name}: no such folder where the task runs; mount it or name a model of the hub")
    snapshot = _cached(model)
    if snapshot is not None:
        return f"{model.name}, cached in {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"{key}.name = {model.name}: {constants.HF_HUB_CACHE} does not hold it whole, and HF_HUB_OFFLINE is set; "
            f"download it there (hf download {model.name}) or unset HF_HUB_OFFLINE"
        )
    _ask_hub(model, model.name, key)
    return f"{model.name}, to be downloaded from {_endpoint()} (not in {constants.HF_HUB_CACHE})"


def check_claim(path: Path) -> str:
    """What the mounted claim of base models holds; UserError if it is not mounted or cannot be read."""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; mount the claim of cluster.weights there")
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"{path}: cannot be read by user {os.getuid()}; give it to cluster.run_as_user or its group")
    names = sorted(entry.name.removeprefix("models--").replace("--", "/") for entry in path.glob("models--*"))
    return f"{path} can be read and holds {', '.join(names) or 'no model yet'}"


def _checked_folder(folder: Path, gguf_file: str | None, key: str) -> Path:
    try:
        if gguf_file is None:
            model_files.check_model(folder)
        else:
            model_files.check_gguf(folder, gguf_file)
    except InputError as error:
        raise UserError(f"{key}.name: {error}") from None
    return folder


def _cached(model: ModelConfig) -> Path | None:
    """The folder of the model in the hub's cache, if the cache holds it whole."""
    file = model.gguf_file or _CONFIG
    try:
        path = try_to_load_from_cache(str(model.name), file, revision=model.revision or constants.DEFAULT_REVISION)
    except HFValidationError:
        return None  # of a name that no hub has; the hub is asked no more kindly
    if not isinstance(path, str):
        return None
    folder = Path(path[: -len(file)])
    try:
        return _checked_folder(folder, model.gguf_file, "")
    except UserError:  # a download that was broken off: transformers fetches the rest
        return None


def _ask_hub(model: ModelConfig, name: str, key: str) -> None:
    """UserError unless the hub lets this token have the first file that is needed."""
    endpoint, subject = _endpoint(), f"{key}.name = {name}"
    file = model.gguf_file or _CONFIG
    token = environment("HF_TOKEN").strip()
    about_token = "HF_TOKEN may lack the right" if token else "HF_TOKEN is not set"
    try:
        url = hf_hub_url(name, file, revision=model.revision, endpoint=endpoint)
        get_hf_file_metadata(url, token=token or False, timeout=_TIMEOUT_S, endpoint=endpoint)
    except GatedRepoError:
        raise UserError(
            f"{subject}: gated on {endpoint}, and this token has no access; accept its terms at {endpoint}/{name}, and set "
            "HF_TOKEN (cluster.secrets) to a token of that account"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{subject}: {endpoint} has it, but not its revision {model.revision}; correct {key}.revision") from None
    except RemoteEntryNotFoundError:
        raise UserError(
            f"{subject}: {endpoint} has it, but no {file} in it; name a whole model in transformers' layout"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{subject}: no such folder, and {endpoint} has no such model, or it is private ({about_token}); check the name and "
            "the token"
        ) from None
    except HFValidationError:
        raise UserError(f"{subject}: no such folder, and no name that a hub could have; write OWNER/NAME") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        fix = f"{about_token}: set it anew" if status in (401, 403) else "try again later"
        raise UserError(f"{subject}: {endpoint} answers {status}; {fix}") from None
    except (httpx.HTTPError, OSError) as error:
        raise UserError(
            f"{subject}: {endpoint} cannot be reached ({error or type(error).__name__}), and {constants.HF_HUB_CACHE} does not "
            f"hold it; mend the network (HF_ENDPOINT), or download it into the cache: hf download {name}"
        ) from None


def _endpoint() -> str:
    return (environment("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
