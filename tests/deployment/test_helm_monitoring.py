"""What the Helm chart scrapes, scales on and shows exists, and is what deploy/observability has."""

import json
from pathlib import Path

import pytest
import yaml
from promql_parser import parse

from tenuto_dashboards.exported import exported
from tenuto_dashboards.expressions import selectors
from tenuto_server.paths import find_endpoint

from .chart import (
    FOLDER,
    NAMESPACE,
    ROOT,
    VALUE_SETS,
    Values,
    container,
    merged,
    of_kind,
    only,
    render,
    server_templates,
)
from .test_helm import every_set

OBSERVABILITY = ROOT / "deploy/observability"
#: Labels that the Prometheus Operator adds to what it scrapes through a Service.
OPERATOR_LABELS = {"namespace", "service"}
MEBIBYTE = 1 << 20


@every_set
def test_scalers_ask_for_series_and_labels_that_exist(values: Values) -> None:
    manifests = render(values)
    model = values.get("model", {})
    name = model.get("servedName", model.get("name", "s1-tiny"))
    for scaler in of_kind(manifests, "ScaledObject"):
        queries = [trigger["metadata"]["query"] for trigger in scaler["spec"]["triggers"]]
        asked = [selector for query in queries for selector in selectors(query)]
        assert [each.name for each in asked] == ["vllm:num_requests_waiting", "tenuto_remaining_thinking_tokens"]
        for selector in asked:
            matchers = {matcher.name: matcher.value for matcher in selector.matchers.matchers}
            assert matchers == {"namespace": NAMESPACE, "service": "demo-tenuto", "model_name": name}
            assert matchers.keys() - OPERATOR_LABELS <= exported()[str(selector.name)]
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler"):
        names = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]]
        assert {each.replace("vllm_", "vllm:") for each in names} <= exported().keys()


def test_large_thresholds_are_written_in_full() -> None:
    values = merged(VALUE_SETS["keda"], {"autoscaling": {"remainingThinkingTokensPerReplica": 12_345_678}})
    triggers = only(render(values), "ScaledObject")["spec"]["triggers"]
    assert [trigger["metadata"]["threshold"] for trigger in triggers] == ["4", "12345678"]


def test_the_adapter_s_rules_in_the_readme_make_the_metrics_of_the_autoscaler() -> None:
    text = (FOLDER / "README.md").read_text()
    rules = yaml.safe_load(text.partition("```yaml\nrules:\n")[2].partition("```")[0])["custom"]
    scaler = only(render(VALUE_SETS["hpa"]), "HorizontalPodAutoscaler")
    names = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]]
    assert [rule["name"]["as"] for rule in rules] == names
    for rule in rules:
        parse(rule["seriesQuery"])
        assert rule["seriesQuery"].partition("{")[0] in exported()


@pytest.mark.parametrize("name", ["secrets", "everything", "nodes-everything"])
def test_prometheus_scrapes_the_pods_that_answer_http_under_the_job_of_the_dashboards(name: str) -> None:
    manifests = render(VALUE_SETS[name])
    monitor = only(manifests, "ServiceMonitor")
    service = only(manifests, "Service", "demo-tenuto")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert find_endpoint(endpoint["path"]).public == "public_metrics"
    assert [(each["targetLabel"], each["replacement"]) for each in endpoint["relabelings"]] == [("job", "tenuto")]
    is_public = "--public-metrics" in container(server_templates(manifests)[0])["args"]
    assert ("authorization" in endpoint) is not is_public


def test_the_rules_and_dashboards_are_those_of_the_repository() -> None:
    manifests = render(VALUE_SETS["secrets"])
    rules = {each["metadata"]["name"]: each["spec"] for each in of_kind(manifests, "PrometheusRule")}
    assert rules == {
        f"demo-tenuto-{path.name.removesuffix('.rules.yml')}": yaml.safe_load(path.read_text())
        for path in OBSERVABILITY.glob("prometheus/*.rules.yml")
    }
    shown: dict[str, str] = {}
    for manifest in of_kind(manifests, "ConfigMap"):
        assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(json.dumps(manifest)) < MEBIBYTE
        shown |= manifest["data"]
    assert shown == {path.name: path.read_text() for path in OBSERVABILITY.glob("dashboards/*.json")}
    assert len(rules) >= 2
    assert len(shown) >= 4


def test_the_links_to_them_are_relative() -> None:
    for name in ("dashboards", "prometheus"):
        link = FOLDER / "files" / name
        assert link.readlink() == Path("../../../observability") / name
        assert link.is_dir()
