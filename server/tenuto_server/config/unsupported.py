"""Options of `vllm serve` that this server refuses, because they would have no effect or open what it keeps closed."""

from argparse import ArgumentParser, Namespace

from ..errors import StartupError

_ONE_PROCESS = "this server is one process: start several, each with its own port, behind a router (docs/scaling.md)"
_REPLICAS = "start a server on each machine, behind a router (docs/deployment.md)"
_NO_COHERE = "Cohere's /v2/chat is not offered"

#: By the name of the option as an attribute; the values are what a user may do instead, or why not.
REFUSED = {
    "api_server_count": _ONE_PROCESS,
    "cohere_is_reasoning_model": _NO_COHERE,
    "data_parallel_multi_port_external_lb": _ONE_PROCESS,
    "data_parallel_supervisor_port": _ONE_PROCESS,
    "dp_supervisor_probe_failure_threshold": _ONE_PROCESS,
    "dp_supervisor_probe_interval_s": _ONE_PROCESS,
    "dp_supervisor_probe_timeout_s": _ONE_PROCESS,
    "enable_elastic_ep": "the endpoint /scale_elastic_ep is not offered",
    "enable_fault_tolerance": "its endpoints are not offered: the server ends with its engine",
    "enable_flash_late_interaction": "it is about scoring, and this server generates text",
    "enable_offline_docs": "the documentation's pages need a network; /openapi.json does not",
    "enable_prompt_embeds": "embeddings are not accepted from requests: send text or token ids",
    "enable_scale_out": "the endpoints /render, /derender and /inference are not offered",
    "enable_tokenizer_info_endpoint": "/tokenizer_info is not offered: it shows the chat template",
    "grpc": "this server speaks HTTP",
    "grpc_port": "this server speaks HTTP",
    "profiler_config": "the endpoints /start_profile and /stop_profile are not offered",
    "tokens_only": "the endpoint /inference/v1/generate is not offered",
    "trust_request_chat_template": "a template is code: the server uses its own (--chat-template)",
    "trust_request_mm_kwargs": "only the server decides how media are read and processed",
    "worker_extension_cls": "this server's own extension enforces the budgets",
}

#: Values of refused options that ask for what happens anyway.
_HARMLESS = {"api_server_count": 1}


def reject_unsupported_options(args: Namespace, parser: ArgumentParser) -> None:
    """Raise StartupError for the first refused option that was given."""
    for name, reason in REFUSED.items():
        given = getattr(args, name, None)
        if given not in (None, "") and given not in (parser.get_default(name), _HARMLESS.get(name)):
            raise StartupError(f"--{name.replace('_', '-')} is not supported by tenuto serve: {reason}")
    _reject_lonely_nodes(args)
    if args.otlp_traces_endpoint is not None and args.disable_log_stats:
        raise StartupError("--otlp-traces-endpoint: vLLM's spans hold its statistics: leave out --disable-log-stats")


def _reject_lonely_nodes(args: Namespace) -> None:
    """Raise StartupError for options about nodes with which this one would wait for others in vain, or serve nobody."""
    if args.headless != (args.node_rank > 0):
        raise StartupError(
            f"--node-rank {args.node_rank}{' --headless' if args.headless else ''}: only node 0 has an HTTP server, so "
            "each other node of --nnodes needs both --node-rank K, above 0, and --headless"
        )
    if args.headless and args.data_parallel_size > 1:
        raise StartupError(f"--headless with --data-parallel-size {args.data_parallel_size}: {_REPLICAS}")
    local = args.data_parallel_size_local
    if local is not None and local != args.data_parallel_size and args.data_parallel_backend != "ray":
        raise StartupError(
            f"--data-parallel-size-local {local} of {args.data_parallel_size}: engines on other machines are not "
            f"supported: {_REPLICAS}"
        )
