# syntax=docker/dockerfile:1
# The images of the operator (what is built by default) and of the load tester (--target loadtester):
#
#   docker build -t burgee:0.1.0 .
#   docker build -t burgee-loadtester:0.1.0 --target loadtester .
#
# No daemon was there where this was written: it has never been built. The lab's images (crates/lab/src/images.rs) have the
# same binary, links and user, and are what the tests run.
ARG RUST_VERSION=1.95.0

FROM rust:${RUST_VERSION}-slim-bookworm AS build
ARG RUST_VERSION
# rust-toolchain.toml asks for rustfmt and clippy too, which a build does not need.
ENV RUSTUP_TOOLCHAIN=${RUST_VERSION}
WORKDIR /src
COPY . .
# Shown by `burgee --version`: --build-arg BURGEE_COMMIT=$(git rev-parse --short HEAD)
ARG BURGEE_COMMIT=""
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    BURGEE_COMMIT=${BURGEE_COMMIT} cargo build --release --locked --package burgee \
    && mkdir -p /out/operator /out/loadtester/home/app \
    && cp target/release/burgee /out/operator/burgee \
    && cp target/release/burgee /out/loadtester/home/app/burgee \
    && ln -s burgee /out/operator/flagger \
    && ln -s burgee /out/operator/kubectl-burgee \
    && ln -s burgee /out/loadtester/home/app/loadtester \
    && ln -s burgee /out/loadtester/home/app/hey

# wget for the probes of Deployments that were made for Flagger's image: they run it inside the container.
FROM debian:bookworm-slim AS tools
RUN apt-get update && apt-get install --yes --no-install-recommends busybox-static

# What tasks run. `hey` is built into burgee; helm, kubectl, ghz and grpc_health_probe are not in Debian and are left to an
# image of your own FROM this one.
FROM debian:bookworm-slim AS loadtester
RUN apt-get update \
    && apt-get install --yes --no-install-recommends bash bats ca-certificates curl grep jq wget wrk \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 app \
    && useradd --uid 10001 --gid app --no-create-home --home-dir /home/app app
COPY --from=build /out/loadtester/ /
ENV PATH=/home/app:$PATH
WORKDIR /home/app
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["./loadtester"]

# glibc, libgcc and CA certificates, and no shell.
FROM gcr.io/distroless/cc-debian12 AS operator
COPY --from=tools /bin/busybox /usr/bin/wget
COPY --from=build /out/operator/ /
WORKDIR /
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["./flagger"]
