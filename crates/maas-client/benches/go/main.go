// A list of machines through encoding/json, into structs with the fields of maas-client's Machine.
// `whole FILE` reads all and unmarshals, as Go clients of MAAS do; `stream FILE` decodes entry by entry.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

type ref struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type vlan struct {
	ID     int64  `json:"id"`
	VID    uint16 `json:"vid"`
	Name   string `json:"name"`
	Fabric string `json:"fabric"`
	Space  string `json:"space"`
}

type subnet struct {
	ID        int64   `json:"id"`
	Name      string  `json:"name"`
	CIDR      string  `json:"cidr"`
	Space     string  `json:"space"`
	GatewayIP *string `json:"gateway_ip"`
	VLAN      *vlan   `json:"vlan"`
}

type link struct {
	ID        int64   `json:"id"`
	Mode      string  `json:"mode"`
	IPAddress *string `json:"ip_address"`
	Subnet    *subnet `json:"subnet"`
}

type discovered struct {
	IPAddress *string `json:"ip_address"`
	Subnet    *subnet `json:"subnet"`
}

type iface struct {
	ID         int64        `json:"id"`
	SystemID   string       `json:"system_id"`
	Name       string       `json:"name"`
	Type       string       `json:"type"`
	MACAddress *string      `json:"mac_address"`
	Tags       []string     `json:"tags"`
	Enabled    bool         `json:"enabled"`
	VLAN       *vlan        `json:"vlan"`
	Parents    []string     `json:"parents"`
	Links      []link       `json:"links"`
	Discovered []discovered `json:"discovered"`
}

type machine struct {
	SystemID         string            `json:"system_id"`
	Hostname         string            `json:"hostname"`
	FQDN             string            `json:"fqdn"`
	Domain           *ref              `json:"domain"`
	Description      string            `json:"description"`
	Owner            *string           `json:"owner"`
	OwnerData        map[string]string `json:"owner_data"`
	Locked           bool              `json:"locked"`
	Status           int64             `json:"status"`
	StatusName       string            `json:"status_name"`
	StatusMessage    string            `json:"status_message"`
	ErrorDescription string            `json:"error_description"`
	PowerState       string            `json:"power_state"`
	PowerType        string            `json:"power_type"`
	OSystem          string            `json:"osystem"`
	DistroSeries     string            `json:"distro_series"`
	HWEKernel        *string           `json:"hwe_kernel"`
	EphemeralDeploy  bool              `json:"ephemeral_deploy"`
	Netboot          bool              `json:"netboot"`
	Architecture     string            `json:"architecture"`
	CPUCount         uint32            `json:"cpu_count"`
	Memory           uint64            `json:"memory"`
	Storage          float64           `json:"storage"`
	Zone             *ref              `json:"zone"`
	Pool             *ref              `json:"pool"`
	TagNames         []string          `json:"tag_names"`
	IPAddresses      []string          `json:"ip_addresses"`
	InterfaceSet     []iface           `json:"interface_set"`
	BootInterface    *iface            `json:"boot_interface"`
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// peak is the highest resident memory of this process in KiB.
func peak() string {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	for _, line := range strings.Split(string(status), "\n") {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			return strings.Fields(rest)[0]
		}
	}
	return "0"
}

func main() {
	file, err := os.Open(os.Args[2])
	check(err)
	start := time.Now()
	var machines []machine
	if os.Args[1] == "whole" {
		text, err := io.ReadAll(file)
		check(err)
		check(json.Unmarshal(text, &machines))
	} else {
		decoder := json.NewDecoder(file)
		_, err := decoder.Token()
		check(err)
		for decoder.More() {
			var one machine
			check(decoder.Decode(&one))
			machines = append(machines, one)
		}
	}
	fmt.Println(len(machines), time.Since(start).Seconds(), peak())
}
