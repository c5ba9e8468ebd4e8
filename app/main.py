"""What uvicorn runs: `uvicorn app.main:app`. Importing this module reads the environment."""

import gc

# Collecting while importing frees nothing and takes a seventh of the start.
gc.disable()

from app import settings  # noqa: E402 - after gc.disable()
from app.application import create_app  # noqa: E402 - after gc.disable()
from app.logs import configure  # noqa: E402 - after gc.disable()

try:
    loaded = settings.load()
except settings.SettingsError as exc:
    raise SystemExit(f"app.main: {exc}") from None

configure(loaded.log_level)
app = create_app(loaded)
gc.freeze()  # what is there now stays; no collection needs to look at it again
gc.enable()
