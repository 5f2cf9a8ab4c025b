"""Evidence: what was measured or done, when, and until when it may be relied on. Immutable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from controlplane.domain.monitor import iso


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing the product saw or did. `kind` is a word of the catalogue's evidence vocabulary.

    `subject` is the monitor; `source` names the row behind it, such as `run:01J...` or `action:01J...`;
    `outcome` is how it ended, in the words of its source; a correction is a new row that supersedes this one.
    """

    kind: str
    subject: str
    source: str
    outcome: str
    summary: str
    collected: datetime
    expires: datetime
    version: str | None = None
    n: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over every field, in hexadecimal."""
        fields = [self.kind, self.subject, self.source, self.outcome, self.summary, iso(self.collected)]
        fields += [iso(self.expires), self.version or "", "" if self.n is None else str(self.n)]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()
