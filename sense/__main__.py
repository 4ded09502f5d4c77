"""`python -m sense` is the `sense` command."""

from sense.cli import main

raise SystemExit(main())
