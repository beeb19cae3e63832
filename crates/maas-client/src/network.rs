//! Networks: fabrics, VLANs, spaces, subnets, addresses, ranges (fact sheet §2.8).

use std::net::IpAddr;

use crate::define::{reply, request, service, words};
use crate::ids::{FabricId, IpRangeId, ReservedIpId, SpaceId, StaticRouteId, SubnetId, SubnetKey, VlanId};
use crate::machine::{Interface, SubnetRef};
use crate::region::User;

service! {
    /// Subnets: `subnets/`. With feature `mock` there is `MockSubnets`.
    Subnets by SubnetsClient;

    /// `GET subnets/`.
    fn list() -> Vec<Subnet> = SUBNETS_LIST;

    /// `GET subnets/{id}/`.
    fn read(&subnet: SubnetKey) -> Subnet = SUBNET_READ [subnet];

    /// `POST subnets/` (admin). An existing or overlapping CIDR is `Validation`.
    fn create(&request: CreateSubnet) -> Subnet = SUBNETS_CREATE, request.form();

    /// `PUT subnets/{id}/` (admin): what is left out stays.
    fn update(&subnet: SubnetKey, &request: UpdateSubnet) -> Subnet = SUBNET_UPDATE [subnet], request.form();

    /// `DELETE subnets/{id}/` (admin).
    fn delete(&subnet: SubnetKey) -> () = SUBNET_DELETE [subnet];

    /// `GET subnets/{id}/?op=statistics`.
    fn statistics(&subnet: SubnetKey) -> SubnetStatistics = SUBNET_STATISTICS [subnet];

    /// `GET subnets/{id}/?op=reserved_ip_ranges`: what is taken, and for what.
    fn reserved_ranges(&subnet: SubnetKey) -> Vec<AddressSpan> = SUBNET_RESERVED_IP_RANGES [subnet];

    /// `GET subnets/{id}/?op=unreserved_ip_ranges`: what is free.
    fn free_ranges(&subnet: SubnetKey) -> Vec<AddressSpan> = SUBNET_UNRESERVED_IP_RANGES [subnet];
}

service! {
    /// VLANs: `vlans/{id}/` and `fabrics/{id}/vlans/`. With feature `mock` there is `MockVlans`.
    Vlans by VlansClient;

    /// `GET fabrics/{id}/vlans/`.
    fn list(fabric: FabricId) -> Vec<Vlan> = FABRIC_VLANS_LIST [fabric];

    /// `GET vlans/{id}/`.
    fn read(id: VlanId) -> Vlan = VLAN_READ [id];

    /// `GET fabrics/{id}/vlans/{vid}/`: by VID.
    fn find(fabric: FabricId, vid: u16) -> Vlan = FABRIC_VLAN_READ [fabric, vid];

    /// `POST fabrics/{id}/vlans/` (admin).
    fn create(fabric: FabricId, &request: CreateVlan) -> Vlan = FABRIC_VLANS_CREATE [fabric], request.form();

    /// `PUT vlans/{id}/` (admin): what is left out stays.
    fn update(id: VlanId, &request: UpdateVlan) -> Vlan = VLAN_UPDATE [id], request.form();

    /// `DELETE vlans/{id}/` (admin).
    fn delete(id: VlanId) -> () = VLAN_DELETE [id];
}

service! {
    /// Fabrics: `fabrics/`. With feature `mock` there is `MockFabrics`.
    Fabrics by FabricsClient;

    /// `GET fabrics/`.
    fn list() -> Vec<Fabric> = FABRICS_LIST;

    /// `GET fabrics/{id}/`.
    fn read(id: FabricId) -> Fabric = FABRIC_READ [id];

    /// `POST fabrics/` (admin).
    fn create(&request: FabricRequest) -> Fabric = FABRICS_CREATE, request.form();

    /// `PUT fabrics/{id}/` (admin): what is left out stays.
    fn update(id: FabricId, &request: FabricRequest) -> Fabric = FABRIC_UPDATE [id], request.form();

    /// `DELETE fabrics/{id}/` (admin).
    fn delete(id: FabricId) -> () = FABRIC_DELETE [id];
}

service! {
    /// Spaces: `spaces/`. With feature `mock` there is `MockSpaces`.
    Spaces by SpacesClient;

    /// `GET spaces/`. What belongs to none is in one named `undefined` with number −1.
    fn list() -> Vec<Space> = SPACES_LIST;

    /// `GET spaces/{id}/`.
    fn read(id: SpaceId) -> Space = SPACE_READ [id];

    /// `POST spaces/` (admin).
    fn create(&request: SpaceRequest) -> Space = SPACES_CREATE, request.form();

    /// `PUT spaces/{id}/` (admin): what is left out stays.
    fn update(id: SpaceId, &request: SpaceRequest) -> Space = SPACE_UPDATE [id], request.form();

    /// `DELETE spaces/{id}/` (admin).
    fn delete(id: SpaceId) -> () = SPACE_DELETE [id];
}

service! {
    /// Addresses in use: `ipaddresses/`. With feature `mock` there is `MockIpAddresses`.
    IpAddresses by IpAddressesClient;

    /// `GET ipaddresses/`: the caller's own reservations unless the filter says otherwise.
    fn list(&filter: IpAddressFilter) -> Vec<IpAddressRow> = IP_ADDRESSES_LIST, filter.form();

    /// `POST ipaddresses/?op=reserve`: an address of a subnet, chosen by MAAS unless given. Taken is
    /// [`crate::Conflict::Taken`], outside the subnet or in a dynamic range `Permission`, exhausted
    /// `Unavailable`, an unknown subnet `Validation`.
    fn reserve(&request: ReserveIp) -> IpAddressRow = IP_ADDRESSES_RESERVE, request.form();

    /// `POST ipaddresses/?op=release`: also deletes DNS resources that have no other address. Unknown and
    /// foreign addresses are `Validation`.
    fn release(&request: ReleaseIp) -> () = IP_ADDRESSES_RELEASE, request.form();
}

service! {
    /// Ranges of addresses: `ipranges/`. With feature `mock` there is `MockIpRanges`.
    IpRanges by IpRangesClient;

    /// `GET ipranges/`.
    fn list() -> Vec<IpRange> = IP_RANGES_LIST;

    /// `GET ipranges/{id}/`.
    fn read(id: IpRangeId) -> IpRange = IP_RANGE_READ [id];

    /// `POST ipranges/`; dynamic ones are for administrators. Overlap is `Validation`.
    fn create(&request: CreateIpRange) -> IpRange = IP_RANGES_CREATE, request.form();

    /// `PUT ipranges/{id}/`: what is left out stays.
    fn update(id: IpRangeId, &request: UpdateIpRange) -> IpRange = IP_RANGE_UPDATE [id], request.form();

    /// `DELETE ipranges/{id}/`.
    fn delete(id: IpRangeId) -> () = IP_RANGE_DELETE [id];
}

service! {
    /// Addresses kept for a hardware address: `reservedips/` (3.6+). With feature `mock` there is
    /// `MockReservedIps`.
    ReservedIps by ReservedIpsClient;

    /// `GET reservedips/`.
    fn list() -> Vec<ReservedIp> = RESERVED_IPS_LIST;

    /// `GET reservedips/{id}/`.
    fn read(id: ReservedIpId) -> ReservedIp = RESERVED_IP_READ [id];

    /// `POST reservedips/` (admin).
    fn create(&request: CreateReservedIp) -> ReservedIp = RESERVED_IPS_CREATE, request.form();

    /// `PUT reservedips/{id}/` (admin).
    fn update(id: ReservedIpId, &request: UpdateReservedIp) -> ReservedIp = RESERVED_IP_UPDATE [id], request.form();

    /// `DELETE reservedips/{id}/` (admin).
    fn delete(id: ReservedIpId) -> () = RESERVED_IP_DELETE [id];
}

service! {
    /// Routes between subnets: `static-routes/`. With feature `mock` there is `MockStaticRoutes`.
    StaticRoutes by StaticRoutesClient;

    /// `GET static-routes/`.
    fn list() -> Vec<StaticRoute> = STATIC_ROUTES_LIST;

    /// `GET static-routes/{id}/`.
    fn read(id: StaticRouteId) -> StaticRoute = STATIC_ROUTE_READ [id];

    /// `POST static-routes/` (admin).
    fn create(&request: StaticRouteRequest) -> StaticRoute = STATIC_ROUTES_CREATE, request.form();

    /// `PUT static-routes/{id}/` (admin): what is left out stays.
    fn update(id: StaticRouteId, &request: StaticRouteRequest) -> StaticRoute = STATIC_ROUTE_UPDATE [id], request.form();

    /// `DELETE static-routes/{id}/` (admin).
    fn delete(id: StaticRouteId) -> () = STATIC_ROUTE_DELETE [id];
}

words! {
    /// Who may use the addresses of a range.
    IpRangeKind {
        /// MAAS's DHCP, for machines that are not deployed.
        Dynamic = "dynamic",
        /// Nobody automatic.
        Reserved = "reserved",
    }
}

reply! {
    /// A subnet.
    Subnet {
        /// Number.
        id: SubnetId,
        /// Name; the CIDR unless somebody renamed it.
        name: String,
        /// Free text.
        description: String,
        /// e.g. `10.10.0.0/24`.
        cidr: String,
        /// VLAN it is on.
        vlan: Option<Vlan>,
        /// Name of the space; `undefined` without one.
        space: String,
        /// Gateway handed to machines.
        gateway_ip: Option<IpAddr>,
        /// DNS servers handed to machines, before MAAS's own.
        dns_servers: Vec<String>,
        /// Reverse zones: 0 none, 1 plain, 2 with RFC 2317 glue.
        rdns_mode: i64,
        /// MAAS looks for neighbours actively.
        active_discovery: bool,
        /// May use MAAS's DNS.
        allow_dns: bool,
        /// May use MAAS's proxy.
        allow_proxy: bool,
        /// MAAS hands out addresses; else only from reserved ranges.
        managed: bool,
        /// Boot architectures DHCP does not answer.
        disabled_boot_architectures: Vec<String>,
    }

    /// A VLAN.
    Vlan {
        /// Number in the database.
        id: VlanId,
        /// VID, 0 to 4094; 0 is untagged.
        vid: u16,
        /// Name.
        name: Option<String>,
        /// Name of the fabric.
        fabric: String,
        /// Number of the fabric.
        fabric_id: FabricId,
        /// Largest frame in bytes.
        mtu: u64,
        /// MAAS's DHCP serves it.
        dhcp_on: bool,
        /// Another DHCP server was seen.
        external_dhcp: Option<String>,
        /// `system_id` of the rack controller that serves it.
        primary_rack: Option<String>,
        /// `system_id` of its stand-by.
        secondary_rack: Option<String>,
        /// Name of the space; `undefined` without one.
        space: String,
    }

    /// A fabric: VLANs that are connected.
    Fabric {
        /// Number.
        id: FabricId,
        /// Name.
        name: String,
        /// Free word, for `fabric_classes` filters.
        class_type: Option<String>,
        /// Its VLANs.
        vlans: Vec<Vlan>,
    }

    /// A space: VLANs that may talk to each other.
    Space {
        /// Number.
        id: SpaceId,
        /// Name.
        name: String,
        /// Free text.
        description: String,
        /// Its VLANs.
        vlans: Vec<Vlan>,
        /// Their subnets.
        subnets: Vec<Subnet>,
    }

    /// How full a subnet is.
    SubnetStatistics {
        /// Free addresses.
        num_available: u64,
        /// Longest run of free addresses.
        largest_available: u64,
        /// Taken addresses.
        num_unavailable: u64,
        /// All addresses.
        total_addresses: u64,
        /// Taken share, 0.0 to 1.0.
        usage: f64,
        /// First address machines can have.
        first_address: Option<IpAddr>,
        /// Last address machines can have.
        last_address: Option<IpAddr>,
        /// 4 or 6.
        ip_version: u16,
    }

    /// Some addresses in a row.
    AddressSpan {
        /// First.
        start: Option<IpAddr>,
        /// Last.
        end: Option<IpAddr>,
        /// How many.
        num_addresses: u64,
        /// What they are taken for, e.g. `dynamic`, `assigned-ip`, `gateway-ip`.
        purpose: Vec<String>,
    }

    /// An address and who has it.
    IpAddressRow {
        /// Address; none while its machine is not deployed.
        ip: Option<IpAddr>,
        /// 0 auto, 1 sticky, 4 user reserved, 5 DHCP, 6 discovered.
        alloc_type: Option<i64>,
        /// The same in MAAS's words.
        alloc_type_name: String,
        /// When, as MAAS prints it.
        created: String,
        /// User who reserved it.
        owner: Option<User>,
        /// Subnet it is in.
        subnet: Option<SubnetRef>,
        /// Interfaces that carry it.
        interface_set: Vec<Interface>,
    }

    /// A range of addresses.
    IpRange {
        /// Number.
        id: IpRangeId,
        /// Who may use it; `type` on the wire.
        #[serde(rename = "type")]
        kind: IpRangeKind,
        /// First address.
        start_ip: Option<IpAddr>,
        /// Last address.
        end_ip: Option<IpAddr>,
        /// Subnet it is in.
        subnet: Option<SubnetRef>,
        /// Free text.
        comment: String,
        /// Who made it.
        user: Option<User>,
    }

    /// An address kept for a hardware address.
    ReservedIp {
        /// Number.
        id: ReservedIpId,
        /// Address.
        ip: Option<IpAddr>,
        /// Subnet it is in.
        subnet: Option<SubnetRef>,
        /// Hardware address it is kept for.
        mac_address: String,
        /// Free text.
        comment: String,
    }

    /// A route that machines on one subnet get to another.
    StaticRoute {
        /// Number.
        id: StaticRouteId,
        /// From.
        source: Option<SubnetRef>,
        /// To.
        destination: Option<SubnetRef>,
        /// Over.
        gateway_ip: Option<IpAddr>,
        /// Weight.
        metric: i64,
    }
}

request! {
    /// Parameters of `POST subnets/`.
    CreateSubnet {
        /// e.g. `10.10.0.0/24`.
        cidr: String,
        /// Name; the CIDR when absent.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
        /// VLAN; else the untagged one of the fabric.
        vlan: Option<VlanId>,
        /// Fabric; else the default one.
        fabric: Option<FabricId>,
        /// VID, together with `fabric`.
        vid: Option<u16>,
        /// Gateway handed to machines.
        gateway_ip: Option<IpAddr>,
        /// Reverse zones: 0 none, 1 plain, 2 with RFC 2317 glue (the default).
        rdns_mode: Option<u16>,
        /// May use MAAS's DNS.
        allow_dns: Option<bool>,
        /// May use MAAS's proxy.
        allow_proxy: Option<bool>,
        /// DNS servers, separated by blanks or commas.
        dns_servers: Option<String>,
        /// MAAS hands out addresses (the default).
        managed: Option<bool>,
    }

    /// Parameters of `PUT subnets/{id}/`; an empty text unsets.
    UpdateSubnet {
        /// Another CIDR.
        cidr: Option<String>,
        /// Name.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
        /// VLAN.
        vlan: Option<VlanId>,
        /// Gateway handed to machines.
        gateway_ip: Option<String>,
        /// Reverse zones.
        rdns_mode: Option<u16>,
        /// May use MAAS's DNS.
        allow_dns: Option<bool>,
        /// May use MAAS's proxy.
        allow_proxy: Option<bool>,
        /// DNS servers, separated by blanks or commas.
        dns_servers: Option<String>,
        /// MAAS hands out addresses.
        managed: Option<bool>,
    }

    /// Parameters of `POST fabrics/{id}/vlans/`.
    CreateVlan {
        /// VID, 1 to 4094.
        vid: u16,
        /// Name.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
        /// Space.
        space: Option<SpaceId>,
    }

    /// Parameters of `PUT vlans/{id}/`; an empty text unsets.
    UpdateVlan {
        /// Name.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
        /// Largest frame in bytes.
        mtu: Option<u64>,
        /// MAAS's DHCP serves it.
        dhcp_on: Option<bool>,
        /// Rack controller that serves it.
        primary_rack: Option<String>,
        /// Its stand-by.
        secondary_rack: Option<String>,
        /// VLAN its DHCP requests are relayed to, by number in the database.
        relay_vlan: Option<String>,
        /// Space, by number or name.
        space: Option<String>,
    }

    /// Parameters of `POST fabrics/` and `PUT fabrics/{id}/`.
    FabricRequest {
        /// Name.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
        /// Free word, for `fabric_classes` filters.
        class_type: Option<String>,
    }

    /// Parameters of `POST spaces/` (where `name` is required) and `PUT spaces/{id}/`.
    SpaceRequest {
        /// Name.
        name: Option<String>,
        /// Free text.
        description: Option<String>,
    }

    /// Filters of `GET ipaddresses/`.
    IpAddressFilter {
        /// Only this one.
        ip: Option<IpAddr>,
        /// Everybody's, and of every kind (admin).
        all: bool,
        /// Reservations of this user (admin).
        owner: Option<String>,
    }

    /// Parameters of `POST ipaddresses/?op=reserve`; a subnet or an address is needed.
    ReserveIp {
        /// Any address of this subnet.
        subnet: Option<SubnetKey>,
        /// This address.
        ip: Option<IpAddr>,
        /// Also adds the address to this name, which is made if missing; may contain the domain.
        hostname: Option<String>,
        /// Hardware address it is for.
        mac: Option<String>,
    }

    /// Parameters of `POST ipaddresses/?op=release`.
    ReleaseIp {
        /// Address.
        ip: Option<IpAddr>,
        /// Somebody else's too (admin).
        force: bool,
        /// One that was only seen on the network.
        discovered: bool,
    }

    /// Parameters of `POST ipranges/`.
    CreateIpRange {
        /// Who may use it.
        kind: IpRangeKind as "type",
        /// First address.
        start_ip: String,
        /// Last address.
        end_ip: String,
        /// Subnet; needed for the kind `reserved` only if the addresses don't tell.
        subnet: Option<SubnetKey>,
        /// Free text.
        comment: Option<String>,
    }

    /// Parameters of `PUT ipranges/{id}/`.
    UpdateIpRange {
        /// First address.
        start_ip: Option<IpAddr>,
        /// Last address.
        end_ip: Option<IpAddr>,
        /// Free text.
        comment: Option<String>,
    }

    /// Parameters of `POST reservedips/`.
    CreateReservedIp {
        /// Address.
        ip: String,
        /// Subnet; found by the address when absent.
        subnet: Option<SubnetKey>,
        /// Hardware address it is kept for.
        mac_address: Option<String>,
        /// Free text.
        comment: Option<String>,
    }

    /// Parameters of `PUT reservedips/{id}/`.
    UpdateReservedIp {
        /// Free text.
        comment: Option<String>,
    }

    /// Parameters of `POST static-routes/` (where the first three are required) and `PUT static-routes/{id}/`.
    StaticRouteRequest {
        /// From.
        source: Option<SubnetKey>,
        /// To.
        destination: Option<SubnetKey>,
        /// Over.
        gateway_ip: Option<IpAddr>,
        /// Weight.
        metric: Option<u64>,
    }
}
