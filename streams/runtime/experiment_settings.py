"""The settings of experiments: how often the optimizer looks, and when it decides."""

from pydantic import Field

from streams.runtime.store_settings import StoreSettings


class ExperimentSettings(StoreSettings):
    """The settings of the optimizer, beside those of the stores."""

    experiment_interval_s: float = Field(
        60.0, ge=0.5, le=3_600, description="Seconds between two looks of the optimizer at its experiments."
    )
    experiment_settle_s: float = Field(
        3_600.0,
        ge=0,
        le=86_400,
        description="Seconds after the start of an experiment; visits in this time do not count for it. Browsers and "
        "CDNs may serve the earlier page for an hour.",
    )
    experiment_loss: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Expected loss of the best arm, in goals a pageview, below which an experiment is decided "
        "without a proof; 0: never.",
    )
