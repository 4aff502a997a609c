"""Measures test-time scaling over HTTP: problems, methods, a runner, the paper's metrics, tables and plots."""
