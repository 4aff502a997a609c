"""Renders the Helm chart with the real Helm, for the value sets that tests share."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/helm/tenuto"
RELEASE, NAMESPACE = "demo", "inference"

Manifest = dict[str, Any]
Values = dict[str, Any]

_KEYS: Values = {"apiKeys": {"keys": ["first-marker-key", "second-marker-key"], "scrapeKey": "scrape-marker-key"}}
_TOKEN: Values = {"huggingFace": {"token": "hf-marker-token"}}
_MONITORING: Values = {
    "monitoring": {
        name: {"enabled": True, "labels": {"release": "kube-prometheus-stack"}}
        for name in ("serviceMonitor", "prometheusRule", "dashboards")
    }
}
_MODEL: Values = {"model": {"name": "simplescaling/s1.1-32B"}, "gpu": {"count": 2}}
_ROUTER: Values = {"router": {"enabled": True, "image": {"repository": "registry.example.com/router", "tag": "1"}}}
_GROUPS: Values = {"model": {"name": "org/large"}, "gpu": {"count": 8}, "multiNode": {"enabled": True}}
_RESTRICTED: Values = {
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"team": "research"}}}],
        "monitoringNamespace": "monitoring",
        "egress": {"restrict": True, "rules": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
    }
}
_EVERYTHING: Values = {
    "commonLabels": {"cost-center": "research"},
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"repository": "registry.example.com/tenuto", "digest": f"sha256:{'0' * 64}"},
    "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}, "sessionAffinity": "ClientIP"},
    "serviceAccount": {"annotations": {"example.com/role": "reader"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
        "hosts": ["tenuto.example.com", "*.tenuto.example.com"],
        "tls": [{"hosts": ["tenuto.example.com"], "secretName": "tenuto-tls"}],
    },
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["tenuto.example.com"],
    },
    "persistence": {
        "weights": {"type": "claim", "storageClass": "fast", "annotations": {"example.com/backup": "no"}},
        "compileCache": {"type": "claim", "existingClaim": "caches", "subPath": "tenuto"},
    },
    "server": {
        "maxModelLen": 32768,
        "gpuMemoryUtilization": 0.85,
        "publicMetrics": True,
        "thinkingDefaults": "[default]\nmax_thinking_tokens = 8192\n\n[reasoning_effort]\nlow = 1024\n",
        "extraArgs": ["--max-num-seqs", "64", "--enable-prefix-caching"],
    },
    "resources": {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "128Gi"}},
    "runtimeClassName": "nvidia",
    "priorityClassName": "high",
    "podLabels": {"team": "research"},
    "podAnnotations": {"example.com/note": "value"},
    "nodeSelector": {"gpu": "h200"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h200"]}]}]
            }
        }
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "tenuto"}},
        }
    ],
    "extraEnv": [{"name": "VLLM_LOGGING_LEVEL", "value": "INFO"}],
    "extraEnvFrom": [{"configMapRef": {"name": "proxy"}}],
    "extraVolumes": [{"name": "adapters", "persistentVolumeClaim": {"claimName": "adapters"}}],
    "extraVolumeMounts": [{"name": "adapters", "mountPath": "/adapters", "readOnly": True}],
    "initContainers": [
        {
            "name": "check",
            "image": "registry.example.com/check:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def merged(*sets: Values) -> Values:
    """Several sets of values as one; later ones take precedence."""
    result: Values = {}
    for values in sets:
        for key, value in values.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def _autoscaling(kind: str) -> Values:
    return {"autoscaling": {"kind": kind, "minReplicas": 2, "maxReplicas": 8}}


#: Values by name. Together they turn on everything that the chart can render.
VALUE_SETS: Mapping[str, Values] = {
    "defaults": {},
    "model": _MODEL,
    "secrets": merged(_MODEL, _KEYS, _TOKEN, _MONITORING),
    "existing-secrets": merged(
        _MODEL,
        _MONITORING,
        {"apiKeys": {"existingSecret": "keys", "fileEntry": "clients", "scrapeEntry": "prometheus"}},
        {"huggingFace": {"existingSecret": "hub", "entry": "hf"}},
    ),
    "everything": merged(_MODEL, _KEYS, _TOKEN, _MONITORING, _RESTRICTED, _EVERYTHING),
    "hpa": merged(_MODEL, _autoscaling("hpa")),
    "keda": merged(_MODEL, _autoscaling("keda"), {"autoscaling": {"keda": {"authenticationRef": "prometheus"}}}),
    "router": merged(_MODEL, _KEYS, _ROUTER, _RESTRICTED, {"replicas": 3}),
    "router-everything": merged(_MODEL, _ROUTER, _MONITORING, _EVERYTHING),
    "nodes": _GROUPS,
    "nodes-ray": merged(
        _GROUPS, {"multiNode": {"executor": "ray", "size": 3}, "parallel": {"tensor": 24, "pipeline": 1}}
    ),
    "nodes-everything": merged(
        *(_GROUPS, _KEYS, _TOKEN, _MONITORING, _RESTRICTED, _ROUTER, _EVERYTHING, _autoscaling("keda")),
        {"gpu": {"count": 4}},
    ),
    "openshift": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "bare": {
        "serviceAccount": {"create": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "shutdown": {"preStopSeconds": 0, "drainSeconds": 0},
        "fullnameOverride": "x" * 50,
    },
    **{path.stem: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "examples").glob("*.yaml"))},
}


@cache
def chart() -> helm.Chart:
    return helm.Chart.load(FOLDER)


@cache
def _files(values: str) -> Mapping[str, str]:
    return chart().render(json.loads(values), name=RELEASE, namespace=NAMESPACE)


def files(values: Values) -> Mapping[str, str]:
    """The rendered text of each template, by its path.

    Raises:
        helm.HelmError: for values that the schema or a template rejects.
    """
    return _files(json.dumps(values))


def render(values: Values) -> list[Manifest]:
    """All manifests, those of hooks too. They are shared: not to be changed."""
    return _manifests(json.dumps(values))


@cache
def _manifests(values: str) -> list[Manifest]:
    texts = [text for path, text in _files(values).items() if not path.endswith("NOTES.txt")]
    return [manifest for text in texts for manifest in yaml.load_all(text, yaml.CSafeLoader) if manifest]


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one manifest of a kind, or with a name."""
    [found] = [each for each in of_kind(manifests, kind) if name in (None, each["metadata"]["name"])]
    return found


def pod_templates(manifests: list[Manifest]) -> Iterator[Manifest]:
    """`metadata` and `spec` of every pod that the manifests create."""
    for manifest in manifests:
        match manifest["kind"]:
            case "Deployment":
                yield manifest["spec"]["template"]
            case "LeaderWorkerSet":
                group = manifest["spec"]["leaderWorkerTemplate"]
                yield group["leaderTemplate"]
                yield group["workerTemplate"]
            case "Pod":
                yield manifest


def server_templates(manifests: list[Manifest]) -> list[Manifest]:
    """Those of the servers, without routers and tests."""
    key = "app.kubernetes.io/component"
    return [pod for pod in pod_templates(manifests) if pod["metadata"]["labels"][key] == "server"]


def container(pod: Manifest) -> dict[str, Any]:
    """The main container."""
    found: dict[str, Any] = pod["spec"]["containers"][0]
    return found
