"""`python -m whimbrel.controller`."""

from whimbrel.controller.main import main

main()
