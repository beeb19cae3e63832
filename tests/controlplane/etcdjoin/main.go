// Command etcdjoin does what kubeadm does before it starts an etcd that joins others: it adds the new member, and prints the
// value of --initial-cluster for it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	endpoints := flag.String("endpoints", "", "client URLs of the members, separated by commas")
	authority := flag.String("cacert", "", "file of the authority")
	certificate := flag.String("cert", "", "file of the client's certificate")
	key := flag.String("key", "", "file of its key")
	name := flag.String("name", "", "name of the new member")
	peer := flag.String("peer", "", "peer URL of the new member")
	flag.Parse()
	if err := join(strings.Split(*endpoints, ","), *authority, *certificate, *key, *name, *peer); err != nil {
		log.Fatal(err)
	}
}

func join(endpoints []string, authority, certificate, key, name, peer string) error {
	tls, err := transport.TLSInfo{CertFile: certificate, KeyFile: key, TrustedCAFile: authority}.ClientConfig()
	if err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, TLS: tls, DialTimeout: 5 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	members := list.Members
	known := func() bool {
		for _, member := range members {
			for _, url := range member.PeerURLs {
				if url == peer {
					return true
				}
			}
		}
		return false
	}
	// Asked for a second time it is a member already.
	if !known() {
		added, err := client.MemberAdd(ctx, []string{peer})
		if err != nil {
			return err
		}
		members = added.Members
	}
	var cluster []string
	for _, member := range members {
		for _, url := range member.PeerURLs {
			// A member has no name until it has started.
			who := member.Name
			if url == peer {
				who = name
			}
			cluster = append(cluster, who+"="+url)
		}
	}
	fmt.Println(strings.Join(cluster, ","))
	return nil
}
