"""Whether the claims that tasks share let several nodes use them at once, asked of the Kubernetes API from within a pod."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sense.errors import UserError

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_S = 10
_MANY = ("ReadWriteMany", "ReadOnlyMany")


def check(names: Sequence[str], namespace: str, claims: Mapping[str, Any]) -> str:
    """What the access modes of the claims mean; `claims` are Kubernetes' objects by name, None for one that is not there.

    UserError for a claim that is missing, lost, or that one pod alone may use, as tasks run at the same time.
    """
    details, problems = [], []
    for name in names:
        claim = claims.get(name)
        if claim is None:
            problems.append(f"no claim {name} in the namespace {namespace}; create it, or correct its name in cluster")
            continue
        modes = list(claim.spec.access_modes or ())
        phase = str(claim.status.phase)
        if phase == "Lost" or "ReadWriteOncePod" in modes:
            reason = "its volume is lost" if phase == "Lost" else "ReadWriteOncePod: one pod alone may use it, and tasks overlap"
            problems.append(f"{name}: {reason}; create it anew with ReadWriteMany")
        elif any(mode in modes for mode in _MANY):
            details.append(f"{name} ({phase.lower()}): {', '.join(modes)}")
        else:
            details.append(
                f"{name} ({phase.lower()}): {', '.join(modes)}, so tasks on another node wait forever; see to ReadWriteMany"
            )
    if problems:
        raise UserError("; ".join(problems))
    return "; ".join(details)


def read(names: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """This pod's namespace, and the claims in it by name, None for one that is not there.

    None where there is no API to ask: outside of a cluster, or if the pod's account may not read claims.
    """
    if not (_ACCOUNT / "token").is_file():
        return None
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    config.load_incluster_config()
    namespace = (_ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    api, claims = client.CoreV1Api(), {}
    for name in names:
        try:
            claims[name] = api.read_namespaced_persistent_volume_claim(name, namespace, _request_timeout=_TIMEOUT_S)
        except client.ApiException as error:
            if error.status != 404:
                return None
            claims[name] = None
        except HTTPError:
            return None
    return namespace, claims
