"""One file per tool written in Python or Node: it runs inside the user's image, as text."""
