"""ASGI middleware that every request passes before its endpoint.

May import `engine.accounting`, `config.limits` and the modules at the root.
"""
