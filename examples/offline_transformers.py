"""Set a budget in the `generate()` of `transformers`, without a server."""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tenuto_decoding import ThinkingBudget
from tenuto_decoding.huggingface import ThinkingLogitsProcessor

path = "server/tenuto_server/s1_tiny"
tokenizer = AutoTokenizer.from_pretrained(path)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
question = {"role": "user", "content": "Add up this bill: soup 9, fish 4, juice 4, beans 9, plums 9"}
prompt = tokenizer.apply_chat_template([question], add_generation_prompt=True, return_tensors="pt", return_dict=True)

thinking = ThinkingLogitsProcessor(ThinkingBudget(num_waits=4), tokenizer, do_sample=False)
output = model.generate(**prompt, do_sample=False, max_new_tokens=400, logits_processor=[thinking])
print(tokenizer.decode(output[0, prompt["input_ids"].shape[1] :]))
print(thinking.reports(output))
