"""Programs for people, on top of everything."""
