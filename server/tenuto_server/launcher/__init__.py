"""Starts and ends the server: its processes, its HTTP listener and its engine.

May import every other sub-package.
"""
