"""Budget forcing on a GPU: is it the automaton, and what does a step cost?"""
