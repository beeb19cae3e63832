// Command kubelet is as much of a kubelet as a control plane looks for on a simulated machine: it forwards ports of Pods.
//
// All Pods of a simulated machine use its network, so every port is one of the machine's own address.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

// machine forwards to ports of one address.
type machine struct{ address string }

// PortForward copies between the stream and the port until one side is done.
func (m machine) PortForward(ctx context.Context, name, uid string, port int32, stream io.ReadWriteCloser) error {
	target := net.JoinHostPort(m.address, fmt.Sprint(port))
	connection, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	defer connection.Close()
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(connection, stream); done <- struct{}{} }()
	go func() { _, _ = io.Copy(stream, connection); done <- struct{}{} }()
	<-done
	return nil
}

func (m machine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// /portForward/<namespace>/<pod>, with a uid behind it for static Pods.
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(parts) < 3 || parts[0] != "portForward" {
		http.Error(w, "only ports are forwarded here", http.StatusNotFound)
		return
	}
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, m, parts[2], "", options, time.Hour, 30*time.Second, portforward.SupportedProtocols)
}

// selfSigned makes a serving certificate; API servers do not verify those of kubelets unless told to.
func selfSigned(address string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(address)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func main() {
	address := flag.String("address", "", "address of the machine, where the kubelet listens on port 10250")
	flag.Parse()
	certificate, err := selfSigned(*address)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr:      net.JoinHostPort(*address, "10250"),
		Handler:   machine{*address},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}},
	}
	log.Fatal(server.ListenAndServeTLS("", ""))
}
