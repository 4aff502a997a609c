"""The exit statuses of `tenuto serve`."""

OK = 0
#: The engine or the HTTP server has failed.
FAILED = 1
#: The options cannot work.
USAGE_ERROR = 2
