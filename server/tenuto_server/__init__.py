"""OpenAI-compatible server that decides how long a reasoning model thinks; `tenuto serve` starts it."""
