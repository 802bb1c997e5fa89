"""From findings to the variant that autopilot asks for."""

from collections.abc import Collection, Sequence

from processors.findings.report import Finding
from schemas.generation import LONGEST_BRIEF, REGISTERED, SectionName, Variant
from schemas.sections import BY_NAME, Filler


def key_of(finding: Finding) -> str:
    """Return the name of a finding: kind, device and section, nothing that a visitor can choose."""
    section = next(iter(_known(finding)), "the page")
    return f"{finding.kind} in {section} ({finding.device})"


def next_finding(findings: Sequence[Finding], tried: Collection[str]) -> Finding | None:
    """Return the heaviest finding that a variant can answer and that was not tried, or None.

    The report has certain findings only.
    """
    return next((one for one in findings if answerable(one) and key_of(one) not in tried), None)


def answerable(finding: Finding) -> bool:
    """Return whether a variant can change the finding's place: a customer's facts stay as given."""
    facts = [name for name in _known(finding) if BY_NAME[name].filler is not Filler.MODEL]
    return finding.suggestion.change != "copy" or not facts


def variant_of(finding: Finding, parent: str) -> Variant:
    """Return the variant of the parent that answers a finding.

    A design is that of the whole page. First and last section keep their place and their call to action.
    """
    change, sections = finding.suggestion.change, _known(finding)
    if change in ("order", "call"):
        sections = [name for name in sections if name not in ("hero", "closing")]
    if change == "design" or (change == "order" and len(sections) < 2):
        sections = []
    return Variant(of=parent, change=change, sections=sections, brief=finding.suggestion.brief[:LONGEST_BRIEF])


def _known(finding: Finding) -> list[SectionName]:
    """Return the sections that lpstream has: anybody can send a beacon that names others."""
    return list(dict.fromkeys(REGISTERED[name] for name in finding.suggestion.sections if name in REGISTERED))
