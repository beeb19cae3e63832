// Package controlplane pins the real components that `cargo xtask e2e` builds and runs: etcd, kube-apiserver,
// kube-controller-manager, the three managers of Cluster API, and clusterctl.
//
// They are tools of this module (see go.mod), nothing is vendored. Versions are changed with `go get` and `go mod tidy`; the
// version that is linked into the binaries is read from go.mod.
package controlplane
