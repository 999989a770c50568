# trailproxy as an image: Python, the locked packages and the proxy, nothing else.
# It runs as any user, and its root filesystem may be read-only.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
# Without pip: what runs in the end cannot install.
# The C compiler stays behind, in this stage.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
RUN python -m venv --without-pip /opt/venv
WORKDIR /src
COPY requirements.lock requirements-build.lock requirements-sbom.lock ./
# The packages first: this layer stays as it is until a lock changes.
RUN python -m pip --python /opt/venv/bin/python install --no-compile --require-hashes --requirement requirements.lock
# The build backend, beside the venv.
RUN python -m pip install --require-hashes --requirement requirements-build.lock
# What lists the packages, in a venv of its own.
RUN python -m venv --without-pip /opt/sbom \
 && python -m pip --python /opt/sbom/bin/python install --require-hashes --requirement requirements-sbom.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
RUN /opt/sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file /opt/trailproxy.cdx.json requirements.lock
COPY trailproxy trailproxy
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && python -m pip --python /opt/venv/bin/python install --no-compile --no-deps --no-index dist/*.whl
# Bytecode that is never checked against its source, as neither can change: nothing is written at run time.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib

FROM python:3.13-slim
LABEL org.opencontainers.image.title="trailproxy" \
      org.opencontainers.image.description="An HTTP/2 reverse proxy that never loses a trailer" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      trailproxy.sbom="/usr/share/sbom/trailproxy.cdx.json"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/trailproxy.cdx.json /usr/share/sbom/trailproxy.cdx.json
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
# The proxy and the admin page, as the examples bind them.
EXPOSE 8080 9901
# TERM drains: no new streams, those in flight finish, then exit status 0.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:9901/healthz', timeout=2)"]
ENTRYPOINT ["trailproxy"]
CMD ["run", "-c", "/etc/trailproxy/trailproxy.yaml"]
