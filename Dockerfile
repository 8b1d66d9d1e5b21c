# The base: the official Python image, pinned by the digest of its multi-arch index. The tag is for readers; only the
# digest counts. Renovate updates both (.github/renovate.json). Any image with Python 3.11 or later, `venv` and `pip`
# can replace it: --build-arg BASE=localhost/python:3.13. Behind a package mirror, pass its settings as a secret, which
# is not stored in any layer: --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
ARG BASE=docker.io/library/python:3.13.15-slim-trixie@sha256:881d80734ee05dca6f7f42dcb080975652a53c7eda9ba1f03bb8da31aa6a6ec2

# Builds the wheel. The build backend and its dependencies are pinned and hashed in a file of their own, and stay in
# this stage. hatchling runs without build isolation, so pip fetches nothing that is not in that file.
FROM ${BASE} AS wheel
WORKDIR /src
COPY requirements/build.txt requirements/build.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/tools \
 && /opt/tools/bin/python -m pip install --quiet --no-cache-dir --require-hashes --only-binary=:all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /opt/tools/bin/hatchling build -t wheel -d /dist

# What runs: the pinned requirements and the wheel, in an environment without pip. Byte code is compiled here because
# the container cannot write it later. It is checked by hash, so file times do not change the layer.
FROM ${BASE} AS environment
COPY requirements/runtime.txt /tmp/runtime.txt
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv --without-pip /opt/resilience-operator \
 && python3 -m pip --python /opt/resilience-operator/bin/python install --quiet --no-cache-dir --no-compile \
      --require-hashes --only-binary=:all: -r /tmp/runtime.txt
# The operator uses the Kubernetes client for connections and credentials, and sends and receives JSON (ADR 4). The
# generated models and API methods, two thirds of all files here, are never imported. Kopf looks for two of the models.
# A plugin that needs them sets KUBERNETES_MODELS=keep.
ARG KUBERNETES_MODELS=remove
RUN test "$KUBERNETES_MODELS" = keep \
 || find /opt/resilience-operator/lib -path '*/kubernetes/*' \( -path '*/client/models/*' -o -path '*/client/api/*' \) -name '*.py' \
      ! -name __init__.py ! -name v1_object_meta.py ! -name v1_owner_reference.py ! -name v1_managed_fields_entry.py -delete
COPY --from=wheel /dist /tmp/dist
RUN python3 -m pip --python /opt/resilience-operator/bin/python install --quiet --no-cache-dir --no-compile \
      --no-index --no-deps /tmp/dist/*.whl \
 && /opt/resilience-operator/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/resilience-operator/lib

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="resilience-operator" \
      org.opencontainers.image.description="Scales Kubernetes workloads before users notice, pauses failing releases and rolls them back." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=environment /opt/resilience-operator /opt/resilience-operator
# The user has no passwd entry, whether it is this one or one that the platform assigns. The Kubernetes client needs HOME
# to look for a kubeconfig, and kopf needs LOGNAME for its identity.
ENV PATH=/opt/resilience-operator/bin:$PATH \
    HOME=/ \
    LOGNAME=resilience-operator \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Numeric, so that the kubelet can check runAsNonRoot before the container starts. This user owns no file.
USER 65532:65532
WORKDIR /
EXPOSE 8080 8081
ENTRYPOINT ["resilience-operator"]
CMD ["run"]
