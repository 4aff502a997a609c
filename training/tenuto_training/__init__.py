"""Training: the s1 text format and its loss mask, and the small built-in model."""
