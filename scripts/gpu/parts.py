"""The parts of a day at a GPU, the most valuable first."""

from __future__ import annotations

from dataclasses import dataclass

BENCH = (
    "{python}",
    "scripts/bench.py",
    "--device",
    "{device}",
    "--no-peers",
    "--json",
    "{out}.json",
)
REPRODUCE = (
    *("{python}", "scripts/reproduce", "--device", "{device}", "--seeds", "1"),
    *("--results", "{out}.csv"),
)
HPTUNE = ("{python}", "-m", "hptune")


@dataclass(frozen=True)
class Part:
    """A command with its time limit.

    Attributes:
        name: A letter.
        title: What it shows.
        words: The command; {python}, {device} and {out} are filled in.
        seconds: That it may take at most.
        tiny: Words to add or to replace the last ones with, for a rehearsal on a CPU.
        cuts: How many of the last words `tiny` replaces.
    """

    name: str
    title: str
    words: tuple[str, ...]
    seconds: float
    tiny: tuple[str, ...] = ()
    cuts: int = 0


_TINY_CASE = ("digits/mlp", "--scale", "0.02", "--repeats", "2")
PARTS = (
    Part(
        "a",
        "tests that need a GPU",
        ("{python}", "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests"),
        120,
        tiny=("tests/training/test_capture.py",),
        cuts=1,
    ),
    Part(
        "b",
        "an iteration against a hand-written loop",
        (*BENCH, "--parts", "training", "--repeats", "3", "--cases",
         "digits/mlp,cifar10/three-layer,cifar10/resnet-20,cifar10/resnet-56"),
        150,
        tiny=_TINY_CASE,
        cuts=1,
    ),
    Part(
        "c",
        "eight trials together against one after another",
        (*BENCH, "--parts", "sweep", "--repeats", "2", "--cases",
         "digits/mlp,cifar10/three-layer,cifar10/resnet-20"),
        150,
        tiny=_TINY_CASE,
        cuts=1,
    ),
    Part(
        "d",
        "ResNet-56 of Table 1, 95 epochs",
        (*REPRODUCE, "--rows", "resnet56-clr-0.95-0.80", "resnet56-constant-0.95-0.85"),
        150,
        tiny=("lenet-1cycle-12", "--scale", "0.0005"),
        cuts=2,
    ),
    Part(
        "i",
        "an iteration launched, replayed, with its step recorded, compiled",
        (*BENCH, "--parts", "modes", "--repeats", "3", "--cases",
         "digits/mlp,cifar10/three-layer,cifar10/resnet-20,cifar10/resnet-56"),
        240,
        tiny=_TINY_CASE,
        cuts=1,
    ),
    Part(
        "e",
        "hptune run on ResNet-56, all stages, 4 final seeds",
        (*HPTUNE, "run", "--device", "{device}", "--out", "{out}", "--json", "configs/cifar10-resnet56.yaml"),
        400,
        tiny=("configs/digits.yaml", "--set", "training.epochs=2", "--set", "procedure.final.seeds=1"),
        cuts=1,
    ),
    Part(
        "f",
        "super-convergence, ResNet-56: 1cycle against step",
        (*REPRODUCE, "--rows", "super-resnet56-clr", "super-resnet56-step"),
        300,
        tiny=("lenet-step-85", "--scale", "0.0001"),
        cuts=2,
    ),
    Part(
        "g",
        "wide ResNet and DenseNet",
        (*REPRODUCE, "--rows", "wide-resnet-1cycle-25", "densenet-1cycle-50"),
        300,
        tiny=("lenet-1cycle-25", "--scale", "0.0002"),
        cuts=2,
    ),
    Part(
        "h",
        "batch sizes at near-constant time, Fig. 6",
        (*HPTUNE, "sweep", "batch-size", "--device", "{device}", "--out", "{out}", "--json", "--values",
         "128,256,512,1024", "configs/cifar10-3layer.yaml"),
        200,
        tiny=("32,64", "configs/digits.yaml", "--set", "training.epochs=2"),
        cuts=2,
    ),
)  # fmt: skip
