"""What the access modes of claims mean for tasks on several nodes."""

import pytest
from kubernetes import client

from sense.errors import UserError
from sense.kubeflow import claims


def claim(*modes, phase="Bound"):
    return client.V1PersistentVolumeClaim(
        spec=client.V1PersistentVolumeClaimSpec(access_modes=list(modes)),
        status=client.V1PersistentVolumeClaimStatus(phase=phase),
    )


def test_claims_of_one_node_are_said_to_be():
    detail = claims.check(["a", "b"], "ml", {"a": claim("ReadWriteMany"), "b": claim("ReadWriteOnce")})
    assert detail.startswith("a (bound): ReadWriteMany; b (bound): ReadWriteOnce, so tasks on another node wait")
    assert "ReadWriteMany" in detail


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (None, "no claim a in the namespace ml; create it"),
        (claim("ReadWriteOncePod"), "a: ReadWriteOncePod: one pod alone"),
        (claim("ReadWriteMany", phase="Lost"), "a: its volume is lost"),
    ],
)
def test_claims_that_cannot_work_are_refused(one, message):
    with pytest.raises(UserError, match=message):
        claims.check(["a"], "ml", {"a": one})


def test_outside_of_a_cluster_nothing_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(claims, "_ACCOUNT", tmp_path)
    assert claims.read(["a"]) is None
