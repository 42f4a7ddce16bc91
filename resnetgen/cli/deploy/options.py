"""Options that apply to some servers only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from resnetgen.deploy.schema_ranges import RANGES


class ServerOption(click.Option):
    """Option whose help names the servers that it applies to."""

    def __init__(self, declared: Sequence[str], servers: tuple[str, ...], help: str = "", **rest: Any) -> None:
        super().__init__(declared, help=f"({', '.join(servers)}) {help}".rstrip(), **rest)
        self.servers = servers


def options_of(*servers: str) -> Callable[..., Any]:
    """Return click.option for options of these servers alone."""
    return partial(click.option, cls=ServerOption, servers=servers)


def in_range(name: str) -> click.IntRange:
    """Return the type of an option, with the range that the server's schema allows."""
    return click.IntRange(*RANGES[name])


def refuse_other_servers(server: str) -> None:
    """Raise a usage error for an option that does not apply to `server`."""
    context = click.get_current_context()
    for option in context.command.params:
        if not isinstance(option, ServerOption) or server in option.servers or not option.name:
            continue
        if context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} is for --server {' or '.join(option.servers)}")
