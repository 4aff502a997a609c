"""Tests that need TRITON_INTERPRET=1 before anything imports Triton: test_kernels.py and test_vllm_v2.py start them."""
