"""How vizsla's own processes log: a line with time, level and process on stderr, which their supervisor keeps."""

from __future__ import annotations

import logging
import sys
import time

LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s[%(process)d] %(message)s"


def log_to_stderr(level: str) -> None:
    """Sets up logging of this process; times are UTC."""
    to_stderr = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(LINE, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    to_stderr.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[to_stderr])
    logging.captureWarnings(capture=True)
