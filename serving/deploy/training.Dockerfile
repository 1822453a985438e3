# Training in a container. From the root of a clone:
#
#   docker build -f serving/deploy/training.Dockerfile -t kmodels-training .
#   docker run --rm -v "$PWD/runs:/app/runs" -v "$PWD/exports:/app/exports" kmodels-training --model=gpt
#
# Both folders must be writable for user 1000. For NVIDIA GPUs build with --build-arg EXTRAS=and-cuda
# and run with --gpus=all. `docker stop --time=120` saves first; the same command goes on.
FROM python:3.11-slim

# As the first process, Python would get no SIGTERM while it has no handler: before and after the
# steps. tini passes signals on and gives back the status, 143 for a run that saved and stopped.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
ARG EXTRAS=""
COPY requirements.lock .
RUN pip install --no-cache-dir --no-deps -r requirements.lock \
    && if [ -n "$EXTRAS" ]; then pip install --no-cache-dir "tensorflow[$EXTRAS]"; fi
COPY kmodels kmodels
COPY training training

RUN useradd --uid 1000 --create-home kmodels && install -d -o kmodels runs exports
USER 1000
ENV PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "python", "-m", "training.run"]
