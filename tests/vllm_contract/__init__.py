"""What Tenuto relies on in vLLM and uvicorn, checked in their sources without importing them.

Most of the contract is read from our own code (`uses`): each import, the arguments of each call, each method that a
subclass overrides, each inherited attribute that it reads. `objects` lists the rest: names that we reach through an
object. The same contract runs against the installed release and against the unpacked wheel of any other.

    python -m tests.vllm_contract 0.33.0    # or `make check-vllm VERSION=0.33.0`
"""
