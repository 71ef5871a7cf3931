"""``python -m tenfold`` is ``tenfold``."""

from tenfold.cli.main import main

main()
