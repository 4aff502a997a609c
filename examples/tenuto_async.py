"""Send many requests at once with the asynchronous client, and compare caps."""

import asyncio

import tenuto

QUESTION = "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"
CAPS = [16, 32, 64, 96]


async def main() -> None:
    async with tenuto.AsyncClient("http://127.0.0.1:8000") as client:
        requests = [client.chat(QUESTION, max_thinking_tokens=cap, num_waits=2, temperature=0) for cap in CAPS]
        replies = await asyncio.gather(*requests)
    for cap, reply in zip(CAPS, replies, strict=True):
        tokens = reply.thinking.tokens if reply.thinking else None
        print(f"cap {cap}: {tokens} thinking tokens, {reply.content.strip()}")


asyncio.run(main())
