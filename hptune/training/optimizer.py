"""Optimizers of torch and of anybody; parameter groups by rule, LR and momentum set every iteration."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from hptune.errors import InputError, did_you_mean, one_line
from hptune.results.settings import OptimizerSpec
from hptune.training.blocks import Blocks
from hptune.training.device_step import DeviceStep
from hptune.training.nadamw import NAdamW
from hptune.training.torch_internals import (
    QuickStep,
    adding_groups_unmarked,
    plain_step,
    quick_step,
    unmarked,
)
from hptune.user_code import find

# LBFGS evaluates the loss several times a step; SparseAdam and the base class do not fit dense nets.
_NOT_OFFERED = {"Optimizer", "LBFGS", "SparseAdam"}
_FUSED_ON_CUDA = (
    torch.optim.SGD,
    torch.optim.Adam,
    torch.optim.AdamW,
)  # others in some releases only
_BETAS = ("betas", "beta1", "beta2")


def optimizer_classes() -> dict[str, type[torch.optim.Optimizer]]:
    """Return NAdamW and the classes of torch.optim that can be named, by lower-case name."""
    classes = inspect.getmembers(torch.optim, inspect.isclass)
    return {"nadamw": NAdamW} | {
        name.lower(): cls
        for name, cls in classes
        if issubclass(cls, torch.optim.Optimizer) and name not in _NOT_OFFERED
    }


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """Return NAdamW or a class of torch.optim by its name, any other by "package.module:Class".

    Raises:
        InputError: There is none, or it cannot be stepped as this project steps.
    """
    if ":" not in name:
        classes = optimizer_classes()
        if (known := classes.get(name.lower())) is None:
            raise InputError(
                f"optimizer.name: {name!r}; must be nadamw, a class of torch.optim or package.module:Class; "
                + did_you_mean(name.lower(), classes, f"choose among {', '.join(sorted(classes))}")
            )
        return known
    cls = find(name, "optimizer.name")
    if not (inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer)):
        raise InputError(
            f"optimizer.name: {name!r}; must be a class derived from torch.optim.Optimizer, it is a "
            f"{type(cls).__name__}; correct the name"
        )
    needed = [p for p in inspect.signature(cls.step).parameters.values() if p.default is p.empty]
    if [p for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD][1:]:  # beside self
        raise InputError(
            f"optimizer.name: {name!r}; its step needs a closure; must step from gradients that are "
            "there; choose another optimizer"
        )
    return cls


def accepted_arguments(cls: type[torch.optim.Optimizer]) -> dict[str, inspect.Parameter]:
    """Return the arguments of a class by name, with those that it passes on to its bases."""
    accepted: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        own = inspect.signature(base).parameters
        accepted = {**own, **accepted}
        if all(p.kind is not p.VAR_KEYWORD for p in own.values()):
            break
    return accepted


class ScheduledOptimizer:
    """An optimizer whose LR and momentum are set as plain numbers before every step.

    Momentum drives what the optimizer has of `momentum`, the first of its `betas`, `beta1`.

    Args:
        model: Whose parameters that require gradients are optimized.
        spec: Name, arguments and per-parameter rules.
        lr, momentum, weight_decay: The trial's values; LR and momentum may change with `set`.
        later: Iterations that some parameters train from. They are apart from others: torch's fused
            SGD takes no group of which some have momentum and some have none.

    Attributes:
        torch: The optimizer itself, in the mode for training where it has modes.
        has_momentum, has_betas, has_weight_decay: What it has of these.
        on_device: Its steps where they are part of what a GPU has recorded.

    Raises:
        InputError: Unknown name or argument, or a rule that matches no parameter.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: OptimizerSpec,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        later: Mapping[Tensor, int] | None = None,
    ) -> None:
        cls = optimizer_class(spec.name)
        accepted = accepted_arguments(cls)
        args = _arguments(spec, accepted, lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.has_weight_decay = "weight_decay" in accepted
        if weight_decay and not self.has_weight_decay:
            raise InputError(
                f"weight_decay: {weight_decay:g}; optimizer {spec.name} has no weight decay; set "
                "hyper_parameters.weight_decay to 0 or choose another optimizer"
            )
        decay = weight_decay if self.has_weight_decay else None
        groups = _groups(model, spec, lr, decay, later or {})
        torchs_own = ":" not in spec.name
        if torchs_own and "fused" in accepted and "fused" not in args and "foreach" not in args:
            places = ("cpu", "cuda") if cls in _FUSED_ON_CUDA else ("cpu",)
            args["fused"] = all(
                p.device.type in places and p.is_floating_point()
                for p in model.parameters()
                if p.requires_grad
            )
        try:
            with adding_groups_unmarked():
                self.torch = cls(groups, **args)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"optimizer.args: {spec.name} refuses them: {one_line(error)}"
            ) from None
        except Exception as error:  # of a class that is not torch's
            raise InputError(
                f"optimizer.name: {spec.name} cannot be made ({type(error).__name__}: "
                f"{one_line(error)}); must take parameter groups; correct it or its optimizer.args"
            ) from error
        has = self.torch.param_groups[0].keys()
        self.has_betas = any(name in has for name in _BETAS)
        self.has_momentum = any(name in has for name in ("momentum", "betas", "beta1"))
        self._switches = all(
            callable(getattr(self.torch, mode, None)) for mode in ("train", "eval")
        )
        if self._switches:
            self.torch.train()  # type: ignore[attr-defined]
        self._scales = [group.pop("lr_scale") for group in self.torch.param_groups]
        self._parameters = [p for group in self.torch.param_groups for p in group["params"]]
        self._quick: QuickStep | None = None
        self.on_device: DeviceStep | None = None
        self.set(lr, momentum)

    def set(self, lr: float, momentum: float) -> None:
        """Set LR (times each group's multiplier) and momentum for the next step."""
        for group, scale in zip(self.torch.param_groups, self._scales, strict=True):
            group["lr"] = lr * scale
            if "momentum" in group:
                group["momentum"] = momentum
            elif "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif "beta1" in group:
                group["beta1"] = momentum

    @property
    def averages(self) -> bool:
        """Whether its parameters to evaluate are others than those to train: averages of its own."""
        return self._switches

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Let the parameters be those to evaluate and to keep, where they are not those to train.

        Source: Defazio et al. 2024, "The Road Less Scheduled" (Schedule-Free).
        """
        if self._switches:
            self.torch.eval()  # type: ignore[attr-defined]
        yield
        if self._switches:
            self.torch.train()  # type: ignore[attr-defined]

    def step(self) -> None:
        """Update the parameters from their gradients, and drop the gradients."""
        if self.on_device is not None:
            self.on_device()
        else:
            # From the second step on, in a run that goes on as in one that was never broken off.
            if self._quick is None and all(p in self.torch.state for p in self._parameters):
                self._quick = quick_step(self.torch)
            if self._quick is None or not self._quick():
                plain_step(self.torch)
                if any(p.grad is None for p in self._parameters):
                    self._quick = None  # some may have taken fewer steps from here on
        self.drop_gradients()

    def step_on_device(self, rates: Sequence[tuple[float, float]]) -> None:
        """Take the steps to come so that they can be recorded, with LR and momentum of each.

        Raises:
            ValueError: They cannot be recorded; the message says why.
        """
        self.on_device = DeviceStep(self.torch, rates, self._scales)

    def step_from_host(self) -> None:
        """Take the steps to come with the LR and momentum that are set."""
        if self.on_device is not None:
            self.on_device.settle()
        self.on_device = self._quick = None

    def other_parameters_train(self) -> None:
        """Hear that other parameters than before get gradients from here on."""
        self._quick = None

    def drop_gradients(self) -> None:
        """Let the next backward pass write the gradients instead of adding to them."""
        for parameter in self._parameters:
            parameter.grad = None

    def state(self) -> dict[str, Any]:
        """Return what `load` takes back."""
        if self.on_device is not None:
            self.on_device.settle()
        state: dict[str, Any] = unmarked(type(self.torch).state_dict)(self.torch)
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a state of this very trial."""
        unmarked(type(self.torch).load_state_dict)(self.torch, state)
        self.match_layout()

    def load_history(self, state: dict[str, Any]) -> None:
        """Take momentum buffers, moments and counts from another run's state; keep LR and decay."""
        kept = ("lr", "weight_decay")
        own = [{k: group[k] for k in kept if k in group} for group in self.torch.param_groups]
        self.load(state)
        for group, settings in zip(self.torch.param_groups, own, strict=True):
            group.update(settings)

    def match_layout(self) -> None:
        """Lay out buffers and moments as their parameters are: fused steps take it for granted."""
        for parameter, state in self.torch.state.items():
            for name, value in state.items():
                alike = isinstance(value, Tensor) and value.shape == parameter.shape
                if alike and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter).copy_(value).detach()


def _arguments(
    spec: OptimizerSpec, accepted: Mapping[str, inspect.Parameter], **of_trial: float
) -> dict[str, Any]:
    # As torch wants them; YAML has no tuples.
    args: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in spec.args.items()
    }
    for name in args:
        if name in of_trial:
            raise InputError(
                f"optimizer.args.{name}: is a hyper-parameter of the run; set hyper_parameters.{name}"
            )
        if name not in accepted:
            raise InputError(
                f"optimizer.args.{name}: {args[name]!r}; {spec.name} has no such argument; it has "
                + ", ".join(sorted(set(accepted) - {"params", *of_trial}))
            )
        _check_type(name, args[name], accepted[name].default)
    if "nesterov" in accepted and "momentum" in accepted:
        # Nesterov's step is not defined without momentum; torch refuses the pair.
        usual = ":" not in spec.name or accepted["nesterov"].default
        args["nesterov"] = args.get("nesterov", usual) and of_trial["momentum"] > 0
    if "beta1" in accepted:
        args["beta1"] = of_trial["momentum"]
    return args | {name: value for name, value in of_trial.items() if name in accepted}


def _check_type(name: str, value: Any, default: Any) -> None:
    """Refuse an argument of another kind than the optimizer's default: "maybe" would be true."""
    if isinstance(default, bool):
        fits, rule = isinstance(value, bool), "true or false, as its default is"
    else:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits, rule = is_number or not isinstance(default, int | float), "a number"
    if not fits:
        raise InputError(f"optimizer.args.{name}: {value!r}; must be {rule}; correct it")


def _groups(
    model: nn.Module,
    spec: OptimizerSpec,
    lr: float,
    weight_decay: float | None,
    later: Mapping[Tensor, int],
) -> list[dict[str, Any]]:
    """Group parameters by their LR and weight-decay multipliers; freeze those with LR times 0.

    Source of the decay by layer: Clark et al. 2020, "ELECTRA", appendix A.
    """
    groups: dict[tuple[float, float, int], list[Tensor]] = {}
    blocks = Blocks(model) if spec.layer_decay < 1 else None
    unmatched = {rule.match for rule in spec.rules}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rule = next((r for r in spec.rules if fnmatchcase(name, r.match)), None)
        lr_scale, decay_scale = (rule.lr, rule.weight_decay) if rule else (1.0, 1.0)
        if rule:
            unmatched.discard(rule.match)
        if blocks is not None:
            lr_scale *= spec.layer_decay ** (len(blocks) - 1 - blocks.index(name))
        if parameter.ndim <= 1 and not spec.decay_biases_and_norms:
            decay_scale = 0.0
        if lr_scale == 0:
            parameter.requires_grad_(False)
        else:
            key = (lr_scale, decay_scale, later.get(parameter, 0))
            groups.setdefault(key, []).append(parameter)
    if unmatched:
        pattern = sorted(unmatched)[0]
        some = ", ".join(name for name, _ in list(model.named_parameters())[:4])
        raise InputError(
            f"optimizer.rules: match {pattern!r}; must match a parameter that no earlier rule "
            f"matched; the model's parameters are {some}, ..."
        )
    if not groups:
        raise InputError(
            "optimizer.rules: every parameter is frozen; leave some with an LR above 0"
        )
    return [
        {"params": parameters, "lr": lr * lr_scale, "lr_scale": lr_scale}
        | ({} if weight_decay is None else {"weight_decay": weight_decay * decay_scale})
        for (lr_scale, decay_scale, _), parameters in groups.items()
    ]
