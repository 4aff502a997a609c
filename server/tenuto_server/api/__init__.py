"""The HTTP API: request and response types, routes, streams and errors.

May import `budgets`, `engine`, `reasoning` and the modules at the root.
"""
