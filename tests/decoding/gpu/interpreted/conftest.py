"""Allows vLLM's V2 model runner on the CPU, before anything imports vLLM.

pytest loads this file in every process; only one with TRITON_INTERPRET=1 runs the tests.
"""

import os
import sys

from .v2_runner import allow_v2_runner

if os.environ.get("TRITON_INTERPRET") == "1":
    assert "vllm" not in sys.modules
    allow_v2_runner()
