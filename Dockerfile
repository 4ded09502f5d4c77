# Three images from one recipe, for the classic builder and BuildKit alike:
#   train    runs every stage and every Kubeflow component:  make image
#   gateway  `sense serve` before a vLLM server, small:  docker build --target gateway .
#   serve    the upstream vLLM image and, in an environment of its own, SENSE:  docker build --target serve .
# Arguments:
#   PYTHON_IMAGE  base of `train` and `gateway`; name it by digest (python:3.11-slim-bookworm@sha256:...) where builds must repeat
#   VLLM_IMAGE    base of `serve`
#   TORCH_INDEX   package index for torch alone. Empty: torch comes from where pip finds it, which on Linux is usually the CUDA
#                 build. PyTorch's own index has one folder for each CUDA version (cu130) and one without (cpu).
#   DRIVERS       drivers with which `gateway` reaches PostgreSQL, MySQL and MariaDB
#   REVISION      git revision of the code: a label, and what MLflow records as the code's revision
# The images hold no compiler, so neither torch.compile nor a source build of a CUDA extension works in them.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG VLLM_IMAGE=vllm/vllm-openai:v0.32.0


# pyproject.toml without the settings of tools, which change more often than the requirements
FROM ${PYTHON_IMAGE} AS project
WORKDIR /build
COPY pyproject.toml .
RUN sed -i '/^\[tool\./,$d' pyproject.toml && touch README.md LICENSE


# The gateway and its requirements, without torch, vLLM and all of MLflow but its client. It comes first, because the classic builder builds every stage
# before the target.
FROM ${PYTHON_IMAGE} AS gateway-code
ARG DRIVERS="psycopg[binary] pymysql"
ENV PIP_PYTHON=/opt/venv/bin/python PIP_CONSTRAINT=/build/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY --from=project /build .
COPY constraints.txt .
RUN python3 -m venv --without-pip /opt/venv \
 && python3 -m pip install --no-compile '.[serve,canary,telemetry]' $DRIVERS \
 && cd /opt/venv/lib/python3*/site-packages \
 && echo /opt/sense > sense.pth \
 && find . -path './*.dist-info' -prune -o -type d \( -name tests -o -name test \) -prune -exec rm -r {} + \
 && { /opt/venv/bin/python -m compileall -qq -j 0 --invalidation-mode unchecked-hash . || true; }
WORKDIR /opt/sense
COPY LICENSE .
COPY sense sense
RUN chmod -R u=rwX,go=rX . \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash sense


FROM ${PYTHON_IMAGE} AS gateway
RUN echo 'sense:x:1000:0::/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && python3 -m pip uninstall -y pip setuptools wheel
COPY --from=gateway-code /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH USER=sense LOGNAME=sense HOME=/tmp SENSE_WORK=/tmp/sense/work XDG_CACHE_HOME=/tmp/.cache \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=gateway-code /opt/sense /opt/sense
WORKDIR /opt/sense
USER 1000:0
EXPOSE 8080
# needs a configuration (--config FILE) and API keys, because it listens to other machines
CMD ["sense", "serve", "--host", "0.0.0.0"]
ARG PYTHON_IMAGE
ARG REVISION=""
ENV SENSE_CODE_REV=${REVISION}
LABEL org.opencontainers.image.title="sense-gateway" \
      org.opencontainers.image.description="SENSE: the gateway, its page and its API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.revision="${REVISION}"


# The requirements of SENSE without SENSE itself: this changes with requirements and constraints only. pip of the base image installs
# them, so that the environment holds no pip.
FROM ${PYTHON_IMAGE} AS dependencies
ARG TORCH_INDEX=""
ENV PIP_PYTHON=/opt/venv/bin/python PIP_CONSTRAINT=/build/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /build
COPY --from=project /build .
COPY constraints.txt .
# `.` is an empty package with SENSE's name, requirements and command; sense.pth says where its modules will be. Tasks use kfp's
# executor alone, which needs the standard library only: kfp's requirements are for compiling and submitting.
RUN python3 -m venv --without-pip /opt/venv \
 && if [ -n "$TORCH_INDEX" ]; then python3 -m pip install --no-compile --no-deps --index-url "$TORCH_INDEX" torch; fi \
 && python3 -m pip install --no-compile '.[train,data,nodes]' \
 && python3 -m pip install --no-compile --no-deps kfp
# What only builds or tests packages is removed. The rest is compiled here, once, and Python does not check the result again; a few
# modules for a newer Python do not compile and stay as they are.
RUN cd /opt/venv/lib/python3*/site-packages \
 && echo /opt/sense > sense.pth \
 && python3 -m pip uninstall -y setuptools \
 && find . -path './*.dist-info' -prune -o -type d \( -name tests -o -name test \) -prune -exec rm -r {} + \
 && find . -name '*.a' -delete \
 && rm -rf torch/include torch/bin/*[tT]est* torch/bin/protoc* torch/lib/*_test.so \
 && { /opt/venv/bin/python -m compileall -qq -j 0 --invalidation-mode unchecked-hash . || true; }


# SENSE as in a working copy, for DVC too. This changes with every commit and takes seconds.
FROM dependencies AS code
WORKDIR /opt/sense
COPY LICENSE dvc.yaml .dvcignore params.yaml ./
COPY configs configs
COPY sense sense
RUN chmod -R u=rwX,go=rX . \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash sense


FROM ${PYTHON_IMAGE} AS train
# group 0 may add files to the working directory, but not change those that are there
RUN echo 'sense:x:1000:0::/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && mkdir -m 1775 /opt/sense \
 && python3 -m pip uninstall -y pip setuptools wheel
COPY --from=dependencies /opt/venv /opt/venv
# Caches and settings of libraries go under /tmp, the only writable folder with a read-only root file system. USER and LOGNAME are for
# user ids that /etc/passwd does not list.
ENV PATH=/opt/venv/bin:$PATH USER=sense LOGNAME=sense HOME=/tmp SENSE_WORK=/tmp/sense/work \
    XDG_CACHE_HOME=/tmp/.cache XDG_CONFIG_HOME=/tmp/.config HF_HOME=/tmp/.cache/huggingface MPLCONFIGDIR=/tmp/.cache/matplotlib \
    TRITON_CACHE_DIR=/tmp/.cache/triton TORCHINDUCTOR_CACHE_DIR=/tmp/.cache/inductor DVC_SITE_CACHE_DIR=/tmp/.cache/dvc \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    DVC_NO_ANALYTICS=1 HF_HUB_DISABLE_TELEMETRY=1 GIT_PYTHON_REFRESH=quiet
COPY --from=code /opt/sense /opt/sense
WORKDIR /opt/sense
USER 1000:0
# no ENTRYPOINT: Kubeflow's components and `docker run IMAGE sense --help` both give their whole command
CMD ["sense", "--help"]
ARG PYTHON_IMAGE
ARG REVISION=""
ENV SENSE_CODE_REV=${REVISION}
LABEL org.opencontainers.image.title="sense-train" \
      org.opencontainers.image.description="SENSE: every stage of the pipeline and the runtime of its Kubeflow components" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.revision="${REVISION}"


FROM ${VLLM_IMAGE} AS serve
USER root
WORKDIR /build
COPY --from=project /build .
COPY constraints.txt .
# vLLM keeps its own versions of all packages: SENSE and vLLM do not see each other's packages
RUN python3 -m venv --without-pip /opt/venv \
 && python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check -c constraints.txt '.[serve,canary,telemetry]' \
 && echo /opt/sense > "$(echo /opt/venv/lib/python3*/site-packages)/sense.pth" \
 && rm -r /build
# behind vLLM's own folders, so that `python3` stays vLLM's: only `sense` is found here
ENV PATH=$PATH:/opt/venv/bin USER=sense LOGNAME=sense HOME=/tmp SENSE_WORK=/tmp/sense/work \
    XDG_CACHE_HOME=/tmp/.cache XDG_CONFIG_HOME=/tmp/.config HF_HOME=/tmp/.cache/huggingface \
    TRITON_CACHE_DIR=/tmp/.cache/triton TORCHINDUCTOR_CACHE_DIR=/tmp/.cache/inductor VLLM_CACHE_ROOT=/tmp/.cache/vllm \
    PYTHONUNBUFFERED=1 VLLM_NO_USAGE_STATS=1 HF_HUB_DISABLE_TELEMETRY=1
COPY --from=code /opt/sense /opt/sense
WORKDIR /opt/sense
USER 1000:0
ENTRYPOINT []
CMD ["sense", "--help"]
ARG VLLM_IMAGE
ARG REVISION=""
ENV SENSE_CODE_REV=${REVISION}
LABEL org.opencontainers.image.title="sense-serve" \
      org.opencontainers.image.description="SENSE beside vLLM: the model server and the gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${VLLM_IMAGE}" \
      org.opencontainers.image.revision="${REVISION}"
