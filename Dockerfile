# The image of `tenuto serve`, in two targets:
#
#     docker build --target gpu --tag tenuto:gpu .    # NVIDIA GPUs: vLLM's official image, and Tenuto on top of it
#     docker build --target cpu --tag tenuto:cpu .    # any x86-64 machine: a slim Python, vLLM's CPU build and Tenuto
#
# Both serve the built-in model unless a model is named, with any flag of `tenuto serve`, on port 8000:
#
#     docker run --publish 127.0.0.1:8000:8000 --shm-size 1g tenuto:cpu
#     docker run --gpus all --publish 127.0.0.1:8000:8000 --shm-size 8g --volume weights:/var/cache/huggingface \
#         tenuto:gpu simplescaling/s1.1-32B --tensor-parallel-size 2
#
# They run as any user of group 0, and on a read-only file system: only /tmp and the two volumes are written to. The
# server's processes exchange messages through /dev/shm, for which vLLM wants 240 MiB at least.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm


# Tenuto's wheel, which is the same for both targets.
FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY requirements/image-build.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/image-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY decoding decoding
COPY server server
COPY clients clients
COPY training training
COPY evaluation evaluation
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .


FROM ${PYTHON_IMAGE} AS cpu
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Tenuto" \
      org.opencontainers.image.description="An inference server that controls how long a reasoning model thinks (CPU)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# libnuma: vLLM's CPU kernels are linked to it. The folders are of group 0, in which an arbitrary user may write.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1=2.0.16-1 \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && install -d -m 0775 /var/cache/huggingface /var/cache/tenuto
# The local version +cpu is on PyTorch's own index only, so no other index can supply it.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# The base's pip installs into an environment without one. --no-deps: the lock is complete, and vLLM's metadata would
# bring CUDA builds.
RUN --mount=type=bind,source=requirements/image-cpu.txt,target=/tmp/image-cpu.txt \
    python -m venv --without-pip /opt/tenuto \
    && pip --python /opt/tenuto/bin/python install --no-cache-dir --no-deps --only-binary :all: \
        --extra-index-url "${TORCH_INDEX}" torch==2.13.0+cpu \
    && pip --python /opt/tenuto/bin/python install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
        -r /tmp/image-cpu.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/tmp/wheels \
    pip --python /opt/tenuto/bin/python install --no-cache-dir --no-deps /tmp/wheels/*.whl
# HOME is the volume of the compile caches, so that whatever a library caches there stays with them. A user without an
# entry in /etc/passwd has no name, which torch needs: hence USER and LOGNAME. On a CPU, torch.compile needs a compiler
# for C++, which is not here.
ENV PATH=/opt/tenuto/bin:${PATH} \
    HOME=/var/cache/tenuto \
    USER=tenuto \
    LOGNAME=tenuto \
    HF_HOME=/var/cache/huggingface \
    VLLM_CACHE_ROOT=/var/cache/tenuto/vllm \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/tenuto/inductor \
    TORCH_COMPILE_DISABLE=1
VOLUME ["/var/cache/huggingface", "/var/cache/tenuto"]
WORKDIR /srv
USER 2000:0
EXPOSE 8000
STOPSIGNAL SIGTERM
# Not ready is no failure while the model loads. http.client, because it uses no proxy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python3", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
# A container is reached through all its interfaces; a --host after the image's name takes precedence.
ENTRYPOINT ["tenuto", "serve", "--host", "0.0.0.0"]


FROM vllm/vllm-openai:v0.32.0 AS gpu
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="Tenuto" \
      org.opencontainers.image.description="An inference server that controls how long a reasoning model thinks (GPU)" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/vllm/vllm-openai:v0.32.0"
# --no-deps: every package of the base image keeps its version. If one does not suit Tenuto, the last step says so.
RUN --mount=type=bind,from=wheel,source=/wheels,target=/tmp/wheels \
    --mount=type=bind,source=requirements/image-gpu.txt,target=/tmp/image-gpu.txt \
    --mount=type=bind,source=deploy/image/check_requirements.py,target=/tmp/check_requirements.py \
    export PIP_BREAK_SYSTEM_PACKAGES=1 \
    && python3 -m pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r /tmp/image-gpu.txt \
    && python3 -m pip install --no-cache-dir --no-deps /tmp/wheels/*.whl \
    && python3 /tmp/check_requirements.py tenuto server \
    && install -d -m 0775 /var/cache/huggingface /var/cache/tenuto
ENV HOME=/var/cache/tenuto \
    USER=tenuto \
    LOGNAME=tenuto \
    HF_HOME=/var/cache/huggingface \
    VLLM_CACHE_ROOT=/var/cache/tenuto/vllm \
    TORCHINDUCTOR_CACHE_DIR=/var/cache/tenuto/inductor
VOLUME ["/var/cache/huggingface", "/var/cache/tenuto"]
WORKDIR /srv
USER 2000:0
EXPOSE 8000
STOPSIGNAL SIGTERM
# Weights of 65 GB may take half an hour to arrive.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
    CMD ["python3", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["tenuto", "serve", "--host", "0.0.0.0"]
