# Two images: `lpstream` for every process, and `lpstream-browser` with Chromium and Japanese fonts for the edge that draws
# heatmaps over pages.
#   docker build -t lpstream:0.1.0 . && docker run --rm lpstream:0.1.0 --help
#   docker build --target browser -t lpstream-browser:0.1.0 .
FROM python:3.13-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /venv
COPY constraints-image.txt /tmp/constraints-image.txt
RUN /venv/bin/pip install --require-hashes --only-binary=:all: -r /tmp/constraints-image.txt
COPY . /app
# an editable install: the code stays in /app
RUN /venv/bin/pip install --no-deps -e /app && /venv/bin/python -m compileall -q /app/schemas /app/processors /app/infra /app/streams

# the extra `screenshots` beside the same packages
FROM build AS build-browser
RUN /venv/bin/pip install --require-hashes --only-binary=:all: -r /app/constraints-browser.txt

FROM python:3.13-slim-trixie AS runtime
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin lpstream
COPY --from=build /app /app
# the fold's large temporaries cost fewer page faults when glibc keeps them
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MALLOC_TRIM_THRESHOLD_=67108864 MALLOC_MMAP_THRESHOLD_=33554432 \
    LPSTREAM_EDGE_HOST=0.0.0.0 LPSTREAM_WORKER_METRICS_PORT=8082
WORKDIR /app
USER 10001
EXPOSE 8080 8081 8082
STOPSIGNAL SIGTERM
ENTRYPOINT ["lpstream"]
CMD ["--help"]

FROM runtime AS browser
USER 0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends chromium fonts-noto-cjk && rm -rf /var/lib/apt/lists/*
COPY --from=build-browser /venv /venv
ENV HOME=/tmp LPSTREAM_CHROMIUM=/app/infra/chromium-in-container
USER 10001

FROM runtime AS lpstream
COPY --from=build /venv /venv
