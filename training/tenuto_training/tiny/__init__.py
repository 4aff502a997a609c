"""`s1-tiny`: a model of 0.7 million parameters that thinks in the s1 format and can be trained on a laptop."""
