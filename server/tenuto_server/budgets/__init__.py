"""What a request asks for and what it gets. May import `errors` and `tenuto_decoding`; knows no HTTP."""
