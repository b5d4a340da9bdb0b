"""``python -m medgemma_explainer``: the command."""

import sys

from ._launch import main

sys.exit(main())
