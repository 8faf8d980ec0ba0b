"""What every model of the zoo shares."""

from kzoo.training.model import GenerativeModel

__all__ = ["GenerativeModel"]
