"""The benchmark's models as a PyTorch user writes them: eager, channels first."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode


def trainer(name, batch_size, precision="float32", compiled=False):
    """`(epoch, weights, flops)`: a function that trains once over images, how many
    weights it trains and how many operations `flops(images)` a step takes.
    """
    torch.set_float32_matmul_precision("highest")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = MODELS[name]().to(device)
    step = torch.autocast(device, torch.bfloat16, precision == "bfloat16")(model.step)
    step = torch.compile(step) if compiled else step
    on_device = {}

    def epoch(images):
        if not on_device:
            channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
            on_device["images"] = torch.from_numpy(channels_first).to(device)
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(images), device=device).split(batch_size):
            total += step(on_device["images"][rows].float() / 255)
        return total.item()

    def flops(images):
        with FlopCounterMode(display=False) as counter:
            epoch(images)
        return counter.get_total_flops()

    return epoch, sum(weight.numel() for weight in model.parameters()), flops


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


def dcgan_generator(latents):
    return nn.Sequential(
        nn.Linear(latents, 7 * 7 * 256, bias=False),
        nn.Unflatten(1, (256, 7, 7)),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 1, 4, 2, 1),
        nn.Tanh(),
    )


class DCGAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = dcgan_generator(100)
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


class FiveToOne(nn.Module):
    """A GAN that trains its discriminator five times for each step of its generator."""

    def __init__(self, generator, discriminator, rate):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.optimizers = [
            torch.optim.Adam(network.parameters(), rate, (0.0, 0.9), 1e-7)
            for network in (discriminator, generator)
        ]

    def fakes(self, n):
        device = next(self.parameters()).device
        return self.generator(torch.randn(n, 128, device=device))

    def step(self, images):
        images = 2 * images - 1
        critic, artist = self.optimizers
        for _ in range(5):
            with torch.no_grad():
                fakes = self.fakes(len(images))
            loss = self.loss(images, fakes)
            critic.zero_grad()
            loss.backward()
            critic.step()

        fooled = -self.discriminator(self.fakes(len(images))).mean()
        artist.zero_grad()
        fooled.backward(inputs=list(self.generator.parameters()))
        artist.step()
        return loss.detach()


class WGANGP(FiveToOne):
    def __init__(self):
        critic = nn.Sequential(
            nn.Conv2d(1, 128, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(128, 256, 4, 2, 1, bias=False),
            nn.LayerNorm((256, 7, 7), 1e-3),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(7 * 7 * 256, 1),
        )
        super().__init__(dcgan_generator(128), critic, 1e-4)

    def loss(self, images, fakes):
        real, fake = self.discriminator(images), self.discriminator(fakes)
        return fake.mean() - real.mean() + 10 * self.penalty(images, fakes)

    @torch.compiler.disable  # it cannot differentiate what it compiled twice
    def penalty(self, images, fakes):
        mix = torch.rand(len(images), 1, 1, 1, device=images.device)
        between = (mix * images + (1 - mix) * fakes).requires_grad_()
        total = self.discriminator(between).sum()
        (slopes,) = torch.autograd.grad(total, between, create_graph=True)
        slopes = 2 * slopes  # by images in [0, 1]
        norms = torch.sqrt(slopes.square().sum((1, 2, 3)) + 1e-12)
        return (norms - 1).square().mean()


class UpBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.shortcut = nn.Conv2d(width, width, 1, bias=False)
        self.residual = nn.Sequential(
            nn.BatchNorm2d(width, 2e-5),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width, 2e-5),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x):
        return self.residual(x) + F.interpolate(self.shortcut(x), scale_factor=2)


class DownBlock(nn.Module):
    """The first block does not activate its input; those that do not halve add it."""

    def __init__(self, inputs, width, halves, first=False):
        super().__init__()
        pool = nn.AvgPool2d(2) if halves else nn.Identity()
        self.shortcut = nn.Identity()
        if halves:
            conv = spectral_norm(nn.Conv2d(inputs, width, 1))
            self.shortcut = nn.Sequential(pool, conv)
        self.residual = nn.Sequential(
            nn.Identity() if first else nn.ReLU(),
            spectral_norm(nn.Conv2d(inputs, width, 3, padding=1)),
            nn.ReLU(),
            spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
            pool,
        )

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


class SumPool(nn.Module):
    def forward(self, x):
        return x.sum((2, 3))


class SNGAN(FiveToOne):
    def __init__(self):
        generator = nn.Sequential(
            nn.Linear(128, 4 * 4 * 256),
            nn.Unflatten(1, (256, 4, 4)),
            UpBlock(256),
            UpBlock(256),
            UpBlock(256),
            nn.BatchNorm2d(256, 2e-5),
            nn.ReLU(),
            nn.Conv2d(256, 1, 3, padding=1),
            nn.Tanh(),
        )
        discriminator = nn.Sequential(
            DownBlock(1, 128, halves=True, first=True),
            DownBlock(128, 128, halves=True),
            DownBlock(128, 128, halves=False),
            DownBlock(128, 128, halves=False),
            nn.ReLU(),
            SumPool(),
            spectral_norm(nn.Linear(128, 1)),
        )
        super().__init__(generator, discriminator, 2e-4)

    def loss(self, images, fakes):
        real, fake = self.discriminator(images), self.discriminator(fakes)
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


MODELS = {
    "MLP VAE": mlp_vae,
    "conv VAE": conv_vae,
    "DCGAN": DCGAN,
    "WGANGP": WGANGP,
    "SNGAN": SNGAN,
}
