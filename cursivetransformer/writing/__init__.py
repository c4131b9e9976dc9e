"""A text becomes a page: drawn, read back, drawn again where it reads wrong, set on lines."""
