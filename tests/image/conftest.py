"""The images, built from the unchanged Dockerfile, on local images that stand in for the public ones below them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .builder import ROOT, BuiltImage, ImageBuilder
from .container import Container, running

DOCKERFILE = ROOT / "Dockerfile"
STAND_INS = Path(__file__).parent / "stand_ins"
PYTHON, VLLM = "docker.io/library/python:3.11-slim-bookworm", "docker.io/vllm/vllm-openai:v0.32.0"
CPU, GPU = "localhost/tenuto:cpu", "localhost/tenuto:gpu"
#: Replies long enough to be running when the container is stopped.
LONG_CONTEXT = ("--hf-overrides", '{"max_position_embeddings": 65536}')


@pytest.fixture(scope="session")
def builder() -> Iterator[ImageBuilder]:
    builder = ImageBuilder.in_folder(ROOT / "build/image")
    yield builder
    builder.remove_all()


@pytest.fixture(scope="session")
def cpu_image(builder: ImageBuilder) -> BuiltImage:
    builder.base(("python3", "python3-venv", "python3-pip", "ca-certificates"))
    builder.build(builder.folder, STAND_INS / "python.Containerfile", PYTHON)
    builder.build(ROOT, DOCKERFILE, CPU, "cpu")
    return builder.open(CPU)


@pytest.fixture(scope="session")
def gpu_image(builder: ImageBuilder, cpu_image: BuiltImage) -> BuiltImage:
    builder.build(STAND_INS, STAND_INS / "vllm.Containerfile", VLLM)
    builder.build(ROOT, DOCKERFILE, GPU, "gpu")
    return builder.open(GPU)


@pytest.fixture(scope="session")
def cpu_server(builder: ImageBuilder, cpu_image: BuiltImage) -> Iterator[Container]:
    """The CPU target's server; the last test stops it."""
    load = {ROOT / "deploy/compose/load.py": "/srv/load.py"}
    with running(cpu_image, builder.folder / "cpu-server", *LONG_CONTEXT, mounts=load) as container:
        yield container
