"""What tests and benchmarks share: engines, models made from seeds, random cases, a reference procedure, servers.

It may import every package of the project. Nothing that is installed imports it, and it is not part of the wheel.
"""
