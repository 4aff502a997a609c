"""One module for each endpoint. The application mounts these and vLLM's list of models, no other routes of vLLM."""
