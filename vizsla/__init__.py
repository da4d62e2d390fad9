"""vizsla: a folder of photos becomes a tuned, debugged, profiled and served image classifier."""

from vizsla.errors import JobError, UserError, VizslaError

__all__ = ["JobError", "UserError", "VizslaError", "__version__"]
__version__ = "0.1.0"
