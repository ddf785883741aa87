"""`hptune policies`."""

from __future__ import annotations

import json
from typing import Any

import click

from hptune.cli.completion import policies


@click.command("policies")
@click.argument("name", required=False, shell_complete=policies)
@click.option("--iterations", type=click.IntRange(min=1), help="Length of the run.")
@click.option("--lr", type=click.FloatRange(min=0, min_open=True), default=0.1, help="Maximum LR.")
@click.option("--lr-min", type=click.FloatRange(min=0), help="Minimum LR.")
@click.option("--momentum", type=click.FloatRange(0, 1), default=0.95, help="Maximum of momentum.")
@click.option("--momentum-min", type=click.FloatRange(0, 1), help="Minimum of momentum.")
@click.option("--momentum-mode", default="auto", help="auto, cyclical, increasing or constant.")
@click.option("--set", "args", multiple=True, metavar="KEY=VALUE", help="An argument; repeatable.")
@click.option("--csv", "as_csv", is_flag=True, help="Print iteration,lr,momentum.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="Accepted as everywhere; there is no progress here.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    name: str | None,
    iterations: int | None,
    lr: float,
    lr_min: float | None,
    momentum: float,
    momentum_min: float | None,
    momentum_mode: str,
    args: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """List the learning-rate policies, or print the series of one."""
    from hptune.errors import InputError
    from hptune.policies import COMMON, POLICIES, find_policy, schedule

    if name is None or iterations is None:
        if as_csv:
            raise InputError("--csv: a series needs NAME and --iterations N; give both")
        chosen = list(POLICIES.values()) if name is None else [find_policy(name)]
        _list(chosen, COMMON, as_json)
        return
    series = schedule(
        name,
        iterations,
        lr=lr,
        lr_min=lr_min,
        momentum=momentum,
        momentum_min=momentum_min,
        momentum_mode=momentum_mode,
        args=_arguments(args),
    )
    rows = zip(range(iterations), series.lr.tolist(), series.momentum.tolist(), strict=True)
    if as_json:
        names = ("iteration", "lr", "momentum")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
        return
    click.echo("iteration,lr,momentum")
    click.echo("\n".join(f"{i},{lr!r},{momentum!r}" for i, lr, momentum in rows))


def _list(policies: list[Any], common: tuple[Any, ...], as_json: bool) -> None:
    if as_json:
        listing = [
            {
                "name": policy.name,
                "summary": policy.summary,
                "parameters": {p.name: p.default for p in policy.parameters},
            }
            for policy in policies
        ]
        click.echo(json.dumps(listing, indent=2))
        return
    for policy in policies:
        click.echo(f"{policy.name:<20}{policy.summary}")
        for p in policy.parameters:
            click.echo(f"{'':<22}{p.name} [{_default(p.default)}]: {p.text}")
    click.echo("any policy")
    for p in common:
        click.echo(f"{'':<22}{p.name} [{_default(p.default)}]: {p.text}")
    click.echo(
        "\nLengths are a fraction of the run up to 1, iterations above 1, or '41 epochs', "
        "'5000 iterations'."
    )


def _default(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _arguments(given: tuple[str, ...]) -> dict[str, Any]:
    from hptune.errors import InputError

    arguments: dict[str, Any] = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InputError(f"--set: {text!r}; must be KEY=VALUE; write --set stepsize=0.45, say")
        try:
            arguments[key.strip()] = float(value)
        except ValueError:
            arguments[key.strip()] = value.strip()
    return arguments
