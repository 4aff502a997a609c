"""Checks custom resources as strictly as `kubernetes-validate` checks those of Kubernetes itself.

schemas/ has what the chart may use of each kind. Whether that is what the projects publish is shown on demand, with
their CustomResourceDefinitions, which are too large for this repository (the one of LeaderWorkerSet alone has 1.3 MB):

    python -m tests.deployment.custom_resources CRD.yaml ...
"""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from .chart import VALUE_SETS, Manifest, render

FOLDER = Path(__file__).parent / "schemas"
API_VERSIONS = {
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "ScaledObject": "keda.sh/v1alpha1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
}
LATEST = kubernetes_validate.latest_version()
_FIELDS = {"apiVersion", "kind", "metadata", "spec"}

# It would read all definitions of Kubernetes again for every manifest.
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)


def problems(manifest: Manifest) -> Iterator[str]:
    """What is wrong with a custom resource, by the schemas of this folder."""
    kind = manifest["kind"]
    if manifest["apiVersion"] != API_VERSIONS[kind]:
        yield f"apiVersion is {manifest['apiVersion']}"
    yield from (f"unknown field {name}" for name in manifest.keys() - _FIELDS)
    yield from _problems_of(manifest["spec"], schema(kind))
    if kind == "LeaderWorkerSet":
        template = manifest["spec"]["leaderWorkerTemplate"]
        for name in ("leaderTemplate", "workerTemplate"):
            validate_builtin({"apiVersion": "v1", "kind": "PodTemplate", "template": template[name]})


def validate_builtin(manifest: Manifest, version: str = LATEST) -> None:
    """Raises kubernetes_validate.ValidationError for a manifest of a built-in kind that Kubernetes would not take."""
    kubernetes_validate.validate(manifest, version, strict=True)


@cache
def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = closed(yaml.safe_load((FOLDER / f"{kind}.yaml").read_text()))
    return found


def closed(node: Any) -> Any:
    """A schema in which objects have no other properties than those named, as in Kubernetes' strict validation."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {key: closed(value) for key, value in node.items()}
    # A property may itself be called `properties`; then it is no list of them.
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        return {"additionalProperties": False} | inner
    return inner


def _problems_of(instance: Any, against: dict[str, Any]) -> Iterator[str]:
    for error in jsonschema.Draft202012Validator(against).iter_errors(instance):
        yield f"{error.json_path.replace('$', 'spec', 1)}: {error.message}"


def published(text: str) -> tuple[str, dict[str, Any]]:
    """The kind that a CustomResourceDefinition defines, and the strict schema of `spec` in the version used here."""
    definition = yaml.load(text, yaml.CSafeLoader)["spec"]
    kind = definition["names"]["kind"]
    version = API_VERSIONS[kind].rpartition("/")[2]
    [found] = [each for each in definition["versions"] if each["name"] == version and each["served"]]
    return kind, closed(found["schema"]["openAPIV3Schema"]["properties"]["spec"])


def differences(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """Where a schema of this folder is not a part of the published one."""
    for key in ("type", "enum", "required", "pattern", "minimum", "maximum", "minLength", "minItems", "anyOf"):
        if key in ours and ours[key] != theirs.get(key):
            yield f"{path}: {key} is {ours[key]!r}, but {theirs.get(key)!r} is published"
    for name, inner in ours.get("properties", {}).items():
        if name in theirs.get("properties", {}):
            yield from differences(inner, theirs["properties"][name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is not published"
    if "items" in ours:
        yield from differences(ours["items"], theirs.get("items", {}), f"{path}[]")


def main(paths: list[str]) -> int:
    """Check the schemas and the resources of all value sets against CustomResourceDefinitions; print the problems."""
    definitions = dict(published(Path(path).read_text()) for path in paths)
    found = [problem for kind, spec in definitions.items() for problem in differences(schema(kind), spec, kind)]
    count = 0
    for name, values in VALUE_SETS.items():
        for manifest in render(values):
            if manifest["kind"] in definitions:
                count += 1
                against = definitions[manifest["kind"]]
                found += [f"{name}: {manifest['kind']}: {each}" for each in _problems_of(manifest["spec"], against)]
    lines = [*found, f"{count} custom resources of {', '.join(sorted(definitions))}: {len(found)} problems"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
