"""The worker of a job to come, for commands that start it before they load what they need themselves."""

from vizsla.backends.standby import Worker, standby

__all__ = ["Worker", "standby"]
