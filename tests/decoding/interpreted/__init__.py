"""Tests that need TRITON_INTERPRET=1 before anything imports Triton: test_interpreted.py starts them."""
