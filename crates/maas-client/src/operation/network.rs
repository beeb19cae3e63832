//! Places and networks: fabrics to addresses, DNS, DHCP, zones and pools.

operations! {
    DISCOVERIES_LIST = "discoveries.list", GET "discovery/", List, Read, Json;
    DISCOVERIES_BY_UNKNOWN_IP = "discoveries.by_unknown_ip", GET "discovery/" ? "by_unknown_ip", Read, Read, Json;
    DISCOVERIES_BY_UNKNOWN_IP_AND_MAC = "discoveries.by_unknown_ip_and_mac", GET "discovery/" ? "by_unknown_ip_and_mac",
        Read, Read, Json;
    DISCOVERIES_BY_UNKNOWN_MAC = "discoveries.by_unknown_mac", GET "discovery/" ? "by_unknown_mac", Read, Read, Json;
    DISCOVERIES_CLEAR = "discoveries.clear", POST "discovery/" ? "clear",
        Write, Once, Nothing ["mdns", "neighbours", "all"];
    DISCOVERIES_CLEAR_BY_MAC_AND_IP = "discoveries.clear_by_mac_and_ip", POST "discovery/" ? "clear_by_mac_and_ip",
        Write, Once, Nothing ["ip!", "mac!"];
    DISCOVERIES_SCAN = "discoveries.scan", POST "discovery/" ? "scan",
        Power, Once, Json ["cidr", "force", "always_use_ping", "slow", "threads"];

    DISCOVERY_READ = "discovery.read", GET "discovery/{}/", Read, Read, Json;

    NETWORKS_LIST = "networks.list", GET "networks/", Read, Read, Json;

    NETWORK_READ = "network.read", GET "networks/{}/", Read, Read, Json;
    NETWORK_LIST_CONNECTED_MACS = "network.list_connected_macs", GET "networks/{}/" ? "list_connected_macs",
        Read, Read, Json;

    ZONE_READ = "zone.read", GET "zones/{}/", Read, Read, Json;
    ZONE_UPDATE = "zone.update", PUT "zones/{}/", Write, Converging, Json ["description", "name"];
    ZONE_DELETE = "zone.delete", DELETE "zones/{}/", Write, Once, Nothing;

    ZONES_LIST = "zones.list", GET "zones/", Read, Read, Json;
    ZONES_CREATE = "zones.create", POST "zones/", Write, Once, Json ["name!", "description"];

    FABRICS_LIST = "fabrics.list", GET "fabrics/", Read, Read, Json;
    FABRICS_CREATE = "fabrics.create", POST "fabrics/", Write, Once, Json ["name", "description", "class_type"];

    FABRIC_READ = "fabric.read", GET "fabrics/{}/", Read, Read, Json;
    FABRIC_UPDATE = "fabric.update", PUT "fabrics/{}/", Write, Converging, Json ["name", "description", "class_type"];
    FABRIC_DELETE = "fabric.delete", DELETE "fabrics/{}/", Write, Once, Nothing;

    FABRIC_VLANS_LIST = "fabric-vlans.list", GET "fabrics/{}/vlans/", Read, Read, Json;
    FABRIC_VLANS_CREATE = "fabric-vlans.create", POST "fabrics/{}/vlans/",
        Write, Once, Json ["name", "description", "vid!", "mtu", "space"];

    VLAN_READ = "vlan.read", GET "vlans/{}/", Read, Read, Json;
    VLAN_UPDATE = "vlan.update", PUT "vlans/{}/", Write, Converging, Json [
        "name", "description", "mtu", "dhcp_on", "primary_rack", "secondary_rack", "relay_vlan", "space",
    ];
    VLAN_DELETE = "vlan.delete", DELETE "vlans/{}/", Write, Once, Nothing;

    FABRIC_VLAN_READ = "fabric-vlan.read", GET "fabrics/{}/vlans/{}/", Read, Read, Json;
    FABRIC_VLAN_UPDATE = "fabric-vlan.update", PUT "fabrics/{}/vlans/{}/", Write, Converging, Json [
        "name", "description", "mtu", "dhcp_on", "primary_rack", "secondary_rack", "relay_vlan", "space",
    ];
    FABRIC_VLAN_DELETE = "fabric-vlan.delete", DELETE "fabrics/{}/vlans/{}/", Write, Once, Nothing;

    SPACES_LIST = "spaces.list", GET "spaces/", Read, Read, Json;
    SPACES_CREATE = "spaces.create", POST "spaces/", Write, Once, Json ["name!", "description"];

    SPACE_READ = "space.read", GET "spaces/{}/", Read, Read, Json;
    SPACE_UPDATE = "space.update", PUT "spaces/{}/", Write, Converging, Json ["name!", "description"];
    SPACE_DELETE = "space.delete", DELETE "spaces/{}/", Write, Once, Nothing;

    SUBNETS_LIST = "subnets.list", GET "subnets/", Read, Read, Json;
    SUBNETS_CREATE = "subnets.create", POST "subnets/", Write, Once, Json [
        "cidr!", "name", "description", "vlan", "fabric", "vid", "gateway_ip", "rdns_mode!", "allow_dns",
        "allow_proxy", "dns_servers", "active_discovery", "managed!", "disabled_boot_architectures",
    ];

    SUBNET_READ = "subnet.read", GET "subnets/{}/", Read, Read, Json;
    SUBNET_UPDATE = "subnet.update", PUT "subnets/{}/", Write, Converging, Json [
        "cidr", "name", "description", "vlan", "fabric", "vid", "gateway_ip", "rdns_mode!", "allow_dns",
        "allow_proxy", "dns_servers", "managed!", "disabled_boot_architectures",
    ];
    SUBNET_DELETE = "subnet.delete", DELETE "subnets/{}/", Write, Once, Nothing ["force"];
    SUBNET_IP_ADDRESSES = "subnet.ip_addresses", GET "subnets/{}/" ? "ip_addresses",
        Read, Read, Json ["with_username", "with_summary", "with_node_summary"];
    SUBNET_RESERVED_IP_RANGES = "subnet.reserved_ip_ranges", GET "subnets/{}/" ? "reserved_ip_ranges",
        Read, Read, Json;
    SUBNET_STATISTICS = "subnet.statistics", GET "subnets/{}/" ? "statistics",
        Read, Read, Json ["include_ranges", "include_suggestions"];
    SUBNET_UNRESERVED_IP_RANGES = "subnet.unreserved_ip_ranges", GET "subnets/{}/" ? "unreserved_ip_ranges",
        Read, Read, Json;

    IP_ADDRESSES_LIST = "ipaddresses.list", GET "ipaddresses/", List, Read, Json ["ip", "all", "owner"];
    IP_ADDRESSES_RELEASE = "ipaddresses.release", POST "ipaddresses/" ? "release",
        Write, Once, Nothing ["ip!", "force", "discovered"];
    IP_ADDRESSES_RESERVE = "ipaddresses.reserve", POST "ipaddresses/" ? "reserve",
        Write, Once, Json ["subnet", "ip", "ip_address", "hostname", "mac"];

    IP_RANGES_LIST = "ipranges.list", GET "ipranges/", Read, Read, Json;
    IP_RANGES_CREATE = "ipranges.create", POST "ipranges/",
        Write, Once, Json ["type!", "start_ip!", "end_ip!", "subnet!", "comment"];

    IP_RANGE_READ = "iprange.read", GET "ipranges/{}/", Read, Read, Json;
    IP_RANGE_UPDATE = "iprange.update", PUT "ipranges/{}/", Write, Converging, Json ["start_ip", "end_ip", "comment"];
    IP_RANGE_DELETE = "iprange.delete", DELETE "ipranges/{}/", Write, Once, Nothing;

    STATIC_ROUTES_LIST = "static-routes.list", GET "static-routes/", Read, Read, Json;
    STATIC_ROUTES_CREATE = "static-routes.create", POST "static-routes/",
        Write, Once, Json ["source!", "destination!", "gateway_ip!", "metric"];

    STATIC_ROUTE_READ = "static-route.read", GET "static-routes/{}/", Read, Read, Json;
    STATIC_ROUTE_UPDATE = "static-route.update", PUT "static-routes/{}/",
        Write, Converging, Json ["source", "destination", "gateway_ip", "metric"];
    STATIC_ROUTE_DELETE = "static-route.delete", DELETE "static-routes/{}/", Write, Once, Nothing;

    DNS_RECORDS_LIST = "dnsresourcerecords.list", GET "dnsresourcerecords/",
        Read, Read, Json ["fqdn", "domain", "name", "rrtype"];
    DNS_RECORDS_CREATE = "dnsresourcerecords.create", POST "dnsresourcerecords/",
        Write, Once, Json ["fqdn", "name", "domain", "rrtype", "rrdata", "ttl"];

    DNS_RECORD_READ = "dnsresourcerecord.read", GET "dnsresourcerecords/{}/", Read, Read, Json;
    DNS_RECORD_UPDATE = "dnsresourcerecord.update", PUT "dnsresourcerecords/{}/",
        Write, Converging, Json ["rrtype", "rrdata", "ttl"];
    DNS_RECORD_DELETE = "dnsresourcerecord.delete", DELETE "dnsresourcerecords/{}/", Write, Once, Nothing;

    DNS_LIST = "dnsresources.list", GET "dnsresources/", Read, Read, Json ["fqdn", "domain", "name", "rrtype", "all"];
    DNS_CREATE = "dnsresources.create", POST "dnsresources/",
        Write, Once, Json ["fqdn", "name!", "domain!", "address_ttl", "ip_addresses"];

    DNS_READ = "dnsresource.read", GET "dnsresources/{}/", Read, Read, Json;
    DNS_UPDATE = "dnsresource.update", PUT "dnsresources/{}/",
        Write, Converging, Json ["fqdn", "name", "domain", "address_ttl", "ip_addresses"];
    DNS_DELETE = "dnsresource.delete", DELETE "dnsresources/{}/", Write, Once, Nothing;

    DOMAINS_LIST = "domains.list", GET "domains/", Read, Read, Json;
    DOMAINS_CREATE = "domains.create", POST "domains/",
        Write, Once, Json ["name!", "authoritative", "ttl", "forward_dns_servers"];
    DOMAINS_SET_SERIAL = "domains.set_serial", POST "domains/" ? "set_serial", Write, Converging, Maybe ["serial!"];

    DOMAIN_READ = "domain.read", GET "domains/{}/", Read, Read, Json;
    DOMAIN_UPDATE = "domain.update", PUT "domains/{}/",
        Write, Converging, Json ["name!", "authoritative", "ttl", "forward_dns_servers"];
    DOMAIN_DELETE = "domain.delete", DELETE "domains/{}/", Write, Once, Nothing;
    DOMAIN_SET_DEFAULT = "domain.set_default", POST "domains/{}/" ? "set_default", Write, Converging, Json;

    DHCP_SNIPPETS_LIST = "dhcp-snippets.list", GET "dhcp-snippets/", Read, Read, Json;
    DHCP_SNIPPETS_CREATE = "dhcp-snippets.create", POST "dhcp-snippets/",
        Write, Once, Json ["name!", "value!", "description", "enabled", "node", "subnet", "iprange", "global_snippet"];

    DHCP_SNIPPET_READ = "dhcp-snippet.read", GET "dhcp-snippets/{}/", Read, Read, Json;
    DHCP_SNIPPET_UPDATE = "dhcp-snippet.update", PUT "dhcp-snippets/{}/",
        Write, Converging, Json ["name", "value", "description", "enabled", "node", "subnet", "global_snippet"];
    DHCP_SNIPPET_DELETE = "dhcp-snippet.delete", DELETE "dhcp-snippets/{}/", Write, Once, Nothing;
    DHCP_SNIPPET_REVERT = "dhcp-snippet.revert", POST "dhcp-snippets/{}/" ? "revert", Write, Once, Json ["to!"];

    RESERVED_IPS_LIST = "reservedips.list", GET "reservedips/", Read, Read, Json, since (3, 6);
    RESERVED_IPS_CREATE = "reservedips.create", POST "reservedips/",
        Write, Once, Json, since (3, 6) ["ip!", "subnet", "mac_address", "comment"];

    RESERVED_IP_READ = "reservedip.read", GET "reservedips/{}/", Read, Read, Json, since (3, 6);
    RESERVED_IP_UPDATE = "reservedip.update", PUT "reservedips/{}/", Write, Converging, Json, since (3, 6) ["comment"];
    RESERVED_IP_DELETE = "reservedip.delete", DELETE "reservedips/{}/", Write, Once, Nothing, since (3, 6);

    POOL_READ = "resourcepool.read", GET "resourcepool/{}/", Read, Read, Json;
    POOL_UPDATE = "resourcepool.update", PUT "resourcepool/{}/", Write, Converging, Json ["description", "name"];
    POOL_DELETE = "resourcepool.delete", DELETE "resourcepool/{}/", Write, Once, Nothing;

    POOLS_LIST = "resourcepools.list", GET "resourcepools/", Read, Read, Json;
    POOLS_CREATE = "resourcepools.create", POST "resourcepools/", Write, Once, Json ["name!", "description"];
}
