"""What a trained model does: numpy in, numpy out."""

from kzoo.verbs.autoencoding import AutoencoderVerbs
from kzoo.verbs.codes import CodeVerbs
from kzoo.verbs.likelihood import LikelihoodVerbs
from kzoo.verbs.sampling import Verbs

__all__ = ["AutoencoderVerbs", "CodeVerbs", "LikelihoodVerbs", "Verbs"]
