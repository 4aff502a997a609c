"""The pods of the Helm chart: the server itself parses their arguments, and their probes, times and rights fit it."""

import json
import os
import re
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vllm_router.launch_router import parse_router_args

from tenuto_server.config.command_line import BUILT_IN_NAME, ServeConfig, parse_command_line
from tenuto_server.paths import find_endpoint

from .chart import (
    ROOT,
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

LEADER = "large-0.large.inference"
CONFIG_FOLDER = "/etc/tenuto/config"
MARKERS = ("first-marker-key", "second-marker-key", "scrape-marker-key", "hf-marker-token")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sets variables for its built-in model."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


def arguments(pod: Manifest) -> list[str]:
    """Those of the server, in which Kubernetes has filled in what LeaderWorkerSet sets in each container."""
    words: list[str] = container(pod)["args"]
    filled_in = {"$(LWS_LEADER_ADDRESS)": LEADER, "$(LWS_WORKER_INDEX)": "1" if "--headless" in words else "0"}
    return [filled_in.get(word, word) for word in words]


def parsed(values: Values, folder: Path, pod: Manifest) -> tuple[ServeConfig, Any]:
    """The arguments of a pod, parsed by the server. The files of its ConfigMap are in a folder."""
    for manifest in of_kind(render(values), "ConfigMap"):
        for name, text in manifest["data"].items():
            (folder / name).write_text(text)
    return parse_command_line([word.replace(CONFIG_FOLDER, str(folder)) for word in arguments(pod)])


@every_set
def test_the_server_accepts_the_arguments_of_every_pod(values: Values, tmp_path: Path) -> None:
    pods = [pod for pod in server_templates(render(values)) if "args" in container(pod)]
    assert pods
    shutdown = {"drainSeconds": 300} | values.get("shutdown", {})
    server = values.get("server", {})
    name = values.get("model", {}).get("name")
    for pod in pods:
        config, args = parsed(values, tmp_path, pod)
        assert config.drain_timeout == shutdown["drainSeconds"]
        assert config.public_metrics == server.get("publicMetrics", False)
        assert config.log_format == "json"
        assert (args.host, args.port, args.headless) == ("0.0.0.0", 8000, "ports" not in container(pod))
        assert args.max_model_len == server.get("maxModelLen")
        if name is None:
            assert args.served_model_name == [BUILT_IN_NAME]
        else:
            assert args.model == name
        if "thinkingDefaults" in server:
            assert config.read_defaults().efforts["low"]["max_thinking_tokens"] == 1024


@pytest.mark.parametrize(
    ("name", "tensor", "pipeline", "nodes"),
    [
        ("defaults", 1, 1, 1),
        ("model", 2, 1, 1),
        ("nodes", 8, 2, 2),
        ("nodes-ray", 24, 1, 1),
        ("nodes-everything", 4, 2, 2),
    ],
)
def test_a_model_is_divided_over_the_gpus_that_its_pods_have(
    name: str, tensor: int, pipeline: int, nodes: int, tmp_path: Path
) -> None:
    values = VALUE_SETS[name]
    leader = server_templates(render(values))[0]
    _, args = parsed(values, tmp_path, leader)
    assert (args.tensor_parallel_size, args.pipeline_parallel_size, args.nnodes) == (tensor, pipeline, nodes)
    gpus = container(leader).get("resources", {}).get("limits", {}).get("nvidia.com/gpu", "0")
    size = 3 if name == "nodes-ray" else nodes
    assert int(gpus) * size == (0 if name == "defaults" else tensor * pipeline)


def test_workers_run_the_same_command_as_their_leader_without_its_http_server(tmp_path: Path) -> None:
    values = VALUE_SETS["nodes-everything"]
    leader, worker = server_templates(render(values))
    serving = {"--api-key-file", "/etc/tenuto/api-keys/keys", "0"}
    assert set(arguments(leader)) - serving == set(arguments(worker)) - {"--headless", "1"}
    _, args = parsed(values, tmp_path, worker)
    assert (args.headless, args.node_rank, args.nnodes, args.master_addr) == (True, 1, 2, LEADER)
    assert container(worker).keys().isdisjoint({"ports", "startupProbe", "readinessProbe", "livenessProbe"})
    for pod in (leader, worker):
        assert {"name": "VLLM_HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}} in container(pod)[
            "env"
        ]


def test_with_ray_the_leader_serves_and_the_workers_join_its_cluster(tmp_path: Path) -> None:
    values = VALUE_SETS["nodes-ray"]
    leader, worker = server_templates(render(values))
    _, args = parsed(values, tmp_path, leader)
    assert (args.distributed_executor_backend, args.nnodes) == ("ray", 1)
    head, join = (container(pod)["command"][2] for pod in (leader, worker))
    assert head.startswith("ray start --head --port=6379 ")
    assert head.endswith('&& exec tenuto serve "$@"')
    assert 'ray start --address="$LWS_LEADER_ADDRESS:6379" ' in join
    assert "args" not in container(worker)


@every_set
def test_probes_ask_for_public_paths_that_the_server_has_on_the_port_it_listens_on(values: Values) -> None:
    for pod in server_templates(render(values)):
        server = container(pod)
        if "ports" not in server:  # a worker
            continue
        paths = {name: server[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
        assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
        assert all(find_endpoint(path).public == "always" for path in paths.values())
        assert {server[name]["httpGet"]["port"] for name in paths} == {"http"}
        assert [port["name"] for port in server["ports"]] == ["http"]


@given(
    seconds=st.integers(60, 100_000),
    period=st.integers(1, 60),
    drain=st.integers(0, 86_400),
    pre_stop=st.integers(0, 300),
    reserve=st.integers(10, 600),
)
@settings(max_examples=40)
def test_a_pod_has_time_to_start_and_to_end(seconds: int, period: int, drain: int, pre_stop: int, reserve: int) -> None:
    values: Values = {
        "probes": {"startup": {"forSeconds": seconds, "periodSeconds": period}},
        "shutdown": {"preStopSeconds": pre_stop, "drainSeconds": drain, "reserveSeconds": reserve},
    }
    deployment = only(render(values), "Deployment")["spec"]
    pod = deployment["template"]
    words = arguments(pod)
    assert words[words.index("--drain-timeout") + 1] == str(drain)
    assert pod["spec"]["terminationGracePeriodSeconds"] == pre_stop + drain + reserve
    hook = container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert hook == pre_stop
    probe = container(pod)["startupProbe"]
    assert 0 <= probe["failureThreshold"] * probe["periodSeconds"] - seconds < period
    assert deployment["progressDeadlineSeconds"] > seconds + pre_stop + drain + reserve


@pytest.mark.parametrize("executor", ["mp", "ray"])
def test_a_worker_and_the_router_end_after_the_server_whose_replies_they_carry(executor: str) -> None:
    """A worker of the server waits for its leader after SIGTERM; one of Ray's has to be kept from it."""
    own = {"shutdown": {"drainSeconds": 1000}, "multiNode": {"executor": executor}}
    manifests = render(merged(VALUE_SETS["nodes-everything"], own))
    leader, worker = server_templates(manifests)
    grace = leader["spec"]["terminationGracePeriodSeconds"]
    assert grace == 1045
    before = container(worker)["lifecycle"]["preStop"]
    if executor == "mp":
        assert before == container(leader)["lifecycle"]["preStop"] == {"sleep": {"seconds": 15}}
    else:
        assert before["exec"]["command"][3:] == ["outlive", str(grace), "8000"]
    assert worker["spec"]["terminationGracePeriodSeconds"] == grace + 30
    router = only(manifests, "Deployment")["spec"]["template"]
    assert router["spec"]["terminationGracePeriodSeconds"] == grace


@pytest.mark.parametrize("name", ["router", "nodes-everything"])
def test_the_router_accepts_its_arguments_and_finds_the_pods_that_answer_http(name: str) -> None:
    manifests = render(VALUE_SETS[name])
    router = only(manifests, "Deployment", "demo-tenuto-router")["spec"]["template"]
    args = parse_router_args(container(router)["args"])
    assert (args.policy, args.host, args.health_check_endpoint) == ("consistent_hash", "0.0.0.0", "/readyz")
    assert (args.service_discovery_namespace, args.service_discovery_port) == ("inference", 8000)
    assert args.disable_circuit_breaker
    assert (args.health_check_interval_secs, args.health_failure_threshold, args.retry_max_retries) == (1, 1, 6)
    [leader, *_] = server_templates(manifests)
    index = {"leaderworkerset.sigs.k8s.io/worker-index": "0"} if name == "nodes-everything" else {}
    assert args.selector.items() <= {**leader["metadata"]["labels"], **index}.items()
    assert args.selector.items() >= index.items()
    role = only(manifests, "Role")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]


@every_set
def test_pods_keep_the_restricted_standard_and_have_no_token(values: Values) -> None:
    for pod in pod_templates(render(values)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["securityContext"].get("runAsUser") != 0
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for each in [*spec["containers"], *spec.get("initContainers", [])]:
            assert each["securityContext"]["allowPrivilegeEscalation"] is False
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        is_router = pod["metadata"]["labels"]["app.kubernetes.io/component"] == "router"
        assert spec["automountServiceAccountToken"] is is_router  # which watches pods


@every_set
def test_every_volume_is_mounted_and_what_a_pod_refers_to_exists(values: Values) -> None:
    manifests = render(values)
    made = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    given = {
        ("Secret", values.get("apiKeys", {}).get("existingSecret")),
        ("Secret", values.get("huggingFace", {}).get("existingSecret")),
        ("PersistentVolumeClaim", "caches"),
        ("PersistentVolumeClaim", "adapters"),
    }
    for pod in pod_templates(manifests):
        spec = pod["spec"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        assert {mount["name"] for mount in container(pod).get("volumeMounts", [])} == volumes.keys()
        assert set(_references(spec)) <= made | given
        account = spec.get("serviceAccountName", "default")
        assert account == "default" or ("ServiceAccount", account) in made


def _references(spec: Manifest) -> Iterator[tuple[str, str]]:
    """Secrets, ConfigMaps and claims of the volumes and variables of a pod."""
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for variable in spec["containers"][0].get("env", []):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield "Secret", variable["valueFrom"]["secretKeyRef"]["name"]


@every_set
def test_secrets_are_in_secrets_only(values: Values) -> None:
    secrets = [each for each in render(values) if each["kind"] == "Secret"]
    others = json.dumps([each for each in render(values) if each["kind"] != "Secret"])
    assert not any(marker in others for marker in MARKERS)
    assert "--api-key" not in [
        word for pod in server_templates(render(values)) for word in container(pod).get("args", [])
    ]
    assert bool(secrets) == bool(
        {"keys"} & values.get("apiKeys", {}).keys() or values.get("huggingFace", {}).get("token")
    )


def test_the_created_secrets_hold_what_was_given() -> None:
    secrets = {each["metadata"]["name"]: each["data"] for each in of_kind(render(VALUE_SETS["secrets"]), "Secret")}
    decoded = {name: {key: b64decode(text).decode() for key, text in data.items()} for name, data in secrets.items()}
    assert decoded == {
        "demo-tenuto-api-keys": {"keys": "first-marker-key\nsecond-marker-key\n", "scrape": "scrape-marker-key"},
        "demo-tenuto-hugging-face": {"token": "hf-marker-token"},
    }


def test_keys_reach_the_server_as_a_file_and_the_key_of_prometheus_as_a_variable() -> None:
    manifests = render(VALUE_SETS["existing-secrets"])
    [pod] = server_templates(manifests)
    [keys] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "api-keys"]
    assert keys["secret"]["items"] == [{"key": "clients", "path": "keys"}]
    variables = {each["name"]: each.get("valueFrom") for each in container(pod)["env"]}
    assert variables["VLLM_API_KEY"] == {"secretKeyRef": {"name": "keys", "key": "prometheus"}}
    assert variables["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "hf"}}
    [endpoint] = only(manifests, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "keys", "key": "prometheus"}


def test_the_image_and_the_chart_agree_on_volumes_variables_user_and_port() -> None:
    image = (ROOT / "Dockerfile").read_text()
    pod = only(render({}), "Deployment")["spec"]["template"]
    mounts = {mount["mountPath"] for mount in container(pod)["volumeMounts"]}
    volumes = [set(json.loads(line)) for line in re.findall(r"^VOLUME (.*)", image, re.M)]
    assert volumes == [mounts - {"/dev/shm", "/tmp"}] * 2  # one for each target
    for variable in container(pod)["env"]:
        assert image.count(f"{variable['name']}={variable['value']}") == 2
    context = pod["spec"]["securityContext"]
    assert set(re.findall(r"^USER (.*)", image, re.M)) == {f"{context['runAsUser']}:{context['runAsGroup']}"}
    assert set(re.findall(r"^EXPOSE (.*)", image, re.M)) == {str(container(pod)["ports"][0]["containerPort"])}
    assert 'ENTRYPOINT ["tenuto", "serve"' in image
