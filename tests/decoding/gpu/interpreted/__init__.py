"""Tests under Triton's interpreter, which run in a process of their own: TRITON_INTERPRET=1 python -m pytest."""
