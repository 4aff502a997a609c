"""Use LangChain: the budget goes into `extra_body` of `ChatOpenAI` (pip install langchain-openai)."""

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

model = ChatOpenAI(
    base_url="http://127.0.0.1:8000/v1",
    api_key=SecretStr("none"),
    model="s1-tiny",
    temperature=0,
    extra_body={"max_thinking_tokens": 200, "num_waits": 2},
)
message = model.invoke("Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9")
print(message.content)
print(message.usage_metadata)  # output_token_details.reasoning: thinking tokens
