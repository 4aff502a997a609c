"""`tenuto markers`: what a model shows of its thinking markers, and what is forced, without its weights."""
