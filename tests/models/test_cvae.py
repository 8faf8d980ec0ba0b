"""The conditional VAE."""

import functools

import keras
import numpy as np
import pytest
from conformance import check_golden, check_model, check_paper, compiled

from kzoo.models import CVAE
from kzoo.networks import MLPEncoderDecoder

MAKE = {"mlp": lambda: CVAE((4, 4, 1), 3, 2, MLPEncoderDecoder((8,)))}


def test_cvae_conforms(tmp_path):
    check_model(MAKE["mlp"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["mlp"], golden, "mlp")


def test_it_is_a_vae_of_that_name(tmp_path):
    adam = keras.optimizers.Adam, {"learning_rate": 1e-3}
    check_paper(lambda: CVAE((4, 4, 1), 3), "CVAE", adam, tmp_path)


def test_it_draws_the_label_that_is_asked_for():
    """Images that are their label and nothing else."""
    labels = np.arange(240) % 3
    images = np.zeros((240, 2, 3, 1), "float32") + 0.1
    images[np.arange(240), :, labels] = 0.9
    make = functools.partial(CVAE, (2, 3, 1), 3, 2, MLPEncoderDecoder((16,)))
    model = compiled(make, optimizer=keras.optimizers.Adam(0.02))
    model.fit(images, labels, batch_size=8, epochs=10, verbose=0)
    for label in range(3):
        drawn = model.sample(20, seed=0, labels=label).mean(axis=(0, 1, 3))
        assert drawn.argmax() == label
        assert drawn[label] - np.delete(drawn, label).max() > 0.4


def test_the_number_of_labels_is_needed():
    with pytest.raises(ValueError, match="num_classes"):
        CVAE((4, 4, 1), None)
