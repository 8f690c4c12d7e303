# The image has one static binary and the authorities that it trusts.
#
#   make image IMAGE=registry.example.com/signalbox:v1
ARG GO_IMAGE=golang:1.26
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=dev
ARG COMMIT=unknown
# The same flags as in the Makefile: the same source gives the same bytes.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
    -ldflags "-s -w -buildid= -X main.version=${VERSION} -X main.commit=${COMMIT}" -o /out/signalbox ./cmd/signalbox
RUN echo 'nonroot:x:65532:65532::/tmp:/sbin/nologin' >/out/passwd && mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/passwd /etc/passwd
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build /out/signalbox /signalbox
ENV PATH=/ HOME=/tmp
USER 65532:65532
ENTRYPOINT ["/signalbox"]
