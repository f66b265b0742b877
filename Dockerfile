# One image for operator, runner and launcher. Each RUN works on Debian's own Python as well.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS launcher
RUN apt-get update --quiet \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \
        gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
COPY launcher /src
RUN make -C /src --always-make

FROM ${BASE_IMAGE} AS dependencies
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/whimbrel
WORKDIR /src
COPY pyproject.toml ./
# In a layer of their own: a change of our code does not load them again. The bytecode is kept,
# because a Job's Pod that had to compile would start a second later.
RUN /opt/pip/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && /opt/pip/bin/pip --python /opt/whimbrel/bin/python install --no-cache-dir --no-compile \
        --disable-pip-version-check --requirement requirements.txt \
    && find /opt/whimbrel -type d -name tests -prune -exec rm -rf {} + \
    && /opt/whimbrel/bin/python -c 'import sysconfig; open(sysconfig.get_path("purelib") + "/whimbrel.pth", "w").write("/opt/code\n")' \
    && /opt/whimbrel/bin/python -m compileall -q /opt/whimbrel/lib

FROM dependencies AS code
COPY operator operator
# pyproject.toml names the README, which no program reads.
RUN touch README.md \
    && /opt/pip/bin/pip --python /opt/whimbrel/bin/python install --no-cache-dir \
        --disable-pip-version-check --no-deps --target /opt/code .

FROM ${BASE_IMAGE}
# kopf asks for the name of the user it runs as.
RUN echo "whimbrel:x:65532:65532:whimbrel:/:/usr/sbin/nologin" >> /etc/passwd \
    && echo "whimbrel:x:65532:" >> /etc/group
LABEL org.opencontainers.image.title="whimbrel" \
      org.opencontainers.image.description="A Kubernetes operator for declarative database migrations" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=dependencies /opt/whimbrel /opt/whimbrel
COPY --from=code /opt/code /opt/code
COPY --from=launcher /src/whimbrel-launcher /usr/local/bin/whimbrel-launcher
# The root file system is read-only and the bytecode is there, so nothing has to be written.
ENV PATH=/opt/whimbrel/bin:/opt/code/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
CMD ["python", "-m", "whimbrel.controller"]
