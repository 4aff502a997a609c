"""Companion training: the s1 format and its loss mask, and the small built-in model."""
