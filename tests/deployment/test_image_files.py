"""The Dockerfile, its locks and the compose file fit each other, the code and the tools that read them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from packaging.requirements import Requirement

from tests.deployment.dockerfile import Instruction, context_sources, instructions, is_in_context

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = instructions(ROOT / "Dockerfile")
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()
TARGETS, SERVERS = ("cpu", "gpu"), ("tenuto", "tenuto-gpu")
#: What the server needs to end after the drain: five seconds for replies that were cut, five for connections.
CUT_SECONDS = 10


def of_stage(stage: str, name: str) -> list[Instruction]:
    return [each for each in DOCKERFILE if (each.stage, each.name) == (stage, name)]


def the(stage: str, name: str) -> Instruction:
    [found] = of_stage(stage, name)
    return found


def arguments() -> dict[str, str]:
    return dict(each.text.partition("=")[::2] for each in DOCKERFILE if each.name == "ARG")


def blocks(lock: str) -> dict[str, str]:
    """The entries of a lock by name."""
    text = (ROOT / "requirements" / lock).read_text()
    return {block.partition("==")[0]: block for block in re.split(r"\n(?=[a-z0-9])", text) if "==" in block.split()[0]}


def pins(lock: str) -> set[str]:
    return {block.split()[0] for block in blocks(lock).values()}


def compose() -> dict[str, Any]:
    """The compose file with the defaults of its variables, and its anchors in place."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (COMPOSE / "compose.yaml").read_text())
    assert "${" not in text, "a variable without a default"
    loaded: dict[str, Any] = yaml.safe_load(text)
    return {name: value for name, value in loaded.items() if not name.startswith("x-")}


def mounts(service: str) -> dict[str, Path]:
    """The files and folders of the repository that a service sees, by their places in its container."""
    found = (entry.split(":") for entry in compose()["services"][service]["volumes"])
    return {parts[1]: (COMPOSE / parts[0]).resolve() for parts in found if parts[0].startswith(".")}


def seconds(duration: str) -> int:
    return sum(int(number) * {"s": 1, "m": 60}[unit] for number, unit in re.findall(r"(\d+)([ms])", duration))


# The Dockerfile


def test_hadolint_has_no_complaint_and_no_rule_is_switched_off() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "hadolint" not in (ROOT / "Dockerfile").read_text()
    assert not list(ROOT.glob(".hadolint*"))


def test_whatever_is_copied_exists_and_is_sent_to_the_builder() -> None:
    sources = set(context_sources(DOCKERFILE))
    assert {"pyproject.toml", "server", "deploy/image/check_requirements.py"} <= sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert is_in_context(source, IGNORED), source


def test_all_that_the_wheel_packages_is_copied() -> None:
    sources = set(context_sources(DOCKERFILE))
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(package).parts[0] for package in packages} <= sources
    assert {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= sources
    assert is_in_context("server/tenuto_server/s1_tiny/model.safetensors", IGNORED)


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "build/base.tar", "tests/conftest.py", "server/tenuto_server/__pycache__/a"],
)
def test_nothing_else_is_sent_to_the_builder(path: str) -> None:
    assert not is_in_context(path, IGNORED)


@pytest.mark.parametrize("target", TARGETS)
def test_both_targets_are_run_in_the_same_way(target: str) -> None:
    assert the(target, "ENTRYPOINT").list == ["tenuto", "serve", "--host", "0.0.0.0"]
    assert of_stage(target, "CMD") == []
    assert the(target, "USER").text == "2000:0"
    assert the(target, "STOPSIGNAL").text == "SIGTERM"
    assert the(target, "EXPOSE").text == "8000"
    assert "'127.0.0.1', 8000" in the(target, "HEALTHCHECK").text
    assert "/readyz" in the(target, "HEALTHCHECK").text
    assert "--start-period=" in the(target, "HEALTHCHECK").text


@pytest.mark.parametrize("target", TARGETS)
def test_caches_are_in_volumes(target: str) -> None:
    environment = dict(word.split("=") for word in the(target, "ENV").words)
    volumes = the(target, "VOLUME").list
    assert volumes == [environment["HF_HOME"], environment["HOME"]]
    caches = [environment["VLLM_CACHE_ROOT"], environment["TORCHINDUCTOR_CACHE_DIR"]]
    assert all(Path(cache).is_relative_to(environment["HOME"]) for cache in caches)
    assert any(f"install -d -m 0775 {' '.join(volumes)}" in each.text for each in of_stage(target, "RUN"))


def test_versions_are_those_of_the_project() -> None:
    assert arguments()["VERSION"] == PROJECT["project"]["version"]
    [vllm] = re.findall(r"^vllm==(\S+)", (ROOT / "requirements/gpu.in").read_text(), re.M)
    assert the("gpu", "FROM").words[0] == f"vllm/vllm-openai:v{vllm}"
    [torch] = re.findall(r"torch==([\d.]+)", (ROOT / "Makefile").read_text())
    assert f"torch=={torch}+cpu" in " ".join(each.text for each in of_stage("cpu", "RUN"))


@pytest.mark.parametrize("target", TARGETS)
def test_labels_name_the_base(target: str) -> None:
    base = the(target, "FROM").words[0].replace("${PYTHON_IMAGE}", arguments()["PYTHON_IMAGE"])
    [named] = re.findall(
        r'org\.opencontainers\.image\.base\.name="docker\.io/(?:library/)?([^"]+)"', the(target, "LABEL").text
    )
    assert named == base


# Its locks


def test_the_locks_of_the_image_have_the_versions_that_the_tests_run_with() -> None:
    assert pins("image-cpu.txt") < pins("cpu.txt")
    assert pins("image-gpu.txt") < pins("gpu.txt")
    assert pins("image-build.txt") < pins("cpu.txt")


def test_the_cpu_target_has_the_cpu_set_without_the_interpreter() -> None:
    def lines(name: str) -> set[str]:
        text = (ROOT / "requirements" / name).read_text()
        return {line for line in text.splitlines() if not line.startswith("#")}

    assert lines("cpu.in") - lines("image-cpu.in") == {"triton==3.9.0"}
    assert lines("image-cpu.in") <= lines("cpu.in")


def test_the_gpu_target_installs_what_vllm_does_not_bring() -> None:
    entries = blocks("gpu.txt")
    required_by = {
        name: set(re.findall(r"#(?: via)?\s+([\w.-]+)", text.partition("# via")[2])) for name, text in entries.items()
    }
    brought, before = {"vllm"}, set[str]()
    while brought != before:
        before = brought
        brought = before | {name for name, parents in required_by.items() if parents & before}
    project = PROJECT["project"]
    wanted = {
        Requirement(text).name for text in (*project["dependencies"], *project["optional-dependencies"]["server"])
    }
    assert {pin.partition("==")[0] for pin in pins("image-gpu.txt")} == wanted - brought


def test_the_wheel_is_built_with_what_the_project_requires_for_it() -> None:
    lines = (ROOT / "requirements/image-build.in").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == PROJECT["build-system"]["requires"]


REQUIRING = """Metadata-Version: 2.1
Name: whole
Version: 1
Requires-Dist: packaging>=20
Requires-Dist: packaging>=9000; extra == "server"
Requires-Dist: nowhere-to-be-found; extra == "server"
Requires-Dist: also-missing; extra == "other"
"""


def test_the_build_names_each_package_of_the_base_that_does_not_suit(tmp_path: Path) -> None:
    (tmp_path / "whole-1.dist-info").mkdir()
    (tmp_path / "whole-1.dist-info/METADATA").write_text(REQUIRING)
    command = [sys.executable, str(ROOT / "deploy/image/check_requirements.py"), "whole"]
    environment = {"PYTHONPATH": str(tmp_path)}
    suits = subprocess.run([*command, "third"], env=environment, capture_output=True, text=True)
    assert (suits.returncode, suits.stderr) == (0, "")
    fails = subprocess.run([*command, "server"], env=environment, capture_output=True, text=True)
    assert fails.returncode == 1
    first, second = fails.stderr.splitlines()
    assert re.fullmatch(r"packaging>=9000.* is required, and packaging \S+ is installed", first)
    assert second.endswith("is required, and nowhere-to-be-found is not installed")


# The compose file


def test_it_follows_the_compose_specification() -> None:
    PyCompose.from_yaml(yaml.safe_dump(compose())).validate()


def test_what_it_mounts_and_builds_exists() -> None:
    services = compose()["services"]
    for service in services:
        for path in mounts(service).values():
            assert path.exists(), f"{service}: {path}"
    for service, target in zip(SERVERS, TARGETS, strict=True):
        build = services[service]["build"]
        assert (COMPOSE / build["context"]).resolve() == ROOT
        assert build["target"] == target
        assert services[service]["image"] == f"tenuto:{target}"
        assert services[service]["pull_policy"] == "build"


def test_each_profile_has_one_server_and_one_is_the_default() -> None:
    assert [compose()["services"][service]["profiles"] for service in SERVERS] == [["cpu"], ["gpu"]]
    assert "COMPOSE_PROFILES=cpu" in (COMPOSE / ".env").read_text().splitlines()


@pytest.mark.parametrize("service", SERVERS)
def test_its_servers_keep_volumes_and_have_time_to_drain(service: str) -> None:
    definition = compose()["services"][service]
    command = " ".join(definition["command"])
    [drain] = re.findall(r"--drain-timeout[ =](\d+)", command)
    assert seconds(definition["stop_grace_period"]) > int(drain) + CUT_SECONDS
    named = {entry.split(":")[1] for entry in definition["volumes"] if not entry.startswith(".")}
    assert named == set(the("cpu", "VOLUME").list)
    assert "/tmp" in definition["tmpfs"]
    assert int(definition["shm_size"].removesuffix("gb")) >= 1, "vLLM wants 240 MiB"
    assert "--public-metrics" in command


def test_ports_are_published_to_this_machine_only_and_are_those_of_the_images() -> None:
    ports = {name: service["ports"] for name, service in compose()["services"].items()}
    assert ports == {
        **{name: [f"127.0.0.1:8000:{the('cpu', 'EXPOSE').text}"] for name in SERVERS},
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_images_of_others_have_fixed_versions_and_grafana_that_of_the_boards() -> None:
    services = compose()["services"]
    versions = {name: services[name]["image"].partition(":")[2] for name in ("prometheus", "grafana")}
    assert all(re.fullmatch(r"v?\d+\.\d+\.\d+", version) for version in versions.values())
    [line] = re.findall(r"!(\d+\.\d+)", PROJECT["project"]["optional-dependencies"]["deploy"][0])
    assert versions["grafana"].startswith(f"{line}.")


def test_prometheus_reads_its_files_and_scrapes_the_servers(tmp_path: Path) -> None:
    for place, source in mounts("prometheus").items():
        (tmp_path / Path(place).name).write_bytes(source.read_bytes())
    promtool = ROOT / ".venv/prometheus/promtool"
    checked = subprocess.run([promtool, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert len(re.findall(r"SUCCESS: \d+ rules found", checked.stdout)) == 2
    [job] = yaml.safe_load((tmp_path / "prometheus.yml").read_text())["scrape_configs"]
    [[target]] = [config["targets"] for config in job["static_configs"]]
    host, _, port = target.partition(":")
    assert port == the("cpu", "EXPOSE").text
    for service in SERVERS:
        assert compose()["services"][service]["networks"]["default"]["aliases"] == [host]


def test_grafana_finds_its_boards_and_prometheus() -> None:
    grafana, places = compose()["services"]["grafana"], mounts("grafana")
    provisioning = places["/etc/grafana/provisioning"]
    [provider] = yaml.safe_load((provisioning / "dashboards/tenuto.yaml").read_text())["providers"]
    boards = places[provider["options"]["path"]]
    assert len(list(boards.glob("*.json"))) == 4
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (places[str(home.parent)] / home.name).exists()
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "${PROMETHEUS_URL}"
    assert grafana["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_its_page_names_what_is_there() -> None:
    page = (COMPOSE / "README.md").read_text()
    services = compose()["services"]
    named = set(re.findall(r"docker compose (?:exec|logs|stop|restart)(?: --env \S+| --\S+)* ([\w-]+)", page))
    assert {"tenuto", "tenuto-gpu"} <= named <= services.keys()
    assert "/srv/load.py" in page
    assert "/srv/load.py" in mounts("tenuto")
