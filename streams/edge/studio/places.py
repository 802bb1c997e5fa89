"""The address at which visitors see a page or variant.

It is its own, or that of the page whose experiment has it as an arm.
"""

from streams.edge.services import Services
from streams.edge.site.experiments import ArmOf, Won
from streams.edge.studio.auth import Visit

MOST_PARENTS = 20


def shown_at(services: Services, lp_id: str) -> str:
    """Return the id in the address at which visitors see a page."""
    serving = services.experiments.serving.get(lp_id)
    return serving.lp_id if isinstance(serving, ArmOf) else lp_id


def has_won(services: Services, lp_id: str) -> bool:
    """Return whether visitors of another page's address see this page or variant, the winner of a test."""
    return services.experiments.serving.get(shown_at(services, lp_id)) == Won(lp_id)


async def tested_at(visit: Visit, lp_id: str) -> str:
    """Return the id of the page at whose address a page or variant can be tested.

    The parent of a variant may be a variant, too, and may be shown at the address of a third page.
    """
    for _ in range(MOST_PARENTS):
        if (shown := shown_at(visit.services, lp_id)) != lp_id:
            return shown
        page = await visit.services.directories.page(visit.known.caller.tenant, lp_id)
        if page is None or page.published or page.about is None or page.about.parent is None:
            break
        lp_id = page.about.parent
    return lp_id
