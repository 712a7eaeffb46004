# crossmatch on CPUs:  docker build -t crossmatch . && docker run --rm -v "$PWD:/work" crossmatch demo demo
# On CUDA GPUs:        docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126 -t crossmatch:cuda .
#                      docker run --rm --gpus all -v "$PWD:/work" crossmatch:cuda train auto --data scans --out run
FROM python:3.11-slim
# where PyTorch comes from; empty: from PyPI, whose build for Linux has CUDA
ARG TORCH_INDEX="https://download.pytorch.org/whl/cpu"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN python -m pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' constraints.txt)"
RUN python -m pip install --constraint constraints.txt ".[dicom,itk,export]"
# files of a mounted folder belong to whoever starts the container with --user "$(id -u):$(id -g)"
RUN useradd --create-home --uid 1000 crossmatch
ENV MPLCONFIGDIR=/tmp/matplotlib CROSSMATCH_CACHE=/tmp/crossmatch
USER crossmatch
WORKDIR /work
ENTRYPOINT ["crossmatch"]
CMD ["--help"]
