"""The sections that every report has: one file, and one function, for each."""
