"""Budget forcing on the device: the automaton of every request slot, as Triton kernels.

`layout` describes plans, settings and state in memory, and `constants` names its numbers for Triton. `device_automaton`
is the automaton, `kernels` are the two kernels that run it, and `slots` is the host's side. They import only pure
modules of the package and nothing of vLLM; `layout` imports neither torch nor triton.
"""
