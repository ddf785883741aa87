"""A fresh model of a task, where and as it trains fastest."""

from __future__ import annotations

import torch
from torch import nn

from hptune.task import Task
from hptune.training.device import Device


def make_model(task: Task, device: Device) -> nn.Module:
    """Make a fresh model on the device, in the memory layout that convolutions run fastest in."""
    model = task.make_model().to(device.torch_device)
    if not task.channels_last:
        return model
    return nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last)
