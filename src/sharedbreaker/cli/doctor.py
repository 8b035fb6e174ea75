"""``sharedbreaker doctor``: whether Redis and the circuits in it are well, and what to do if not."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
from redis.exceptions import RedisError
from rich.console import Console

from sharedbreaker.cli import exit_codes
from sharedbreaker.cli.examination.circuits import examine_circuits
from sharedbreaker.cli.examination.finding import Finding, Verdict
from sharedbreaker.cli.examination.patient import Patient, reason_in
from sharedbreaker.cli.examination.rights import examine_rights
from sharedbreaker.cli.examination.server import examine_server
from sharedbreaker.cli.failures import WHERE_TO_LOOK, fail
from sharedbreaker.cli.place import Place, at_a_place
from sharedbreaker.cli.printing import cell, console, print_json
from sharedbreaker.store.redis_errors import hint_on

_STYLES = {
    Verdict.OK: "green",
    Verdict.NOTE: "cyan",
    Verdict.UNKNOWN: "yellow",
    Verdict.WARNING: "yellow",
    Verdict.FAILURE: "bold red",
}
_EXIT_CODES = {Verdict.WARNING: exit_codes.DEGRADED, Verdict.FAILURE: exit_codes.FAILING}


@click.command(short_help="Whether Redis and the circuits are well, and what to do if not.")
@at_a_place
def doctor(*, place: Place, as_json: bool) -> None:
    """Examine Redis and every circuit in it, and say what to do about what is found.

    Looks at how fast Redis answers, its version, role, memory policy and clock, whether scripts run and may
    write, at the rights of the user that is logged in, at keys that are left over, and for each circuit at
    settings that go to and fro, holds that last, calls that never reported, and fields that no script wrote.
    Where a server or a user has no ACL DRYRUN, rights are tried on keys of its own, which are removed.

    Exits 0 if all is well, 3 if something should be seen to, 4 if something is broken, 5 if Redis could not
    be asked.
    """
    patient = Patient(place.url, place.prefix, place.timeout)
    try:
        findings = [*examine_server(patient), *examine_rights(patient), *examine_circuits(patient)]
    except (RedisError, OSError) as error:
        fail(
            f"Redis at {patient.address} could not be asked: {reason_in(error)}{hint_on(error, None)}; "
            f"{WHERE_TO_LOOK}",
            exit_codes.REDIS_AWAY,
            as_json=as_json,
        )
    if as_json:
        print_json(
            {
                "redis": patient.address,
                "prefix": place.prefix,
                "findings": [
                    {
                        "check": found.check,
                        "verdict": found.verdict.value,
                        "what": found.what,
                        "advice": found.advice,
                    }
                    for found in findings
                ],
            }
        )
    else:
        _print(findings, console())
    sys.exit(
        max((_EXIT_CODES.get(found.verdict, exit_codes.OK) for found in findings), default=exit_codes.OK)
    )


def _print(findings: Iterable[Finding], out: Console) -> None:
    for found in findings:
        line = cell(f"{found.verdict.value:<8}", _STYLES[found.verdict])
        out.print(line.append_text(cell(f"{found.check}: {found.what}")), soft_wrap=True)
        if found.advice:
            out.print(cell(f"         -> {found.advice}"), soft_wrap=True)
