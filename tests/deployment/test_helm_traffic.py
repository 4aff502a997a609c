"""Which traffic the Helm chart lets through, and where it leads."""

from typing import Any

import pytest

from .chart import (
    VALUE_SETS,
    Manifest,
    Values,
    container,
    merged,
    of_kind,
    only,
    pod_templates,
    render,
    server_templates,
)
from .test_helm import every_set

COMPONENT = "app.kubernetes.io/component"
INDEX = "leaderworkerset.sigs.k8s.io/worker-index"


def pods(manifests: list[Manifest]) -> dict[str, list[Manifest]]:
    """Pod templates by their labels, with the one that LeaderWorkerSet adds; workers have none of index 0."""
    found: dict[str, list[Manifest]] = {}
    for pod in pod_templates(manifests):
        labels = dict(pod["metadata"]["labels"])
        if "ports" in container(pod):
            labels[INDEX] = "0"
        found.setdefault(labels[COMPONENT], []).append({**pod, "metadata": {**pod["metadata"], "labels": labels}})
    return found


def matches(selector: dict[str, str], pod: Manifest) -> bool:
    return bool(selector.items() <= pod["metadata"]["labels"].items())


@every_set
def test_services_select_the_pods_that_answer_http_and_no_others(values: Values) -> None:
    manifests = render(values)
    groups = pods(manifests)
    for service in of_kind(manifests, "Service"):
        selector = service["spec"]["selector"]
        chosen = [pod for group in groups.values() for pod in group if matches(selector, pod)]
        assert len(chosen) == 1
        assert chosen[0]["metadata"]["labels"][COMPONENT] == service["metadata"]["labels"][COMPONENT]
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]
        assert [port["name"] for port in container(chosen[0])["ports"]] == ["http"]


@every_set
def test_routes_budgets_and_scalers_name_what_exists(values: Values) -> None:
    manifests = render(values)
    names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            assert ("Service", rule["http"]["paths"][0]["backend"]["service"]["name"]) in names
    for route in of_kind(manifests, "HTTPRoute"):
        assert ("Service", route["spec"]["rules"][0]["backendRefs"][0]["name"]) in names
    for scaler in of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
        assert "replicas" not in only(manifests, target["kind"], target["name"])["spec"]
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        selector = budget["spec"]["selector"]["matchLabels"]
        assert all(matches(selector, pod) for pod in server_templates(manifests))


def rules(policy: Manifest, direction: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policy["spec"][direction]
    return found


@every_set
def test_network_policies_open_only_the_port_of_the_api_and_all_ports_within_a_group(values: Values) -> None:
    manifests = render(values)
    for policy in of_kind(manifests, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        chosen = [pod for group in pods(manifests).values() for pod in group if matches(selector, pod)]
        ports = {port["containerPort"] for pod in chosen for port in container(pod).get("ports", [])}
        assert len(ports) == 1
        for rule in rules(policy, "ingress"):
            if "ports" in rule:
                assert [port["port"] for port in rule["ports"]] == list(ports)
            else:
                assert values["multiNode"]["enabled"]
                assert rule["from"] == [{"podSelector": {"matchLabels": selector}}]


def test_by_default_anyone_may_use_the_api_and_nothing_else() -> None:
    [rule] = rules(only(render({}), "NetworkPolicy"), "ingress")
    assert rule == {"ports": [{"port": 8000, "protocol": "TCP"}]}


def test_peers_can_be_named_and_prometheus_and_the_test_of_the_release_get_in_too() -> None:
    manifests = render(VALUE_SETS["everything"])
    clients, monitoring = rules(only(manifests, "NetworkPolicy"), "ingress")
    research, test = clients["from"]
    assert research == {"namespaceSelector": {"matchLabels": {"team": "research"}}}
    assert matches(test["podSelector"]["matchLabels"], only(manifests, "Pod"))
    assert monitoring["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_behind_the_router_only_the_router_and_prometheus_reach_the_servers() -> None:
    manifests = render(VALUE_SETS["router"])
    [router] = pods(manifests)["router"]
    servers, front = (only(manifests, "NetworkPolicy", name) for name in ("demo-tenuto", "demo-tenuto-router"))
    via_router, monitoring = rules(servers, "ingress")
    assert matches(via_router["from"][0]["podSelector"]["matchLabels"], router)
    assert len(via_router["from"]) == 1
    assert "namespaceSelector" in monitoring["from"][0]
    [clients] = rules(front, "ingress")
    assert clients["from"][0] == {"namespaceSelector": {"matchLabels": {"team": "research"}}}
    assert clients["ports"] == [{"port": 8080, "protocol": "TCP"}]


@pytest.mark.parametrize("name", ["everything", "nodes-everything"])
def test_outgoing_traffic_can_be_restricted_to_names_the_hub_the_group_and_what_is_listed(name: str) -> None:
    policy = only(render(VALUE_SETS[name]), "NetworkPolicy", "demo-tenuto")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    names, hub, *group, listed = rules(policy, "egress")
    assert [(port["port"], port["protocol"]) for port in names["ports"]] == [(53, "UDP"), (53, "TCP")]
    assert hub == {"ports": [{"port": 443, "protocol": "TCP"}]}
    assert len(group) == (1 if name == "nodes-everything" else 0)
    assert listed == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}


@pytest.mark.parametrize(("router", "service"), [({}, "demo-tenuto"), ("router", "demo-tenuto-router")])
def test_everything_from_outside_goes_through_the_router_if_there_is_one(router: Any, service: str) -> None:
    routes = {key: VALUE_SETS["everything"][key] for key in ("ingress", "httpRoute")}
    manifests = render(merged(VALUE_SETS["router"] if router else {}, routes))
    [route] = only(manifests, "HTTPRoute")["spec"]["rules"]
    assert route["backendRefs"][0]["name"] == service
    [paths] = [rule["http"]["paths"] for rule in only(manifests, "Ingress")["spec"]["rules"][:1]]
    assert paths[0]["backend"]["service"]["name"] == service
    # The router's own paths, which add and remove replicas, are not exposed.
    assert route["matches"][0]["path"]["value"] == paths[0]["path"] == ("/v1" if router else "/")
    assert container(only(manifests, "Pod"))["args"][0] == f"http://{service}:80"


def test_gateways_do_not_cut_long_thinking() -> None:
    [rule] = only(render(VALUE_SETS["everything"]), "HTTPRoute")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
