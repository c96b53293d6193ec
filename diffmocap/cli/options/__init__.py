"""Options that several commands share, and options that are made from a settings class."""
