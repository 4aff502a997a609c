"""Budget forcing on the device: the automaton of every request slot, as Triton kernels.

`layout` says how plans and state are laid out in memory, `device_automaton` is the automaton, `kernels` are the two
kernels that run it, `slots` is the host's side. Only pure modules of the package are imported, and nothing of vLLM;
`layout` imports neither torch nor triton.
"""
