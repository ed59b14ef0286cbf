# GeoFovea on a CPU: docker run --rm -v "$PWD:/data" geofovea ask /data/scene.tif "..."
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# the build of torch for CPUs; everything else as the lock pins it
RUN python -m venv /opt/geofovea \
    && /opt/geofovea/bin/pip install --no-cache-dir -c constraints.txt \
        --index-url https://download.pytorch.org/whl/cpu torch \
    && /opt/geofovea/bin/pip install --no-cache-dir -c constraints.txt ".[geo,dask,s3]"

FROM python:3.11-slim
RUN useradd --create-home geofovea && mkdir /data && chown geofovea /data
COPY --from=build /opt/geofovea /opt/geofovea
USER geofovea
WORKDIR /data
ENV PATH=/opt/geofovea/bin:$PATH
ENTRYPOINT ["geofovea"]
CMD ["--help"]
