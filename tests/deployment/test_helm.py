"""The Helm chart: Helm renders and lints it, Kubernetes' schemas accept what it renders, wrong values are explained."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from .chart import FOLDER, NAMESPACE, ROOT, VALUE_SETS, Manifest, Values, chart, files, merged, of_kind, render
from .custom_resources import API_VERSIONS, LATEST, closed, problems, validate_builtin

OLDEST = "1.30"
every_set = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())
BUILT_IN_KINDS = {
    *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PersistentVolumeClaim", "Pod"),
    *("PodDisruptionBudget", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount"),
}
_ROUTER_IMAGE = {"repository": "registry.example.com/router", "tag": "1"}


@cache
def check(text: str) -> None:
    """Manifests that several value sets have in common are checked once."""
    manifest = json.loads(text)
    if manifest["kind"] in API_VERSIONS:
        assert list(problems(manifest)) == []
    else:
        validate_builtin(manifest, OLDEST)
        validate_builtin(manifest, LATEST)


@every_set
def test_kubernetes_accepts_every_manifest(values: Values) -> None:
    for manifest in render(values):
        check(json.dumps(manifest, sort_keys=True))


def test_together_the_value_sets_render_every_template_and_kind() -> None:
    rendered = [files(values) for values in VALUE_SETS.values()]
    templates = {template["name"] for template in chart().templates if not template["name"].endswith(".tpl")}
    filled = {path.removeprefix("tenuto/") for texts in rendered for path, text in texts.items() if text.strip()}
    assert filled == templates
    kinds = {manifest["kind"] for values in VALUE_SETS.values() for manifest in render(values)}
    assert kinds == BUILT_IN_KINDS | API_VERSIONS.keys()


@every_set
def test_helm_finds_nothing_to_complain_about(values: Values) -> None:
    report = helm.lint(FOLDER, values, strict=True, namespace=NAMESPACE)
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


@every_set
def test_names_are_unique_and_every_resource_says_what_it_belongs_to(values: Values) -> None:
    manifests = render(values)
    names = Counter((each["kind"], each["metadata"]["namespace"], each["metadata"]["name"]) for each in manifests)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(len(name) <= 63 for _, _, name in names)
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "tenuto"
        assert labels["app.kubernetes.io/instance"] == "demo"
        assert labels.items() >= values.get("commonLabels", {}).items()


def test_a_manifest_with_a_wrong_field_is_not_accepted() -> None:
    deployment = of_kind(render({}), "Deployment")[0]
    wrong = deployment | {"spec": deployment["spec"] | {"replica": 2}}
    with pytest.raises(Exception, match="'replica' was unexpected"):
        check(json.dumps(wrong))
    [scaled] = of_kind(render(VALUE_SETS["keda"]), "ScaledObject")
    wrong = scaled | {"spec": scaled["spec"] | {"minReplicas": 2}}
    assert list(problems(wrong)) == [
        "spec: Additional properties are not allowed ('minReplicas' was unexpected)",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {"name": "a"}}, "at '': additional properties 'modle' not allowed"),
        ({"server": {"prot": 80}}, "at '/server': additional properties 'prot' not allowed"),
        ({"server": {"port": "8000"}}, "at '/server/port': got string, want integer"),
        ({"server": {"port": 80}}, "at '/server/port': minimum: got 80, want 1,024"),
        ({"replicas": -1}, "at '/replicas': minimum: got -1, want 0"),
        ({"shutdown": {"reserveSeconds": 0}}, "at '/shutdown/reserveSeconds': minimum: got 0, want 10"),
        ({"shutdown": {"drainSeconds": 12.5}}, "at '/shutdown/drainSeconds': got number, want integer"),
        ({"image": {"digest": "sha256:12"}}, "at '/image/digest': 'sha256:12' does not match pattern"),
        ({"persistence": {"weights": {"type": "pvc"}}}, "at '/persistence/weights/type': value must be one of"),
        ({"persistence": {"weights": {"size": "100 GB"}}}, "at '/persistence/weights/size': '100 GB' does not match"),
        ({"persistence": {"weights": {"accessModes": []}}}, "at '/persistence/weights/accessModes': minItems"),
        ({"apiKeys": {"keys": ["two words"]}}, "at '/apiKeys/keys/0': 'two words' does not match pattern"),
        ({"autoscaling": {"kind": "cpu"}}, "at '/autoscaling/kind': value must be one of 'none', 'hpa', 'keda'"),
        ({"multiNode": {"size": 1}}, "at '/multiNode/size': minimum: got 1, want 2"),
        ({"router": {"policy": "session"}}, "at '/router/policy': value must be one of"),
        ({"httpRoute": {"requestTimeout": "never"}}, "at '/httpRoute/requestTimeout': 'never' does not match pattern"),
        ({"tolerations": {"key": "gpu"}}, "at '/tolerations': got object, want array"),
    ],
)
def test_the_schema_rejects_a_wrong_value_and_says_where_it_is(values: Values, message: str) -> None:
    with pytest.raises(helm.HelmValuesError) as raised:
        files(values)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"server": {"extraArgs": ["--drain-timeout=5"]}},
            "server.extraArgs: --drain-timeout is set by the chart: use shutdown.drainSeconds",
        ),
        ({"server": {"extraArgs": ["--api_key", "k"]}}, "--api_key is set by the chart: use apiKeys"),
        ({"server": {"extraArgs": ["-tp", "2"]}}, "-tp is set by the chart: use parallel.tensor"),
        (
            {"server": {"extraArgs": ["--ssl-certfile", "a"]}},
            "use TLS at the Ingress or Gateway, since probes speak HTTP",
        ),
        (
            {"multiNode": {"enabled": True, "size": 3}, "parallel": {"pipeline": 2}},
            "which 3 nodes (multiNode.size) cannot",
        ),
        (
            {"multiNode": {"enabled": True}, "gpu": {"count": 8}, "parallel": {"tensor": 4}},
            "tensor x pipeline is 8, but 2 nodes with gpu.count 8 have 16 GPUs",
        ),
        ({"apiKeys": {"keys": ["a"], "existingSecret": "b"}}, "apiKeys: set keys or existingSecret, not both"),
        ({"apiKeys": {"scrapeKey": "a"}}, "apiKeys.scrapeKey: it belongs to apiKeys.keys, which is empty"),
        (
            {"apiKeys": {"keys": ["a"]}, "monitoring": {"serviceMonitor": {"enabled": True}}},
            "/metrics requires an API key: set apiKeys.scrapeKey",
        ),
        ({"huggingFace": {"token": "a", "existingSecret": "b"}}, "huggingFace: set token or existingSecret, not both"),
        ({"ingress": {"enabled": True}}, "ingress.hosts: name at least one host"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs: name the Gateway"),
        ({"autoscaling": {"minReplicas": 5}}, "autoscaling.maxReplicas: 4 is below minReplicas, which is 5"),
        ({"router": {"enabled": True}}, "router.image: set repository and tag to an image that has vllm-router"),
        (
            {"router": {"enabled": True, "image": _ROUTER_IMAGE, "extraArgs": ["--api-key", "k"]}},
            "router.extraArgs: --api-key would be visible in the pod: clients' keys pass through the router",
        ),
    ],
)
def test_values_that_contradict_each_other_are_rejected_with_the_fix(values: Values, message: str) -> None:
    with pytest.raises(helm.HelmRenderError) as raised:
        files(values)
    assert message in str(raised.value)


def test_the_schema_describes_exactly_the_values_that_exist_and_accepts_no_others() -> None:
    schema = chart().schema
    assert schema is not None
    assert closed(schema) == schema  # no object with properties admits others

    def compare(described: dict[str, Any], values: Manifest, path: str) -> None:
        assert described["properties"].keys() - {"global"} == values.keys(), path
        for name, inner in described["properties"].items():
            assert inner["description"].endswith("."), f"{path}.{name}"
            if "properties" in inner:
                compare(inner, values[name], f"{path}.{name}")

    compare(schema, chart().values, "values")


def test_the_versions_of_the_chart_are_those_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (chart().version, chart().metadata["appVersion"]) == (version, version)


def test_a_packaged_chart_has_the_dashboards_and_rules_and_renders_the_same(tmp_path: Path) -> None:
    """The chart reaches them through links, which Helm resolves; the tests of the rules stay behind."""
    packaged = helm.Chart.load(helm.package(FOLDER, destination=tmp_path))
    names = {file["name"] for file in packaged.files if file["name"].startswith("files/")}
    folders = {"dashboards": "*.json", "prometheus": "*.rules.yml"}
    observed = {
        f"files/{folder}/{path.name}"
        for folder, pattern in folders.items()
        for path in (ROOT / "deploy/observability" / folder).glob(pattern)
    }
    assert names == observed | {"files/scripts/chat.py", "files/scripts/group.py"}
    values = VALUE_SETS["everything"]
    assert packaged.render(values, name="demo", namespace=NAMESPACE) == files(values)


@pytest.mark.parametrize(("name", "model"), [("defaults", "s1-tiny"), ("router", "simplescaling/s1.1-32B")])
def test_the_notes_give_two_commands_whose_chat_has_a_budget(name: str, model: str) -> None:
    notes = files(VALUE_SETS[name])["tenuto/templates/NOTES.txt"]
    forward, request = (shlex.split(each) for each in re.findall(r"^   (?:kubectl|curl).*(?:\n     .*)*", notes, re.M))
    services = {each["metadata"]["name"]: each for each in of_kind(render(VALUE_SETS[name]), "Service")}
    service, port = forward[-2].removeprefix("service/"), forward[-1]
    assert port == f"8000:{services[service]['spec']['ports'][0]['port']}"
    body = json.loads(request[request.index("--data") + 1])
    assert (body["model"], body["max_thinking_tokens"]) == (model, 64)
    assert ("Authorization: Bearer" in notes) == (name == "router")
    assert ("WARNING: no API keys" in notes) == (name == "defaults")


def test_the_readme_describes_the_values_that_exist() -> None:
    """`make chart` writes the table."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.chart", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_commands_and_values_of_the_readme_are_accepted() -> None:
    text = (FOLDER / "README.md").read_text()
    commands = re.findall(r"^helm install .*(?:(?<=\\)\n.*)*", text, re.M)
    assert len(commands) == 2
    for command in commands:
        words = shlex.split(command.replace("\\\n", " "))
        assert (ROOT / words[3]).samefile(FOLDER)
        sets = [helm.parse_set_string(word) for before, word in pairwise(words) if before == "--set"]
        named = [yaml.safe_load((ROOT / word).read_text()) for before, word in pairwise(words) if before == "--values"]
        assert of_kind(render(merged(*named, *sets)), "Deployment", "LeaderWorkerSet")
    [ingress] = [block for block in re.findall(r"^```yaml\n(.*?)```", text, re.M | re.S) if block.startswith("ingress")]
    assert of_kind(render(yaml.safe_load(ingress)), "Ingress")
    for value in re.findall(r"`((?:\w+\.)+\w+)(?:[:=][^`]*)?`", text.partition("## Values")[0]):
        path = value.split(".")
        found: Any = chart().values if path[0] in chart().values else {}
        for name in path if found else []:
            assert name in found, value
            found = found[name]
