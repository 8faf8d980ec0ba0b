"""Pythae's VAE by its own trainer (torch; `pip install pythae`), Apache-2.0."""

import tempfile

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.trainers import BaseTrainer, BaseTrainerConfig


def trainer(name, batch_size):
    """`(epoch, weights)`: a function that trains once over images, and their count."""
    if name != "Pythae's VAE":
        raise SystemExit(f'Expected --models "Pythae\'s VAE". Received: {name}.')
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
    model = VAE(config)
    started = {}

    def epoch(images):
        if not started:
            channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            floats = torch.from_numpy(channels_first) / 255
            started["trainer"] = BaseTrainer(
                model,
                BaseDataset(floats, torch.zeros(len(floats))),
                training_config=BaseTrainerConfig(
                    output_dir=tempfile.mkdtemp(),
                    per_device_train_batch_size=batch_size,
                    learning_rate=1e-3,
                ),
            )
            started["trainer"].prepare_training()
        return started["trainer"].train_step(1)

    return epoch, sum(weight.numel() for weight in model.parameters())
