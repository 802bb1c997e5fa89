"""The settings of experiments: how often the optimizer looks, and when it decides."""

from pydantic import Field

from streams.runtime.store_settings import StoreSettings

PAGE_S = 3_600  # browsers and CDNs may keep a page for so long
NGINX_S = 60  # nginx may give them a page that it has kept for so long
RESERVE_S = 60  # edges learn of an experiment within 2 s; a slow fetch and clocks that differ need some more


class ExperimentSettings(StoreSettings):
    """The settings of the optimizer, beside those of the stores."""

    experiment_interval_s: float = Field(
        60.0, ge=0.5, le=3_600, description="Seconds between two looks of the optimizer at its experiments."
    )
    experiment_settle_s: float = Field(
        float(PAGE_S + NGINX_S + RESERVE_S),
        ge=0,
        le=86_400,
        description="Seconds after the start of an experiment; visits in this time do not count for it. Browsers and "
        "CDNs may serve the earlier page for an hour, and get it from nginx up to a minute late.",
    )
    experiment_loss: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Expected loss of the best arm, in goals a pageview, below which an experiment is decided "
        "without a proof; 0: never.",
    )
