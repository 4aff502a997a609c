"""`tenuto chat`: a conversation in a terminal or a pipe, with a thinking budget that can be changed as it goes."""
