"""Budget forcing on a GPU: is it equal to the automaton, and what does a step cost?"""
