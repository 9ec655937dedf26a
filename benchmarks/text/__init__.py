"""Few labels and many raw texts, by the command line alone."""
