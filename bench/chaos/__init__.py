"""One run of chaos: who plays, what breaks, what was seen, and the verdict. The map is in the header of __main__.py."""
