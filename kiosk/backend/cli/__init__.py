"""THE OPERATORS' COMMANDS: what they say, and what they do to the database."""
