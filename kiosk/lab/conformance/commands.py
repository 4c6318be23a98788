"""`kiosk agent --conformance`: the examiner, and how its reports are shown by `say`."""

import argparse
import json
from collections.abc import Callable

from kiosk.errors import ConfigError
from kiosk.lab.conformance.examination import Examiner
from kiosk.lab.conformance.report import ConformanceReport


def examiner(args: argparse.Namespace, say: Callable[[str], None]) -> Examiner:
    """Raises ConfigError for options that do not go together."""
    if args.dialect != "nested" or args.scenario is not None:
        raise ConfigError(
            "--conformance examines by the published contract: leave out --dialect and --scenario"
        )

    def tell(report: ConformanceReport) -> None:
        for line in [json.dumps(report.as_json())] if args.json else report.lines():
            say(line)

    def examined() -> None:
        if not args.json:
            say("every probe was played; the report comes when the client hangs up")

    return Examiner(tell, examined, args.examined_tool)
