# The base is to be replaced by any image with Python 3.11 or later, `venv` and `pip`: BASE=localhost/python:3.13 for
# one of your own. Behind a package mirror, hand in its settings as a secret, which no layer keeps:
#   --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
ARG BASE=python:3.13-slim

# The wheel. Its build tools come pinned and hashed with the developers' tools, and stay in this stage; nothing is
# fetched behind pip's back, as an isolated build would.
FROM ${BASE} AS wheel
WORKDIR /src
COPY requirements/dev.txt requirements/dev.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/tools \
 && /opt/tools/bin/python -m pip install --quiet --no-cache-dir --require-hashes --only-binary=:all: -r requirements/dev.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /opt/tools/bin/hatchling build -t wheel -d /dist

# What runs: the pinned requirements and the wheel, in an environment without pip. Compiled now, since nothing can be
# written later; by content's hash, unchecked, so that a layer's time stamps are of no matter.
FROM ${BASE} AS environment
COPY requirements/runtime.txt /tmp/runtime.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv --without-pip /opt/resilience-operator \
 && python3 -m pip --python /opt/resilience-operator/bin/python install --quiet --no-cache-dir --no-compile \
      --require-hashes --only-binary=:all: -r /tmp/runtime.txt
COPY --from=wheel /dist /tmp/dist
RUN python3 -m pip --python /opt/resilience-operator/bin/python install --quiet --no-cache-dir --no-compile \
      --no-index --no-deps /tmp/dist/*.whl \
 && /opt/resilience-operator/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/resilience-operator/lib

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resilience-operator" \
      org.opencontainers.image.description="Scales Kubernetes workloads before users notice, pauses and rolls back releases that hurt them." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=environment /opt/resilience-operator /opt/resilience-operator
# HOME and LOGNAME: the user is in no passwd file, be it ours or one that the platform chose, and libraries ask for them:
# the client's for its kubeconfig, kopf for its identity.
ENV PATH=/opt/resilience-operator/bin:$PATH \
    HOME=/ \
    LOGNAME=resilience-operator \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that runAsNonRoot can be checked before the image is started. It owns no file.
USER 65532:65532
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["resilience-operator"]
CMD ["run"]
