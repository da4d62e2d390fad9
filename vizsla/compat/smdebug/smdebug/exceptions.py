"""What asking a trial for a tensor can raise. TensorUnavailableForStep is a TensorUnavailable too."""

from __future__ import annotations


class SMDebugError(Exception):
    """The parent of all errors of this package."""


class TensorUnavailable(SMDebugError):
    """No step has this tensor."""


class TensorUnavailableForStep(TensorUnavailable):
    """This step has been saved, but not this tensor in it, or not its raw values."""


class StepUnavailable(SMDebugError):
    """Training has passed this step without saving it."""


class StepNotYetAvailable(SMDebugError):
    """Training has not come to this step."""


class NoMoreData(SMDebugError):
    """Training has ended, and this step has not been reached."""
