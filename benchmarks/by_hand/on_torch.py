"""The benchmark's models as a PyTorch user writes them: eager, channels first."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def trainer(name, batch_size, compiled=False):
    """`(epoch, weights)`: a function that trains once over images, and their count."""
    torch.set_float32_matmul_precision("highest")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = MODELS[name]().to(device)
    step = torch.compile(model.step) if compiled else model.step
    on_device = {}

    def epoch(images):
        if not on_device:
            channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            on_device["images"] = torch.from_numpy(channels_first).to(device)
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(images), device=device).split(batch_size):
            total += step(on_device["images"][rows].float() / 255)
        return total.item()

    return epoch, sum(weight.numel() for weight in model.parameters())


class VAE(nn.Module):
    def __init__(self, encoder, features, latents, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.mean = nn.Linear(features, latents)
        self.log_var = nn.Linear(features, latents)
        self.optimizer = torch.optim.Adam(self.parameters(), 1e-3, eps=1e-7)

    def step(self, images):
        features = self.encoder(images)
        mean, log_var = self.mean(features), self.log_var(features)
        latents = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        logits = self.decoder(latents).view_as(images)
        nats = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        kl = 0.5 * torch.sum(log_var.exp() + mean**2 - 1 - log_var)
        loss = (nats + kl) / len(images)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def mlp_vae():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())
    decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))
    return VAE(encoder, 400, 20, decoder)


def conv_vae():
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(7 * 7 * 64, 40),
        nn.ReLU(),
    )
    decoder = nn.Sequential(
        nn.Linear(20, 7 * 7 * 64),
        nn.ReLU(),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 64, 3, 2, 1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, 2, 1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, padding=1),
    )
    return VAE(encoder, 40, 20, decoder)


class DCGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(
            nn.Linear(100, 7 * 7 * 256, bias=False),
            nn.Unflatten(1, (256, 7, 7)),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.ConvTranspose2d(128, 1, 4, 2, 1),
            nn.Tanh(),
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(1, 128, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(128, 256, 4, 2, 1, bias=False),
            nn.BatchNorm2d(256),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(7 * 7 * 256, 1),
        )
        networks = self.discriminator, self.generator
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), 1e-7)
            for network in networks
        ]

    def fakes(self, n):
        weight = self.generator[0].weight
        return self.generator(torch.randn(n, 100, device=weight.device))

    def step(self, images):
        discriminator, (critic, artist) = self.discriminator, self.optimizers
        with torch.no_grad():
            fakes = self.fakes(len(images))
        real, fake = discriminator(2 * images - 1), discriminator(fakes)
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        critic.zero_grad()
        loss.backward()
        critic.step()

        fake = discriminator(self.fakes(len(images)))
        artist.zero_grad()
        F.softplus(-fake).mean().backward()
        artist.step()
        return loss.detach()


MODELS = {"MLP VAE": mlp_vae, "conv VAE": conv_vae, "DCGAN": DCGAN}
