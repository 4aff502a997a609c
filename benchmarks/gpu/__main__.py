"""Budget forcing on a GPU: is it equal to the automaton, and what does a step cost?

    PYTHONPATH=decoding:testing python -m benchmarks.gpu --out bench-gpu.json

from the root of a checkout, with only torch and Triton installed. First a simulated engine runs random requests on the
device, and every row and state is compared with the Python automaton. Then steps are measured with a vocabulary of
152,064: on the device, and on the host until they are queued. For comparison, so is the copy of the logits to float32
that vLLM makes for every batch with a processor. See docs/gpu.md.

`--tiny` with TRITON_INTERPRET=1 runs a small form of all this on a CPU; its times mean nothing.

The exit status is 1 if the device differs from the automaton. A missed target is only reported.
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
    if not options.tiny:
        return run(options)
    from tenuto_testing.faster_interpreter import faster_interpreter  # needs NumPy, which a GPU machine may lack

    with faster_interpreter():
        return run(options)


def run(options: argparse.Namespace) -> int:
    scale, device = (TINY, torch.device("cpu")) if options.tiny else (FULL, torch.device("cuda"))
    machine = describe_machine(device)
    show(", ".join(f"{name}: {value}" for name, value in machine.items()))

    equality = compare(options.cases, options.seed, device)
    show(f"{equality.cases} requests: {'all equal to the automaton' if equality.equal else equality.difference}")
    show(", ".join(f"{event}: {count}" for event, count in equality.events.items()) + "\n")

    costs, copies = list(measure(scale, device)), list(measure_copies(scale, device))
    verdicts = list(judge(costs, device))
    show("\n".join(["Microseconds a step: median (lowest to highest)", "", *table(costs, copies), ""]))
    show("\n".join(map(str, verdicts)))
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, help="random requests to compare (default: 2000; 100 with --tiny)")
    parser.add_argument("--seed", type=int, default=0, help="of the random requests (default: 0)")
    parser.add_argument("--tiny", action="store_true", help="a small form on the CPU, with TRITON_INTERPRET=1")
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
        parser.error("TRITON_INTERPRET=1 runs the kernels on the CPU; unset it, or add --tiny")
    if not options.tiny and not torch.cuda.is_available():
        parser.error("no GPU was found; to try the benchmark on a CPU, use --tiny with TRITON_INTERPRET=1")
    return options


def show(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
