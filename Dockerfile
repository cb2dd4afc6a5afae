# The server with the decoders and PostgreSQL's driver, run as an unprivileged user.

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/venv && python -m venv /opt/build
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The dependencies first: they change less often than the server, and so stay in a layer of their own. Exactly what
# deploy/lock/ names, as wheels: a version that nobody has tried, or another file under its name, ends the build.
COPY deploy/lock deploy/lock
RUN pip install --require-hashes --only-binary :all: -r deploy/lock/server.txt \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r deploy/lock/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY server server
# `pip check` fails where the lock no longer fits what the server asks for.
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && pip install --no-deps /wheels/*.whl \
 && pip check

FROM python:3.11-slim-bookworm
# A fixed id, so that a volume's files still belong to it after an update.
RUN groupadd --gid 10001 pacsd \
 && useradd --uid 10001 --gid pacsd --no-create-home --home-dir /var/lib/pacsd --shell /usr/sbin/nologin pacsd \
 && install -d -o pacsd -g pacsd -m 0700 /var/lib/pacsd
COPY --from=build /opt/venv /opt/venv
COPY config/pacsd.toml /etc/pacsd/pacsd.toml
# What must be so in a container; everything else comes from the file, and the environment overrides both.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PACSD_CONFIG=/etc/pacsd/pacsd.toml \
    PACSD_STORAGE__ROOT=/var/lib/pacsd/store \
    PACSD_INDEX__URL=sqlite:////var/lib/pacsd/index.db \
    PACSD_HTTP__HOST=0.0.0.0 \
    PACSD_HTTP__PORT=8080
LABEL org.opencontainers.image.title="pacsd" \
      org.opencontainers.image.description="A PACS storage and query server" \
      org.opencontainers.image.licenses="Apache-2.0"
# Of the source, for whoever passes images on: docker compose build --build-arg VERSION=0.1.0 --build-arg REVISION=...
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.version="$VERSION" org.opencontainers.image.revision="$REVISION"
USER 10001:10001
WORKDIR /var/lib/pacsd
VOLUME /var/lib/pacsd
EXPOSE 11112 2762 8080
STOPSIGNAL SIGTERM
# Alive, not ready: to restart the container would not mend a full disk or a database that is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['PACSD_HTTP__PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["pacsd"]
CMD ["serve"]
