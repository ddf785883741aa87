"""NAdamW: Adam with Nesterov's momentum and decoupled weight decay.

Source: Dozat 2016; Dahl et al. 2023, "Benchmarking Neural Network Training Algorithms" (AlgoPerf).
"""

from __future__ import annotations

from typing import Any

import torch

# torch's beta1 grows from half of its value, by a factor of 0.96 ** this at each iteration: at once.
AT_ONCE = 1e4


class NAdamW(torch.optim.NAdam):
    """torch's NAdam as AlgoPerf has it: weight decay decoupled, beta1 at its value from the start.

    By default at the fixed point that came second in AlgoPerf's self-tuning track.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.75e-3,
        betas: tuple[float, float] = (0.9327, 0.9955),
        eps: float = 1e-8,
        weight_decay: float = 0.0812,
        foreach: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            AT_ONCE,
            decoupled_weight_decay=True,
            foreach=foreach,
        )
