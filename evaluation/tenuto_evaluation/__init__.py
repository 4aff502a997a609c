"""Test-time scaling measured over HTTP: tasks, methods, a runner, the paper's metrics, tables and plots."""
