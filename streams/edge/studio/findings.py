"""The studio's panel of findings, with links into the map."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from processors.experiments.asking import answerable, variant_of
from processors.findings.looks import Kind
from processors.findings.report import Finding, Report
from streams.edge.http.errors import HttpError
from streams.edge.site.findings import report_of
from streams.edge.studio.auth import PATH, Visit
from streams.pictures.findings import FindingsQuery
from streams.pictures.maps import MapKind, MapQuery

# the map that shows a kind of finding; the other kinds show in the map of clicks
MAPS: dict[Kind, MapKind] = {
    "section_left": "scroll",
    "call_too_low": "scroll",
    "first_view_without_call": "scroll",
    "sought_too_low": "scroll",
    "page_too_long": "scroll",
    "attention_without_link": "attention",
    "read_not_clicked": "attention",
}
_decoder = msgspec.json.Decoder(Report)


async def panel(visit: Visit, shown: MapQuery, *, again: bool) -> dict[str, Any]:
    """Return the variables of the panel: a summary, and the findings with links."""
    query = FindingsQuery(shown.lp_id, None, shown.start, shown.end, visit.language)
    try:
        report = _decoder.decode((await report_of(visit.services, query, fresh=again)).body)
    except HttpError:
        return {"text": visit.say("findings_away"), "items": []}
    return {"text": report.text, "items": [_item(visit, shown.lp_id, finding) for finding in report.findings]}


def _item(visit: Visit, lp_id: str, finding: Finding) -> dict[str, str]:
    kind = MAPS.get(finding.kind, "click")
    names = ("range", "from", "to")
    values = {name: value for name in names if (value := visit.request.query.get(name))}
    query = urlencode({"kind": kind, "device": finding.device, **values})
    return {
        "text": finding.text,
        "advice": finding.suggestion.text,
        "map": f"{PATH}/maps/{quote(lp_id)}?{query}",
        "variant": f"{PATH}/variants/{quote(lp_id)}?{_variant(finding, lp_id)}" if answerable(finding) else "",
        "name": visit.say("findings_map", kind=visit.say(f"kind_{kind}"), device=visit.say(f"device_{finding.device}")),
    }


def _variant(finding: Finding, lp_id: str) -> str:
    """Return the fields of the form for a variant: autopilot would ask for the same variant."""
    variant = variant_of(finding, lp_id)
    place = {"order": ",".join(variant.sections)} if variant.change == "order" else {"section": variant.sections}
    return urlencode({"change": variant.change, **place, "brief": variant.brief}, doseq=True)
