"""What the command line and configuration files say. May import `budgets`, `paths` and `errors`."""
