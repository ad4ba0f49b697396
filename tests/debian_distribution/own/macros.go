# Vendored modules only; the build id is one that debugedit finds.
%gobuild \
export GOFLAGS=-mod=vendor GO111MODULE=on GOTOOLCHAIN=local CGO_ENABLED=1 GOPATH=%{_builddir}/go GOCACHE=%{_builddir}/go-cache \
go build -trimpath -buildmode=pie -ldflags "-linkmode=external -B gobuildid -extldflags '%{build_ldflags}'" -v
