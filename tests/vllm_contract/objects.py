"""What we rely on and reach through an object, so that it cannot be read from our imports, calls and subclasses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Relied:
    """One attribute, method or function.

    Attributes:
        path: `module:Name` or `module:Class.member`.
        why: what we do with it.
        call: the arguments we pass, as a call of the name; empty for what is only read.
    """

    path: str
    why: str
    call: str = ""


_ENGINE = "vllm.v1.engine"
_OPENAI = "vllm.entrypoints.openai"
_WORKER = "vllm.v1.worker"
_GPU = f"{_WORKER}.gpu"

RELIED = (
    # The engine.
    Relied(
        f"{_ENGINE}.core_client:AsyncMPClient.call_utility_all_async",
        "worker methods are called on every engine, with data parallelism too",
        "call_utility_all_async('collective_rpc', method, None, arguments, None)",
    ),
    Relied(
        f"{_ENGINE}.core:EngineCore.collective_rpc",
        "the utility that the call above names",
        "collective_rpc(method, None, arguments, None)",
    ),
    Relied(
        f"{_ENGINE}.async_llm:AsyncLLM.pause_generation",
        "cuts replies that outlast the drain",
        "pause_generation(mode='abort', clear_cache=False)",
    ),
    Relied(f"{_ENGINE}.async_llm:AsyncLLM.errored", "the server ends with its engine"),
    Relied(f"{_ENGINE}.async_llm:AsyncLLM.do_log_stats", "the engine's figures in the log", "do_log_stats()"),
    Relied(f"{_ENGINE}.async_llm:AsyncLLM.get_supported_tasks", "for init_app_state", "get_supported_tasks()"),
    Relied(f"{_ENGINE}.core_client:BackgroundResources.engine_manager", "the engine's processes, to notice their end"),
    Relied(f"{_ENGINE}.core_client:BackgroundResources.engine_dead", "set when one of them has ended"),
    Relied(f"{_ENGINE}.utils:CoreEngineProcManager.processes", "each has a `sentinel`, as of multiprocessing"),
    Relied(
        f"{_ENGINE}.output_processor:OutputProcessor.propagate_error",
        "ends all replies when a process of the engine has ended",
        "propagate_error(error)",
    ),
    Relied(f"{_ENGINE}.async_llm:AsyncLLM.output_processor", "its constructor assigns it, to a property of ours"),
    Relied(f"{_ENGINE}.input_processor:InputProcessor.generation_config_fields", "the model's own stop ids"),
    Relied(
        f"{_ENGINE}.input_processor:InputProcessor.process_inputs", "what is wrong is raised before a stream begins"
    ),
    Relied("vllm.renderers:BaseRenderer.get_eos_token_id", "the model's own stop ids", "get_eos_token_id()"),
    Relied(
        "vllm.sampling_params:SamplingParams.update_from_generation_config",
        "puts the model's own stop ids in before the plan is compiled",
        "update_from_generation_config(fields, eos)",
    ),
    Relied("vllm.sampling_params:SamplingParams.all_stop_token_ids", "what may end a reply ends thinking too"),
    Relied("vllm.sampling_params:SamplingParams.thinking_token_budget", "vLLM's own budget, refused next to ours"),
    Relied("vllm.sampling_params:SamplingParams.extra_args", "carries the budget to the workers"),
    Relied("vllm.sampling_params:SamplingParams.clone", "requests keep their own parameters", "clone()"),
    # The output processor and its detokenizers: stop strings end the answer, never the thinking.
    Relied(f"{_ENGINE}.output_processor:OutputProcessor.request_states", "the state of a request, by its id"),
    Relied(f"{_ENGINE}.output_processor:RequestState.detokenizer", "is wrapped for requests with stop strings"),
    Relied(
        f"{_ENGINE}.output_processor:OutputProcessor.process_outputs",
        "whole replies are counted step by step",
        "process_outputs(outputs, timestamp, stats, weight_version=version)",
    ),
    Relied("vllm.v1.engine:EngineCoreOutput.new_token_ids", "the tokens of a step, without those after a stop string"),
    Relied("vllm.v1.metrics.buckets:histogram_buckets", "bounds of histograms", "histogram_buckets(family, 1, None)"),
    Relied("vllm.config:ObservabilityConfig.custom_histogram_buckets", "replaces bounds of histograms"),
    Relied("vllm.config:ModelConfig.served_model_name", "the label of the served model"),
    Relied(
        "vllm.entrypoints.openai.models.serving:OpenAIServingModels.is_base_model", "the label of a request's model"
    ),
    Relied("vllm.entrypoints.openai.models.serving:OpenAIServingModels.lora_requests", "the labels of adapters"),
    Relied(f"{_ENGINE}.detokenizer:BaseIncrementalDetokenizer.min_tokens", "below it no stop string is searched"),
    Relied(
        f"{_ENGINE}.detokenizer:BaseIncrementalDetokenizer.update",
        "the wrapped detokenizer takes the tokens one by one",
        "update([token], stop_terminated)",
    ),
    # The configuration.
    Relied("vllm.config:VllmConfig.additional_config", "carries the markers to the workers"),
    Relied("vllm.config:VllmConfig.use_v2_model_runner", "which adapter the engine needs"),
    Relied("vllm.config:VllmConfig.structured_outputs_config", "the reasoning parser"),
    Relied("vllm.config:StructuredOutputsConfig.reasoning_parser", "ours is the default"),
    Relied("vllm.config:StructuredOutputsConfig.reasoning_parser_plugin", "the module with our parser"),
    Relied("vllm.config:StructuredOutputsConfig.enable_in_reasoning", "a grammar over the thinking rules out a budget"),
    Relied("vllm.config:ModelConfig.logits_processors", "our processor is added to it"),
    Relied("vllm.config:ModelConfig.get_vocab_size", "rows of logits", "get_vocab_size()"),
    Relied("vllm.config:ModelConfig.max_model_len", "the context that a budget has to fit into"),
    Relied("vllm.config:ModelConfig.model", "the model's name is evidence for its family"),
    Relied("vllm.config:ModelConfig.hf_config", "config.json may name the family; gpt-oss is read in a way of its own"),
    Relied(
        "vllm.engine.arg_utils:AsyncEngineArgs.create_model_config",
        "a model's tokenizer without its engine",
        "create_model_config()",
    ),
    Relied("vllm.config:ModelConfig.is_diffusion", "refused on the V2 runner"),
    Relied("vllm.config:ParallelConfig.worker_extension_cls", "our worker extension"),
    Relied("vllm.config:ParallelConfig.data_parallel_size", "the server's capacity"),
    Relied("vllm.config:ParallelConfig.tensor_parallel_size", "which worker's tokens vLLM takes"),
    Relied("vllm.config:ParallelConfig.prefill_context_parallel_size", "which worker's tokens vLLM takes"),
    Relied(
        f"{_ENGINE.removesuffix('engine')}executor.multiproc_executor:MultiprocExecutor._get_output_rank",
        "which worker's tokens vLLM takes: we count in the same way",
    ),
    Relied("vllm.config:SchedulerConfig.max_num_seqs", "the server's capacity"),
    Relied("vllm.config:SpeculativeConfig.num_speculative_tokens", "bounded on the V2 runner"),
    # Serving objects.
    Relied(
        f"{_OPENAI}.chat_completion.serving:OpenAIServingChat.create_chat_completion",
        "the route's work",
        "create_chat_completion(request, raw_request)",
    ),
    Relied(
        f"{_OPENAI}.chat_completion.batch_serving:OpenAIServingChatBatch.create_batch_chat_completion",
        "the route's work",
        "create_batch_chat_completion(request, raw_request)",
    ),
    Relied(
        f"{_OPENAI}.completion.serving:OpenAIServingCompletion.create_completion",
        "the route's work",
        "create_completion(request, raw_request)",
    ),
    Relied(
        f"{_OPENAI}.responses.serving:OpenAIServingResponses.create_responses",
        "the route's work",
        "create_responses(request, raw_request)",
    ),
    Relied(
        "vllm.entrypoints.anthropic.serving:AnthropicServingMessages.create_messages",
        "the route's work",
        "create_messages(request, raw_request)",
    ),
    Relied(
        "vllm.entrypoints.anthropic.serving:AnthropicServingMessages.count_tokens",
        "the route's work",
        "count_tokens(request, raw_request)",
    ),
    Relied(f"{_OPENAI}.chat_completion.serving:OpenAIServingChat.parser_cls", "splits text with our parser"),
    Relied(f"{_OPENAI}.responses.serving:OpenAIServingResponses.parser", "splits text with our parser"),
    *(
        Relied(
            f"{_OPENAI}.chat_completion.serving:OpenAIServingChat.{name}", "an option of the objects that we construct"
        )
        for name in ("request_logger", "chat_template", "default_chat_template_kwargs")
    ),
    *(
        Relied(f"{_OPENAI}.responses.context:SimpleContext.{name}", "what a response has so far, and its items")
        for name in ("_accumulated_token_ids", "_accumulated_logprobs", "last_output", "streamed_output_items")
    ),
    # Requests: None where the server's default applies, since 0.33.
    Relied(f"{_OPENAI}.chat_completion.protocol:ChatCompletionRequest.skip_special_tokens", "shown markers are split"),
    Relied(f"{_OPENAI}.completion.protocol:CompletionRequest.skip_special_tokens", "shown markers are split"),
    Relied(f"{_OPENAI}.responses.protocol:ResponsesRequest.skip_special_tokens", "shown markers are split"),
    # Workers.
    Relied(f"{_WORKER}.worker_base:WorkerBase.vllm_config", "finds the processor of a worker"),
    *(
        Relied(f"{_GPU}.sample.logits_processor:LogitsContext.{name}", "the rows of a step, on the V2 runner")
        for name in (
            *("expanded_idx_mapping", "expanded_local_pos", "idx_mapping_np", "input_ids"),
            "seq_lens_upper_bound_np",
        )
    ),
    *(
        Relied(f"{_GPU}.sample.logits_processor:LogitsProcRequestState.{name}", "the slots of the V2 runner")
        for name in ("all_token_ids", "device", "prefill_len", "prompt_len", "total_len", "vocab_size")
    ),
    Relied(f"{_GPU}.buffer_utils:StagedWriteTensor.gpu", "ids and lengths on the device"),
    Relied(f"{_GPU}.buffer_utils:UvaBackedTensor.gpu", "lengths of prompts on the device"),
    Relied(f"{_GPU}.buffer_utils:UvaBackedTensor.np", "lengths of prompts on the host"),
)
