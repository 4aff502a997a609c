"""Set a budget in `vllm.LLM`, without a server."""

from vllm import LLM, SamplingParams

from tenuto_decoding.vllm_v1 import ThinkingLogitsProcessor

if __name__ == "__main__":  # vLLM starts its engine in another process
    llm = LLM(
        "server/tenuto_server/s1_tiny",
        logits_processors=[ThinkingLogitsProcessor],
        dtype="float32",
        enforce_eager=True,
        gpu_memory_utilization=0.1,  # on a CPU: the share of memory for the cache
    )
    budget = {"max_thinking_tokens": 200, "num_waits": 4}
    params = SamplingParams(temperature=0.0, max_tokens=400, skip_special_tokens=False, extra_args=budget)
    question = {"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}
    (reply,) = llm.chat([question], params)
    print(reply.outputs[0].text)
