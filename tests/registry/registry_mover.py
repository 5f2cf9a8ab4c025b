"""A process that moves one alias back and forth, to be run twice at a time: prints what became of its moves as JSON."""

import json
import sys

from controlplane.domain.monitor import ModelRef
from controlplane.errors import AliasMoved
from controlplane.registry import Registry


def main(uri: str, times: int) -> None:
    registry, model = Registry(uri), ModelRef("fraud", "champion")
    gaps, lost = [], 0
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for _ in range(times):
        held = registry.holder(model)
        try:
            gaps.append(registry.move(model, held, "2" if held == "1" else "1").gap_seconds)
        except AliasMoved as error:
            lost += 1
            if error.found not in ("1", "2"):
                raise
    sys.stdout.write(json.dumps({"gaps": gaps, "lost": lost}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
