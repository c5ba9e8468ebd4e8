"""Migrates nothing; in mode `bad-migration` it fails at that."""

import os
import sys

if os.environ["MODE"] == "bad-migration":
    sys.exit("not migrated, as planned")
