"""Gaussian noise on the gradients that becomes less in the course of a run.

Its variance is eta / (1 + t)^gamma in iteration t. It comes after clipping, and follows from the
trial's seed and the iteration alone: it is the same for all trials of a seed, after a resume, and on
each of several devices that train together; and dropout draws what it would without.

Source: Neelakantan et al. 2015, "Adding Gradient Noise Improves Learning for Very Deep Networks".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from hptune.results.records import Trial

_STREAM = 0x6E6F697365  # apart from all else that is drawn by a trial's seed


class GradientNoise:
    """Adds the noise of a trial to its gradients.

    Args:
        model: On its device.
        trial: Gives the variance and the seed.
    """

    def __init__(self, model: nn.Module, trial: Trial) -> None:
        self._parameters = list(model.parameters())
        self._noise, self._seed = trial.settings.gradient_noise, trial.seed
        self._generator = torch.Generator(self._parameters[0].device)

    def add(self, iteration: int) -> None:
        """Add the noise of an iteration, counted from 0, to the gradients that there are."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        seed = np.random.SeedSequence([self._seed, _STREAM, iteration])
        self._generator.manual_seed(int(seed.generate_state(1)[0]))
        drawn = torch.randn(
            sum(g.numel() for g in gradients),
            generator=self._generator,
            device=self._generator.device,
        )
        parts = torch.split(drawn, [g.numel() for g in gradients])
        noise = [part.view(g.shape).to(g.dtype) for part, g in zip(parts, gradients, strict=True)]
        deviation = math.sqrt(self._noise.eta / (1 + iteration) ** self._noise.gamma)
        torch._foreach_add_(gradients, noise, alpha=deviation)
