"""A platform for vLLM, in the way its plugins add one: its CPU platform, whose workers Ray may hold as GPUs.

Ray starts workers where a resource is free, and vLLM's CPU platform names none. Ray counts what `--num-gpus` says, and
does not look for real ones.
"""

from vllm.platforms.cpu import CpuPlatform


class RayCpuPlatform(CpuPlatform):
    ray_device_key = "GPU"


def register() -> str:
    """The entry point."""
    return "ray_cpu_platform.RayCpuPlatform"
