"""The figures of `docs/deployment.md`. `python -m tenuto_testing.memory_page` writes them there.

Those of memory are computed from a model's shape: none was measured on a GPU. The rate of an API process follows from
the overhead benchmark's last results.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/deployment.md"
OVERHEAD = PAGE.parents[1] / "benchmarks/results/overhead.json"
GIB = 2**30
#: vLLM's default of `--gpu-memory-utilization`.
UTILIZATION = 0.92
#: What vLLM needs on each GPU in addition to weights and KV cache: activations, CUDA graphs, NCCL. An assumption.
OVERHEAD_GIB = 4.0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The entries of a `config.json` of the Llama or Qwen2 kind that memory depends on."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    bytes_per_value: int = 2

    @property
    def parameters(self) -> int:
        """Weights and the biases of q, k and v; embedding and head are not tied."""
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        attention = 2 * self.hidden_size * queries + 2 * self.hidden_size * keys + queries + 2 * keys
        layer = attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size
        return self.num_hidden_layers * layer + 2 * self.vocab_size * self.hidden_size + self.hidden_size

    @property
    def weight_bytes(self) -> int:
        return self.parameters * self.bytes_per_value

    def kv_bytes(self, tokens: int = 1, bytes_per_value: int = 2) -> int:
        """Keys and values of that many tokens, in all layers."""
        return 2 * self.num_hidden_layers * self.num_key_value_heads * self.head_dim * bytes_per_value * tokens


#: Qwen2.5-32B, and so s1-32B and s1.1-32B.
S1_32B = ModelShape(5120, 27648, 64, 40, 8, 128, 152064, 32768)


@dataclass(frozen=True, slots=True)
class Machine:
    """GPUs that share one copy of the model by tensor parallelism, several times over with replicas.

    Attributes:
        gib: memory of one GPU.
        tensor_parallel: GPUs of one server.
        kv_bytes_per_value: 1 with `--kv-cache-dtype fp8`.
    """

    name: str
    gib: float
    tensor_parallel: int
    replicas: int
    kv_bytes_per_value: int = 2

    @property
    def options(self) -> str:
        shown = [f"--tensor-parallel-size {self.tensor_parallel}"] if self.tensor_parallel > 1 else []
        shown += ["--kv-cache-dtype fp8"] if self.kv_bytes_per_value == 1 else []
        servers = f", {self.replicas} servers behind a router" if self.replicas > 1 else ""
        return (", ".join(f"`{option}`" for option in shown) or "none") + servers

    def kv_tokens(self, model: ModelShape) -> int:
        """Tokens whose keys and values fit into all replicas together; 0 where the weights alone are too large."""
        server = self.tensor_parallel * (self.gib * UTILIZATION - OVERHEAD_GIB) * GIB - model.weight_bytes
        return self.replicas * max(int(server // model.kv_bytes(1, self.kv_bytes_per_value)), 0)


MACHINES = (
    Machine("1 x 80 GB", 79.6, 1, 1),
    Machine("1 x 80 GB", 79.6, 1, 1, kv_bytes_per_value=1),
    Machine("1 x H200 (141 GB)", 139.8, 1, 1),
    Machine("2 x 80 GB", 79.6, 2, 1),
    Machine("2 x 80 GB", 79.6, 2, 1, kv_bytes_per_value=1),
    Machine("8 x 80 GB", 79.6, 8, 1),
    Machine("8 x 80 GB", 79.6, 4, 2),
    Machine("8 x 80 GB", 79.6, 2, 4),
    Machine("8 x H200 (141 GB)", 139.8, 1, 8),
)
#: Lengths of a whole sequence: prompt, thinking and answer.
LENGTHS = (4096, 8192, 16384, 32768)
CONCURRENCY = (1, 8, 16, 32, 64)


def model_line(model: ModelShape = S1_32B) -> str:
    """The weights, and the keys and values of a token and of a whole context."""
    token, context = model.kv_bytes(), model.kv_bytes(model.max_position_embeddings)
    return (
        f"{model.parameters / 1e9:.2f} billion parameters are {model.weight_bytes / 1e9:.1f} GB of weights in bf16 "
        f"({model.weight_bytes / GIB:.1f} GiB). A token takes\n2 x {model.num_hidden_layers} layers x "
        f"{model.num_key_value_heads} KV heads x {model.head_dim} x 2 bytes = {token:,} bytes ({token // 1024} KiB) of "
        f"KV cache, and a whole context of\n{model.max_position_embeddings:,} tokens {context / GIB:.0f} GiB.\n"
    )


def lengths(model: ModelShape = S1_32B) -> str:
    """KV cache in GiB, by length and concurrency."""
    head = ("tokens of each sequence", *(f"{number} at once" for number in CONCURRENCY))
    rows = (
        (f"{length:,}", *(f"{model.kv_bytes(length) * number / GIB:,.0f} GiB" for number in CONCURRENCY))
        for length in LENGTHS
    )
    return _table(head, rows)


def machines(model: ModelShape = S1_32B) -> str:
    """What fits where."""
    head = ("GPUs", "options", "tokens in the KV cache", "sequences of 32,768", "of 8,192")
    rows = (
        (
            machine.name,
            machine.options,
            f"{machine.kv_tokens(model):,}",
            f"{_sequences(machine, model, model.max_position_embeddings)}",
            f"{_sequences(machine, model, 8192)}",
        )
        for machine in MACHINES
    )
    return _table(head, rows)


def _sequences(machine: Machine, model: ModelShape, length: int) -> int:
    """Whole sequences that fit at once; none is spread over two servers."""
    return machine.replicas * (machine.kv_tokens(model) // machine.replicas // length)


def api_line() -> str:
    """How many tokens/s one API process can send, by the processor time that each takes."""
    cells = json.loads(OVERHEAD.read_text())["results"]["152,064 rows"]["medians"]["no budget"]
    streams, cell = max(cells.items(), key=lambda item: int(item[0]))
    return (
        "How far one API process goes: in the overhead benchmark it takes "
        f"{cell['api_us']:.0f} µs of processor time for each token at {streams} streams\n"
        f"that send every token as an event, so one core is enough for {1e6 / cell['api_us']:,.0f} tokens/s "
        "([tables](../benchmarks/results/overhead.md)).\n"
        "vLLM's `--stream-interval 4` sends four tokens in an event, and replies that are not streamed cost less.\n"
    )


def drain_line(rate: int = 40) -> str:
    """How long the longest reply takes."""
    tokens = S1_32B.max_position_embeddings
    return f"A whole context of {tokens:,} tokens at {rate} tokens/s takes {tokens / rate / 60:.0f} minutes.\n"


def page(text: str) -> str:
    """The page with its figures as they have to be."""
    figures = {
        "model": model_line(),
        "lengths": lengths(),
        "machines": machines(),
        "api": api_line(),
        "drain": drain_line(),
    }
    for name, own in figures.items():
        before, start, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{start}{own}{end}{after}"
    return text


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    first = tuple(head)
    lines = [first, ("---",) * len(first), *map(tuple, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
