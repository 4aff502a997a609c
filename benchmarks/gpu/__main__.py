"""Budget forcing on a GPU: is it the automaton, and what does a step cost?

    PYTHONPATH=decoding:testing python -m benchmarks.gpu --out bench-gpu.json

from the root of a checkout, with torch and Triton and nothing else installed. First random requests live through a
simulated engine on the device, and every row and state is compared with the Python automaton. Then steps are measured
with a vocabulary of 152,064: on the device, and on the host until they are queued, beside the copy of the logits to
float32 that vLLM makes for any batch that a processor has a say in. See docs/gpu.md.

`--tiny` with TRITON_INTERPRET=1 runs all of it on a CPU, small; its times say nothing.

Exits with 1 where the device differs from the automaton; targets that are missed are only said.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from .costs import judge, measure, measure_copies, table
from .equality import compare
from .machine import describe_machine
from .steps import FULL, TINY


def main() -> int:
    options = parse()
    if options.tiny:
        make_interpreter_faster()
    scale, device = (TINY, torch.device("cpu")) if options.tiny else (FULL, torch.device("cuda"))
    machine = describe_machine(device)
    say(", ".join(f"{name}: {value}" for name, value in machine.items()))

    equality = compare(options.cases, options.seed, device)
    say(f"{equality.cases} requests: {'all equal to the automaton' if equality.equal else equality.difference}")
    say(", ".join(f"{event}: {count}" for event, count in equality.events.items()) + "\n")

    costs, copies = list(measure(scale, device)), list(measure_copies(scale, device))
    verdicts = list(judge(costs, device))
    say("\n".join(["Microseconds a step: median (lowest to highest)", "", *table(costs, copies), ""]))
    say("\n".join(map(str, verdicts)))
    if options.out:
        results = {
            "machine": machine,
            "scale": asdict(scale),
            "equality": {"equal": equality.equal, **asdict(equality)},
            "costs": list(map(asdict, costs)),
            "copies": list(map(asdict, copies)),
            "targets": list(map(asdict, verdicts)),
        }
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if equality.equal else 1


def make_interpreter_faster() -> None:
    from tenuto_testing.faster_interpreter import make_faster  # imports more than there is on a GPU machine

    make_faster()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, help="random requests that are compared (default: 2000; 100 with --tiny)")
    parser.add_argument("--seed", type=int, default=0, help="other requests for another number (default: 0)")
    parser.add_argument("--tiny", action="store_true", help="small, on the CPU, with TRITON_INTERPRET=1")
    parser.add_argument("--out", type=Path, help="write machine, comparison and times to this file, as JSON")
    options = parser.parse_args()
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if options.cases is None:
        options.cases = 100 if options.tiny else 2000
    if options.cases < 1:
        parser.error(f"--cases: {options.cases} is not a number of requests; give 1 or more")
    if options.tiny and not interpreted:
        parser.error("--tiny runs on the CPU; set TRITON_INTERPRET=1")
    if not options.tiny and interpreted:
        parser.error("TRITON_INTERPRET=1 has the kernels run on the CPU; unset it, or give --tiny")
    if not options.tiny and not torch.cuda.is_available():
        parser.error("no GPU is found; --tiny with TRITON_INTERPRET=1 tries the benchmark out on a CPU")
    return options


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
