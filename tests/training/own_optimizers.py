"""Optimizers of a user's own, as a test's file `opt.py` has them."""

from __future__ import annotations

import torch
from torch.optim import SGD, Optimizer


class Sign(Optimizer):
    """Sign descent: no momentum, no weight decay."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad.sign()


class Averaged(Optimizer):
    """Schedule-Free SGD: trains at y, between the iterate z and the average x; evaluates at x."""

    def __init__(self, params, lr=1.0, beta1=0.9, weight_decay=0.0):
        defaults = {"lr": lr, "beta1": beta1, "weight_decay": weight_decay, "k": 0, "at_y": False}
        super().__init__(params, defaults)

    def train(self):
        self._move(at_y=True)

    def eval(self):
        self._move(at_y=False)

    @torch.no_grad()
    def _move(self, at_y):
        for group in self.param_groups:
            if group["at_y"] != at_y:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        b = group["beta1"]
                        p.lerp_(self.state[p]["z"], 1 - b if at_y else 1 - 1 / b)
                group["at_y"] = at_y

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            if not group["at_y"]:
                raise RuntimeError("not in the mode for training")
            group["k"] += 1
            b, weight = group["beta1"], 1 / group["k"]
            for p in group["params"]:
                z = self.state[p].setdefault("z", p.clone())
                x = p.lerp(z, 1 - 1 / b)
                z.sub_(p.grad + group["weight_decay"] * p, alpha=group["lr"])
                x.lerp_(z, weight)
                p.copy_(x.lerp(z, 1 - b))


class Passing(SGD):
    """Passes on what it takes."""

    def __init__(self, params, **kwargs):
        super().__init__(params, **kwargs)


class Closing(SGD):
    """Cannot step without a closure, and says so."""

    def step(self, closure):
        closure()


class Asking(SGD):
    """Cannot step without a closure, and finds out too late."""

    def step(self, closure=None):
        assert closure is not None, "needs a closure"


class Narrow(SGD):
    """Takes other arguments than torch's."""

    def __init__(self, model, speed):
        super().__init__(model.parameters(), lr=speed)


def make(params):
    return SGD(params)
