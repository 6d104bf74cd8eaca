"""``python -m pipelines`` is ``calcimap``."""

import sys

from .cli import main

sys.exit(main())
