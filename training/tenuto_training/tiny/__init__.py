"""`s1-tiny`: a model of about a million parameters that thinks in the s1 format, trained on a laptop."""
