"""What is mounted, and nothing else of vLLM's."""
