"""What the project measures of itself; each folder is run with one command."""
