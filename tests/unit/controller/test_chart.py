"""The chart, rendered by Helm itself: what the operator may do, and how it runs."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.up import helm

CHART = Path(__file__).parents[3] / "charts/whimbrel"


def render(*options: str) -> list[dict[str, Any]]:
    """`helm template`: the objects that an installation makes."""
    command = [str(helm()), "template", "whimbrel", str(CHART), "-n", "whimbrel-system", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def operator_rules(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rules of roles that are bound to the operator's ServiceAccount."""
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in objects
        if each["kind"].endswith("RoleBinding") or each["kind"] == "RoleBinding"
    }
    roles = [each for each in objects if (each["kind"], each["metadata"]["name"]) in bound]
    return [rule for role in roles for rule in role["rules"]]


def verbs(objects: list[dict[str, Any]], resource: str) -> set[str]:
    rules = operator_rules(objects)
    return {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}


WAYS = pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="all namespaces"),
        pytest.param(("--set", "namespaces={a,b}"), id="some namespaces"),
        pytest.param(("--set", "podLogs=true,rbac.aggregate=false,replicas=2"), id="with logs"),
    ],
)


@WAYS
def test_operator_may_read_no_secret_and_only_create_config_maps(options):
    objects = render(*options)
    assert verbs(objects, "secrets") == set()
    assert verbs(objects, "configmaps") == {"create"}
    assert not any("*" in rule["resources"] + rule["verbs"] for rule in operator_rules(objects))
    assert not any("pods/exec" in rule["resources"] for rule in operator_rules(objects))


@WAYS
def test_operator_may_do_what_it_does(options):
    objects = render(*options)
    assert verbs(objects, "databasemigrations") == {"get", "list", "watch", "update", "patch"}
    assert verbs(objects, "jobs") == {"create", "get", "list", "watch", "delete"}
    assert verbs(objects, "leases") == {"create", "get", "update"}
    assert verbs(objects, "pods/log") == ({"get"} if "podLogs=true" in str(options) else set())


def test_named_namespaces_give_no_rights_elsewhere():
    objects = render("--set", "namespaces={a,b}")
    cluster_wide = [each for each in objects if each["kind"] == "ClusterRole"]
    rules = [rule for each in cluster_wide for rule in each["rules"]]
    own = [rule for rule in rules if rule["apiGroups"] != ["whimbrel.dev"]]
    assert own == [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]
    roles = {each["metadata"]["namespace"] for each in objects if each["kind"] == "Role"}
    assert roles == {"a", "b", "whimbrel-system"}


def test_definition_is_the_generated_one_and_is_kept():
    crd = next(each for each in render() if each["kind"] == "CustomResourceDefinition")
    generated = yaml.safe_load((CHART / "files/crd.yaml").read_text())
    assert crd["spec"] == generated["spec"]
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_pod_passes_the_standard_restricted():
    pod = next(each for each in render() if each["kind"] == "Deployment")["spec"]["template"][
        "spec"
    ]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("wrong", ["replicas=many", "nonsense=1", "image.pullPolicy=Sometimes"])
def test_wrong_value_is_refused(wrong):
    with pytest.raises(AssertionError, match="schema"):
        render("--set", wrong)


def test_chart_passes_helm_lint():
    command = [str(helm()), "lint", "--strict", str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
