"""`python -m gibbous` is the command `gibbous`."""

from gibbous.cli import main

main()
