# The server with the decoders and PostgreSQL's driver, run as an unprivileged user.

FROM python:3.11-slim-bookworm AS build
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# The dependencies first: they change less often than the server, and so stay in a layer of their own.
COPY pyproject.toml ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*project['dependencies'], *project['optional-dependencies']['postgresql'], sep='\n')" > requirements.txt \
 && pip install -r requirements.txt
COPY README.md LICENSE ./
COPY migrations migrations
COPY server server
RUN pip install --no-deps .

FROM python:3.11-slim-bookworm
# A fixed id, so that a volume's files still belong to it after an update.
RUN groupadd --gid 10001 pacsd \
 && useradd --uid 10001 --gid pacsd --no-create-home --home-dir /var/lib/pacsd --shell /usr/sbin/nologin pacsd \
 && install -d -o pacsd -g pacsd -m 0750 /var/lib/pacsd
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
