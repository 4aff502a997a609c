"""vLLM's engine with thinking budgets: resolves them on the way in, counts them on the way out.

May import `budgets`, `context`, `errors`, `metrics` and `paths`.
"""
