# The service's image. BASE_IMAGE is all that is taken from outside, besides the locked packages.
#
# Build arguments: BASE_IMAGE; REVISION, CREATED (RFC 3339), VERSION, SOURCE, MIGRATIONS (labels);
# SOURCE_DATE_EPOCH (the builder's own: the dates in the image's configuration).
# Build secrets, both optional: `ca`, a CA bundle for networks that inspect TLS; `pip`, a pip.conf.
#
# One commit, one digest: every file and folder that is added has the time 0 and modes that no
# umask changed. Stages lay them out below /layer with their whole paths, because COPY gives times
# and modes to folders that it finds, too. Why, and what each part weighs: docs/decisions/0012.
ARG BASE_IMAGE=python:3.11-slim

# What the service needs of poetry.lock; a lock that changed elsewhere reuses the layers below.
FROM ${BASE_IMAGE} AS lock
WORKDIR /src
COPY bin/lock bin/lock
COPY poetry.lock .
RUN python3 bin/lock main > /requirements.txt

FROM ${BASE_IMAGE} AS dependencies
# pip stands in an environment of its own and installs into the other: it is left behind.
RUN python3 -m venv /opt/pip
COPY bin/slim /slim
COPY --from=lock /requirements.txt /requirements.txt
# Bytecode that is never compared with its source again: faster starts on a read-only root. Each
# process gets the same share every time: what it compiled before can show in its bytecode.
RUN --mount=type=secret,id=ca,target=/run/secrets/ca \
    --mount=type=secret,id=pip,target=/run/secrets/pip \
    --mount=type=cache,target=/root/.cache/pip \
    if [ -f /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi \
    && if [ -f /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi \
    && python3 -m venv --without-pip /opt/venv \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --disable-pip-version-check \
       --quiet --no-compile --no-deps --require-hashes --only-binary :all: -r /requirements.txt \
    && python3 /slim /opt/venv/lib \
    && find /opt/venv/lib/python3*/site-packages -mindepth 1 -maxdepth 1 -fprint /packages \
    && sort -o /packages /packages \
    && PYTHONHASHSEED=0 xargs -a /packages -n 4 -P "$(nproc)" \
       python3 -m compileall -q --invalidation-mode unchecked-hash \
    && mkdir -p /layer/opt && mv /opt/venv /layer/opt/venv \
    && chmod -R u=rwX,go=rX /layer \
    && find /layer -exec touch -h -d @0 {} +

FROM ${BASE_IMAGE} AS code
WORKDIR /layer/srv
COPY app app
RUN PYTHONHASHSEED=0 python3 -m compileall -q --invalidation-mode unchecked-hash app \
    && chmod -R u=rwX,go=rX /layer \
    && find /layer -exec touch -h -d @0 {} +

# The official base comes without bytecode, and a read-only root could never keep any: without
# this, every start would compile the standard library again.
FROM ${BASE_IMAGE} AS bytecode
ENV PYTHONDONTWRITEBYTECODE=1
RUN mkdir /layer && touch /before \
    && find "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
       -mindepth 1 -maxdepth 1 -regextype posix-extended -not -regex \
       '.*/(test|idlelib|lib2to3|tkinter|turtledemo|ensurepip|distutils|pydoc_data|(site|dist)-packages)' \
       -fprint /modules \
    && sort -o /modules /modules \
    && PYTHONHASHSEED=0 xargs -a /modules -n 40 -P "$(nproc)" \
       python3 -m compileall -q --invalidation-mode unchecked-hash -x '/tests?/' \
    && find /usr -name '*.pyc' -newer /before -exec cp --parents -t /layer {} + \
    && find /layer -exec touch -h -d @0 {} +

FROM ${BASE_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The base comes with pip, in one form or another, and a service has no use for an installer.
RUN started="$(($(date +%s) - 1))" \
    && lib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && rm -rf "$lib/ensurepip" "$lib/site-packages/"* /usr/share/python-wheels \
       /usr/local/bin/pip* /usr/local/bin/wheel* \
    && find /usr -type d -newermt "@$started" -exec touch -d @0 {} +
WORKDIR /srv
COPY --from=bytecode /layer/ /
COPY --from=dependencies /layer/ /
COPY --from=code /layer/ /
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["python", "-I", "-c", \
    "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
# Idle connections are the proxy's to close, so the service keeps them longer than it does. What is
# in flight at SIGTERM gets 8 s: less than the 10 s after which an engine kills by default.
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", \
     "--no-server-header", "--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "8"]
# Last, because they differ with every commit.
ARG REVISION=unknown
ARG CREATED
ARG VERSION
ARG SOURCE
ARG MIGRATIONS
ENV APP_SHA=${REVISION}
LABEL org.opencontainers.image.title="panager" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      pipeline.migrations="${MIGRATIONS}"
