//! Machines, devices, controllers, VM hosts, their parts, scripts and tags.

operations! {
    MACHINES_LIST = "machines.list", GET "machines/", List, Read, Json ["*"];
    MACHINES_CREATE = "machines.create", POST "machines/", Write, Once, Json [
        "architecture!", "mac_addresses!", "hostname", "domain", "description", "power_type",
        "power_parameters_{param}", "min_hwe_kernel", "commission", "deployed", "is_dpu",
    ];
    MACHINES_ALLOCATE = "machines.allocate", POST "machines/" ? "allocate", Allocate, Once, Json [
        "system_id", "name", "tags", "not_tags", "zone", "not_in_zone", "pool", "not_in_pool", "arch", "cpu_count",
        "mem", "storage", "interfaces", "devices", "subnets", "fabrics", "power_state", "agent_name", "comment",
        "bridge_all", "bridge_type", "bridge_stp", "bridge_fd", "dry_run", "verbose",
    ];
    MACHINES_RELEASE = "machines.release", POST "machines/" ? "release", Power, Once, Json ["machines!", "comment"];
    MACHINES_LIST_ALLOCATED = "machines.list_allocated", GET "machines/" ? "list_allocated", List, Read, Json ["id"];
    MACHINES_ACCEPT = "machines.accept", POST "machines/" ? "accept", Write, Once, Json ["machines!"];
    MACHINES_ACCEPT_ALL = "machines.accept_all", POST "machines/" ? "accept_all", Write, Once, Json;
    MACHINES_CLONE = "machines.clone", POST "machines/" ? "clone",
        Write, Once, Nothing ["source!", "destinations!", "interfaces", "storage"];
    MACHINES_ADD_CHASSIS = "machines.add_chassis", POST "machines/" ? "add_chassis", Write, Once, Text [
        "chassis_type!", "hostname!", "username", "password", "accept_all", "rack_controller", "domain",
        "prefix_filter", "power_control", "port", "protocol",
    ];
    MACHINES_POWER_PARAMETERS = "machines.power_parameters", GET "machines/" ? "power_parameters",
        List, Read, Json ["id"];
    MACHINES_SET_ZONE = "machines.set_zone", POST "machines/" ? "set_zone",
        Write, Converging, Maybe ["zone!", "nodes!"];
    MACHINES_IS_REGISTERED = "machines.is_registered", GET "machines/" ? "is_registered",
        Read, Read, Json ["mac_address!"];
    MACHINES_IS_ACTION_IN_PROGRESS = "machines.is_action_in_progress", GET "machines/" ? "is_action_in_progress",
        Read, Read, Json ["mac_address!"];

    MACHINE_READ = "machine.read", GET "machines/{}/", Read, Read, Json;
    MACHINE_UPDATE = "machine.update", PUT "machines/{}/", Write, Converging, Json [
        "hostname", "domain", "description", "swap_size", "zone", "pool", "architecture", "min_hwe_kernel",
        "cpu_count", "memory", "power_type", "power_parameters_{param}", "power_parameters_skip_check",
    ];
    MACHINE_DELETE = "machine.delete", DELETE "machines/{}/", Write, Once, Nothing ["force"];
    MACHINE_DEPLOY = "machine.deploy", POST "machines/{}/" ? "deploy", Deploy, Once, Json [
        "distro_series", "user_data", "hwe_kernel", "ephemeral_deploy", "enable_hw_sync", "enable_kernel_crash_dump",
        "comment", "license_key", "vcenter_registration", "bridge_all", "bridge_type", "bridge_stp", "bridge_fd",
        "agent_name", "install_kvm", "register_vmhost",
    ];
    MACHINE_RELEASE = "machine.release", POST "machines/{}/" ? "release",
        Power, Converging, Json ["comment", "erase", "secure_erase", "quick_erase", "force", "scripts"];
    MACHINE_SET_OWNER_DATA = "machine.set_owner_data", POST "machines/{}/" ? "set_owner_data",
        Write, Converging, Json ["key"];
    MACHINE_SET_WORKLOAD_ANNOTATIONS = "machine.set_workload_annotations", POST "machines/{}/" ? "set_workload_annotations",
        Write, Converging, Json ["key"];
    MACHINE_POWER_ON = "machine.power_on", POST "machines/{}/" ? "power_on",
        Power, Once, Maybe ["user_data", "comment"];
    MACHINE_POWER_OFF = "machine.power_off", POST "machines/{}/" ? "power_off",
        Power, Converging, Maybe ["stop_mode", "comment"];
    MACHINE_QUERY_POWER = "machine.query_power_state", GET "machines/{}/" ? "query_power_state",
        PowerQuery, Read, Json;
    MACHINE_ABORT = "machine.abort", POST "machines/{}/" ? "abort", Power, Once, Json ["comment"];
    MACHINE_MARK_BROKEN = "machine.mark_broken", POST "machines/{}/" ? "mark_broken", Write, Once, Json ["comment"];
    MACHINE_MARK_FIXED = "machine.mark_fixed", POST "machines/{}/" ? "mark_fixed", Write, Once, Json ["comment"];
    MACHINE_LOCK = "machine.lock", POST "machines/{}/" ? "lock", Write, Once, Json ["comment"];
    MACHINE_UNLOCK = "machine.unlock", POST "machines/{}/" ? "unlock", Write, Once, Json ["comment"];
    MACHINE_COMMISSION = "machine.commission", POST "machines/{}/" ? "commission", Power, Once, Json [
        "enable_ssh", "skip_bmc_config", "skip_networking", "skip_storage", "commissioning_scripts",
        "testing_scripts", "parameters",
    ];
    MACHINE_TEST = "machine.test", POST "machines/{}/" ? "test",
        Power, Once, Json ["enable_ssh", "testing_scripts", "parameters"];
    MACHINE_OVERRIDE_FAILED_TESTING = "machine.override_failed_testing", POST "machines/{}/" ? "override_failed_testing",
        Power, Once, Json ["comment"];
    MACHINE_RESCUE_MODE = "machine.rescue_mode", POST "machines/{}/" ? "rescue_mode", Power, Once, Json;
    MACHINE_EXIT_RESCUE_MODE = "machine.exit_rescue_mode", POST "machines/{}/" ? "exit_rescue_mode", Power, Once, Json;
    MACHINE_SET_STORAGE_LAYOUT = "machine.set_storage_layout", POST "machines/{}/" ? "set_storage_layout",
        Write, Once, Json [
        "storage_layout!", "boot_size", "root_size", "root_device", "vg_name", "lv_name", "lv_size", "cache_device",
        "cache_mode", "cache_size", "cache_no_part",
    ];
    MACHINE_MOUNT_SPECIAL = "machine.mount_special", POST "machines/{}/" ? "mount_special",
        Write, Converging, Json ["fstype!", "mount_point!", "mount_options"];
    MACHINE_UNMOUNT_SPECIAL = "machine.unmount_special", POST "machines/{}/" ? "unmount_special",
        Write, Converging, Json ["mount_point!"];
    MACHINE_CLEAR_DEFAULT_GATEWAYS = "machine.clear_default_gateways", POST "machines/{}/" ? "clear_default_gateways",
        Write, Converging, Json;
    MACHINE_RESTORE_NETWORKING_CONFIGURATION = "machine.restore_networking_configuration", POST "machines/{}/" ? "restore_networking_configuration",
        Write, Converging, Json;
    MACHINE_RESTORE_STORAGE_CONFIGURATION = "machine.restore_storage_configuration", POST "machines/{}/" ? "restore_storage_configuration",
        Write, Converging, Json;
    MACHINE_RESTORE_DEFAULT_CONFIGURATION = "machine.restore_default_configuration", POST "machines/{}/" ? "restore_default_configuration",
        Write, Converging, Json;
    MACHINE_GET_CURTIN_CONFIG = "machine.get_curtin_config", GET "machines/{}/" ? "get_curtin_config",
        Read, Read, Text;
    MACHINE_GET_TOKEN = "machine.get_token", GET "machines/{}/" ? "get_token", Read, Read, Maybe;
    MACHINE_POWER_PARAMETERS = "machine.power_parameters", GET "machines/{}/" ? "power_parameters", Read, Read, Json;
    MACHINE_DETAILS = "machine.details", GET "machines/{}/" ? "details", Read, Read, Bytes;

    BLOCK_DEVICES_LIST = "blockdevices.list", GET "nodes/{}/blockdevices/", Read, Read, Json;
    BLOCK_DEVICES_CREATE = "blockdevices.create", POST "nodes/{}/blockdevices/",
        Write, Once, Json ["name!", "model", "serial", "id_path", "size!", "block_size!"];

    BLOCK_DEVICE_READ = "blockdevice.read", GET "nodes/{}/blockdevices/{}/", Read, Read, Json;
    BLOCK_DEVICE_UPDATE = "blockdevice.update", PUT "nodes/{}/blockdevices/{}/",
        Write, Converging, Json ["name", "model", "serial", "id_path", "size", "block_size", "uuid"];
    BLOCK_DEVICE_DELETE = "blockdevice.delete", DELETE "nodes/{}/blockdevices/{}/", Write, Once, Nothing;
    BLOCK_DEVICE_ADD_TAG = "blockdevice.add_tag", POST "nodes/{}/blockdevices/{}/" ? "add_tag",
        Write, Converging, Json ["tag!"];
    BLOCK_DEVICE_FORMAT = "blockdevice.format", POST "nodes/{}/blockdevices/{}/" ? "format",
        Write, Once, Json ["fstype!", "uuid"];
    BLOCK_DEVICE_MOUNT = "blockdevice.mount", POST "nodes/{}/blockdevices/{}/" ? "mount",
        Write, Once, Json ["mount_point!", "mount_options"];
    BLOCK_DEVICE_REMOVE_TAG = "blockdevice.remove_tag", POST "nodes/{}/blockdevices/{}/" ? "remove_tag",
        Write, Converging, Json ["tag"];
    BLOCK_DEVICE_SET_BOOT_DISK = "blockdevice.set_boot_disk", POST "nodes/{}/blockdevices/{}/" ? "set_boot_disk",
        Write, Converging, Nothing;
    BLOCK_DEVICE_UNFORMAT = "blockdevice.unformat", POST "nodes/{}/blockdevices/{}/" ? "unformat", Write, Once, Json;
    BLOCK_DEVICE_UNMOUNT = "blockdevice.unmount", POST "nodes/{}/blockdevices/{}/" ? "unmount", Write, Once, Json;

    PARTITIONS_LIST = "partitions.list", GET "nodes/{}/blockdevices/{}/partitions/", Read, Read, Json;
    PARTITIONS_CREATE = "partitions.create", POST "nodes/{}/blockdevices/{}/partitions/",
        Write, Once, Json ["size", "uuid", "bootable"];

    PARTITION_READ = "partition.read", GET "nodes/{}/blockdevices/{}/partition/{}", Read, Read, Json;
    PARTITION_DELETE = "partition.delete", DELETE "nodes/{}/blockdevices/{}/partition/{}", Write, Once, Nothing;
    PARTITION_ADD_TAG = "partition.add_tag", POST "nodes/{}/blockdevices/{}/partition/{}" ? "add_tag",
        Write, Converging, Json ["tag!"];
    PARTITION_FORMAT = "partition.format", POST "nodes/{}/blockdevices/{}/partition/{}" ? "format",
        Write, Once, Json ["fstype!", "uuid", "label"];
    PARTITION_MOUNT = "partition.mount", POST "nodes/{}/blockdevices/{}/partition/{}" ? "mount",
        Write, Once, Json ["mount_point!", "mount_options"];
    PARTITION_REMOVE_TAG = "partition.remove_tag", POST "nodes/{}/blockdevices/{}/partition/{}" ? "remove_tag",
        Write, Converging, Json ["tag!"];
    PARTITION_UNFORMAT = "partition.unformat", POST "nodes/{}/blockdevices/{}/partition/{}" ? "unformat",
        Write, Once, Json;
    PARTITION_UNMOUNT = "partition.unmount", POST "nodes/{}/blockdevices/{}/partition/{}" ? "unmount",
        Write, Once, Json;

    VOLUME_GROUPS_LIST = "volume-groups.list", GET "nodes/{}/volume-groups/", Read, Read, Json;
    VOLUME_GROUPS_CREATE = "volume-groups.create", POST "nodes/{}/volume-groups/",
        Write, Once, Json ["name!", "uuid", "block_devices", "partitions"];

    VOLUME_GROUP_READ = "volume-group.read", GET "nodes/{}/volume-group/{}/", Read, Read, Json;
    VOLUME_GROUP_UPDATE = "volume-group.update", PUT "nodes/{}/volume-group/{}/", Write, Converging, Json [
        "name", "uuid", "add_block_devices", "remove_block_devices", "add_partitions", "remove_partitions",
    ];
    VOLUME_GROUP_DELETE = "volume-group.delete", DELETE "nodes/{}/volume-group/{}/", Write, Once, Nothing;
    VOLUME_GROUP_CREATE_LOGICAL_VOLUME = "volume-group.create_logical_volume", POST "nodes/{}/volume-group/{}/" ? "create_logical_volume",
        Write, Once, Json ["name!", "uuid", "size"];
    VOLUME_GROUP_DELETE_LOGICAL_VOLUME = "volume-group.delete_logical_volume", POST "nodes/{}/volume-group/{}/" ? "delete_logical_volume",
        Write, Once, Json ["id!"];

    RAIDS_LIST = "raids.list", GET "nodes/{}/raids/", Read, Read, Json;
    RAIDS_CREATE = "raids.create", POST "nodes/{}/raids/", Write, Once, Json [
        "name", "uuid", "level!", "block_devices", "spare_devices", "partitions", "spare_partitions",
    ];

    RAID_READ = "raid.read", GET "nodes/{}/raid/{}/", Read, Read, Json;
    RAID_UPDATE = "raid.update", PUT "nodes/{}/raid/{}/", Write, Converging, Json [
        "name", "uuid", "add_block_devices", "remove_block_devices", "add_spare_devices", "remove_spare_devices",
        "add_partitions", "remove_partitions", "add_spare_partitions", "remove_spare_partitions",
    ];
    RAID_DELETE = "raid.delete", DELETE "nodes/{}/raid/{}/", Write, Once, Nothing;

    BCACHES_LIST = "bcaches.list", GET "nodes/{}/bcaches/", Read, Read, Json;
    BCACHES_CREATE = "bcaches.create", POST "nodes/{}/bcaches/",
        Write, Once, Json ["name", "uuid", "cache_set", "backing_device", "backing_partition", "cache_mode"];

    BCACHE_READ = "bcache.read", GET "nodes/{}/bcache/{}/", Read, Read, Json;
    BCACHE_UPDATE = "bcache.update", PUT "nodes/{}/bcache/{}/",
        Write, Converging, Json ["name", "uuid", "cache_set", "backing_device", "backing_partition", "cache_mode"];
    BCACHE_DELETE = "bcache.delete", DELETE "nodes/{}/bcache/{}/", Write, Once, Nothing;

    CACHE_SETS_LIST = "bcache-cache-sets.list", GET "nodes/{}/bcache-cache-sets/", Read, Read, Json;
    CACHE_SETS_CREATE = "bcache-cache-sets.create", POST "nodes/{}/bcache-cache-sets/",
        Write, Once, Json ["cache_device", "cache_partition"];

    CACHE_SET_READ = "bcache-cache-set.read", GET "nodes/{}/bcache-cache-set/{}/", Read, Read, Json;
    CACHE_SET_UPDATE = "bcache-cache-set.update", PUT "nodes/{}/bcache-cache-set/{}/",
        Write, Converging, Json ["cache_device", "cache_partition"];
    CACHE_SET_DELETE = "bcache-cache-set.delete", DELETE "nodes/{}/bcache-cache-set/{}/", Write, Once, Nothing;

    VMFS_DATASTORES_LIST = "vmfs-datastores.list", GET "nodes/{}/vmfs-datastores/", Read, Read, Json;
    VMFS_DATASTORES_CREATE = "vmfs-datastores.create", POST "nodes/{}/vmfs-datastores/",
        Write, Once, Json ["name!", "uuid", "block_devices", "partitions"];

    VMFS_DATASTORE_READ = "vmfs-datastore.read", GET "nodes/{}/vmfs-datastore/{}/", Read, Read, Json;
    VMFS_DATASTORE_UPDATE = "vmfs-datastore.update", PUT "nodes/{}/vmfs-datastore/{}/",
        Write, Converging, Json ["name", "uuid", "add_block_devices", "add_partitions", "remove_partitions"];
    VMFS_DATASTORE_DELETE = "vmfs-datastore.delete", DELETE "nodes/{}/vmfs-datastore/{}/", Write, Once, Nothing;

    INTERFACE_READ = "interface.read", GET "nodes/{}/interfaces/{}/", Read, Read, Json;
    INTERFACE_UPDATE = "interface.update", PUT "nodes/{}/interfaces/{}/", Write, Converging, Json [
        "name", "mac_address", "tags", "vlan", "parents", "parent", "bridge_type", "bridge_stp", "bridge_fd",
        "bond_miimon", "bond_downdelay", "bond_updelay", "bond_lacp_rate", "bond_xmit_hash_policy", "bond_mode!",
        "mtu", "accept_ra", "link_connected", "interface_speed", "link_speed",
    ];
    INTERFACE_DELETE = "interface.delete", DELETE "nodes/{}/interfaces/{}/", Write, Once, Nothing;
    INTERFACE_ADD_TAG = "interface.add_tag", POST "nodes/{}/interfaces/{}/" ? "add_tag",
        Write, Converging, Json ["tag"];
    INTERFACE_DISCONNECT = "interface.disconnect", POST "nodes/{}/interfaces/{}/" ? "disconnect",
        Write, Converging, Json;
    INTERFACE_LINK_SUBNET = "interface.link_subnet", POST "nodes/{}/interfaces/{}/" ? "link_subnet",
        Write, Once, Json ["mode!", "subnet!", "ip_address", "force", "default_gateway"];
    INTERFACE_REMOVE_TAG = "interface.remove_tag", POST "nodes/{}/interfaces/{}/" ? "remove_tag",
        Write, Converging, Json ["tag"];
    INTERFACE_SET_DEFAULT_GATEWAY = "interface.set_default_gateway", POST "nodes/{}/interfaces/{}/" ? "set_default_gateway",
        Write, Converging, Json ["link_id"];
    INTERFACE_UNLINK_SUBNET = "interface.unlink_subnet", POST "nodes/{}/interfaces/{}/" ? "unlink_subnet",
        Write, Once, Json ["id"];

    INTERFACES_LIST = "interfaces.list", GET "nodes/{}/interfaces/", Read, Read, Json;
    INTERFACES_CREATE_BOND = "interfaces.create_bond", POST "nodes/{}/interfaces/" ? "create_bond",
        Write, Once, Json [
        "name!", "mac_address", "tags", "vlan", "parents!", "bond_mode!", "bond_miimon", "bond_downdelay",
        "bond_updelay", "bond_lacp_rate", "bond_xmit_hash_policy", "bond_num_grat_arp", "mtu", "accept_ra",
    ];
    INTERFACES_CREATE_BRIDGE = "interfaces.create_bridge", POST "nodes/{}/interfaces/" ? "create_bridge",
        Write, Once, Json [
        "name", "mac_address", "tags", "vlan", "parent", "parents", "bridge_type", "bridge_stp", "bridge_fd", "mtu",
        "accept_ra",
    ];
    INTERFACES_CREATE_PHYSICAL = "interfaces.create_physical", POST "nodes/{}/interfaces/" ? "create_physical",
        Write, Once, Json ["name", "mac_address!", "tags", "vlan", "mtu", "accept_ra"];
    INTERFACES_CREATE_VLAN = "interfaces.create_vlan", POST "nodes/{}/interfaces/" ? "create_vlan",
        Write, Once, Json ["tags", "vlan!", "parent!", "mtu", "accept_ra"];

    RESULTS_LIST = "results.list", GET "nodes/{}/results/",
        List, Read, Json ["type", "hardware_type", "include_output", "filters"];

    RESULTS_READ = "results.read", GET "nodes/{}/results/{}/",
        List, Read, Json ["hardware_type", "include_output", "filters"];
    RESULT_UPDATE = "result.update", PUT "nodes/{}/results/{}/",
        Write, Converging, Json ["hardware_type", "filters", "include_output", "suppressed"];
    RESULTS_DELETE = "results.delete", DELETE "nodes/{}/results/{}/", Write, Once, Nothing;
    RESULT_DOWNLOAD = "result.download", GET "nodes/{}/results/{}/" ? "download",
        List, Read, Bytes ["hardware_type", "filters", "output", "filetype"];

    NODE_DEVICES_LIST = "node-devices.list", GET "nodes/{}/devices/", Read, Read, Json [
        "bus", "hardware_type", "vendor_id", "product_id", "vendor_name", "product_name", "commissioning_driver",
    ];

    NODE_DEVICE_READ = "node-device.read", GET "nodes/{}/devices/{}/", Read, Read, Json;
    NODE_DEVICE_DELETE = "node-device.delete", DELETE "nodes/{}/devices/{}/", Write, Once, Nothing;

    NODE_READ = "node.read", GET "nodes/{}/", Read, Read, Json;
    NODE_DELETE = "node.delete", DELETE "nodes/{}/", Write, Once, Nothing;
    NODE_DETAILS = "node.details", GET "nodes/{}/" ? "details", Read, Read, Bytes;
    NODE_POWER_PARAMETERS = "node.power_parameters", GET "nodes/{}/" ? "power_parameters", Read, Read, Json;

    NODES_LIST = "nodes.list", GET "nodes/", List, Read, Json ["*"];
    NODES_IS_REGISTERED = "nodes.is_registered", GET "nodes/" ? "is_registered", Read, Read, Json ["mac_address!"];
    NODES_SET_ZONE = "nodes.set_zone", POST "nodes/" ? "set_zone", Write, Converging, Maybe ["zone!", "nodes!"];

    RACK_CONTROLLER_READ = "rackcontroller.read", GET "rackcontrollers/{}/", Read, Read, Json;
    RACK_CONTROLLER_UPDATE = "rackcontroller.update", PUT "rackcontrollers/{}/", Write, Converging, Json [
        "description", "power_type", "power_parameters_{param}!", "power_parameters_skip_check", "zone", "domain",
    ];
    RACK_CONTROLLER_DELETE = "rackcontroller.delete", DELETE "rackcontrollers/{}/", Write, Once, Nothing ["force"];
    RACK_CONTROLLER_DETAILS = "rackcontroller.details", GET "rackcontrollers/{}/" ? "details", Read, Read, Bytes;
    RACK_CONTROLLER_LIST_BOOT_IMAGES = "rackcontroller.list_boot_images", GET "rackcontrollers/{}/" ? "list_boot_images",
        Read, Read, Json;
    RACK_CONTROLLER_POWER_PARAMETERS = "rackcontroller.power_parameters", GET "rackcontrollers/{}/" ? "power_parameters",
        Read, Read, Json;
    RACK_CONTROLLER_QUERY_POWER_STATE = "rackcontroller.query_power_state", GET "rackcontrollers/{}/" ? "query_power_state",
        PowerQuery, Read, Json;
    RACK_CONTROLLER_ABORT = "rackcontroller.abort", POST "rackcontrollers/{}/" ? "abort",
        Power, Once, Json ["comment"];
    RACK_CONTROLLER_IMPORT_BOOT_IMAGES = "rackcontroller.import_boot_images", POST "rackcontrollers/{}/" ? "import_boot_images",
        Write, Converging, Text;
    RACK_CONTROLLER_OVERRIDE_FAILED_TESTING = "rackcontroller.override_failed_testing", POST "rackcontrollers/{}/" ? "override_failed_testing",
        Power, Once, Json ["comment"];
    RACK_CONTROLLER_POWER_OFF = "rackcontroller.power_off", POST "rackcontrollers/{}/" ? "power_off",
        Power, Converging, Maybe ["stop_mode", "comment"];
    RACK_CONTROLLER_POWER_ON = "rackcontroller.power_on", POST "rackcontrollers/{}/" ? "power_on",
        Power, Once, Maybe ["user_data", "comment"];
    RACK_CONTROLLER_TEST = "rackcontroller.test", POST "rackcontrollers/{}/" ? "test",
        Power, Once, Json ["enable_ssh", "testing_scripts", "parameters"];

    RACK_CONTROLLERS_LIST = "rackcontrollers.list", GET "rackcontrollers/", List, Read, Json ["*"];
    RACK_CONTROLLERS_DESCRIBE_POWER_TYPES = "rackcontrollers.describe_power_types", GET "rackcontrollers/" ? "describe_power_types",
        Read, Read, Json;
    RACK_CONTROLLERS_IS_REGISTERED = "rackcontrollers.is_registered", GET "rackcontrollers/" ? "is_registered",
        Read, Read, Json ["mac_address!"];
    RACK_CONTROLLERS_POWER_PARAMETERS = "rackcontrollers.power_parameters", GET "rackcontrollers/" ? "power_parameters",
        List, Read, Json ["id!"];
    RACK_CONTROLLERS_IMPORT_BOOT_IMAGES = "rackcontrollers.import_boot_images", POST "rackcontrollers/" ? "import_boot_images",
        Write, Converging, Text;
    RACK_CONTROLLERS_SET_ZONE = "rackcontrollers.set_zone", POST "rackcontrollers/" ? "set_zone",
        Write, Converging, Maybe ["zone!", "nodes!"];

    REGION_CONTROLLER_READ = "regioncontroller.read", GET "regioncontrollers/{}/", Read, Read, Json;
    REGION_CONTROLLER_UPDATE = "regioncontroller.update", PUT "regioncontrollers/{}/", Write, Converging, Json [
        "description", "power_type", "power_parameters_{param1}!", "power_parameters_skip_check", "zone",
    ];
    REGION_CONTROLLER_DELETE = "regioncontroller.delete", DELETE "regioncontrollers/{}/",
        Write, Once, Nothing ["force"];
    REGION_CONTROLLER_DETAILS = "regioncontroller.details", GET "regioncontrollers/{}/" ? "details", Read, Read, Bytes;
    REGION_CONTROLLER_POWER_PARAMETERS = "regioncontroller.power_parameters", GET "regioncontrollers/{}/" ? "power_parameters",
        Read, Read, Json;

    REGION_CONTROLLERS_LIST = "regioncontrollers.list", GET "regioncontrollers/", List, Read, Json ["*"];
    REGION_CONTROLLERS_IS_REGISTERED = "regioncontrollers.is_registered", GET "regioncontrollers/" ? "is_registered",
        Read, Read, Json ["mac_address!"];
    REGION_CONTROLLERS_SET_ZONE = "regioncontrollers.set_zone", POST "regioncontrollers/" ? "set_zone",
        Write, Converging, Maybe ["zone!", "nodes!"];

    DEVICE_READ = "device.read", GET "devices/{}/", Read, Read, Json;
    DEVICE_UPDATE = "device.update", PUT "devices/{}/",
        Write, Converging, Json ["hostname", "description", "domain", "parent", "zone"];
    DEVICE_DELETE = "device.delete", DELETE "devices/{}/", Write, Once, Nothing;
    DEVICE_DETAILS = "device.details", GET "devices/{}/" ? "details", Read, Read, Bytes;
    DEVICE_POWER_PARAMETERS = "device.power_parameters", GET "devices/{}/" ? "power_parameters", Read, Read, Json;
    DEVICE_RESTORE_DEFAULT_CONFIGURATION = "device.restore_default_configuration", POST "devices/{}/" ? "restore_default_configuration",
        Write, Converging, Json;
    DEVICE_RESTORE_NETWORKING_CONFIGURATION = "device.restore_networking_configuration", POST "devices/{}/" ? "restore_networking_configuration",
        Write, Converging, Json;
    DEVICE_SET_OWNER_DATA = "device.set_owner_data", POST "devices/{}/" ? "set_owner_data", Write, Converging, Json;
    DEVICE_SET_WORKLOAD_ANNOTATIONS = "device.set_workload_annotations", POST "devices/{}/" ? "set_workload_annotations",
        Write, Converging, Json ["key!"];

    DEVICES_LIST = "devices.list", GET "devices/", List, Read, Json ["*"];
    DEVICES_CREATE = "devices.create", POST "devices/",
        Write, Once, Json ["hostname", "description", "domain", "mac_addresses!", "parent"];
    DEVICES_IS_REGISTERED = "devices.is_registered", GET "devices/" ? "is_registered",
        Read, Read, Json ["mac_address!"];
    DEVICES_SET_ZONE = "devices.set_zone", POST "devices/" ? "set_zone", Write, Converging, Maybe ["zone!", "nodes!"];

    VM_HOST_READ = "vm-host.read", GET "vm-hosts/{}/", Read, Read, Json, until (3, 8);
    VM_HOST_UPDATE = "vm-host.update", PUT "vm-hosts/{}/", Write, Converging, Json, until (3, 8) [
        "name", "pool", "cpu_over_commit_ratio", "memory_over_commit_ratio", "default_storage_pool", "power_address",
        "power_pass", "zone", "default_macvlan_mode", "tags",
    ];
    VM_HOST_DELETE = "vm-host.delete", DELETE "vm-hosts/{}/", Write, Once, Nothing, until (3, 8) ["decompose"];
    VM_HOST_PARAMETERS = "vm-host.parameters", GET "vm-hosts/{}/" ? "parameters", Read, Read, Json, until (3, 8);
    VM_HOST_ADD_TAG = "vm-host.add_tag", POST "vm-hosts/{}/" ? "add_tag",
        Write, Converging, Json, until (3, 8) ["tag!"];
    VM_HOST_COMPOSE = "vm-host.compose", POST "vm-hosts/{}/" ? "compose", Deploy, Once, Json, until (3, 8) [
        "cores", "memory", "hugepages_backed", "pinned_cores", "cpu_speed", "architecture", "storage", "interfaces!",
        "hostname", "domain", "zone", "pool",
    ];
    VM_HOST_REFRESH = "vm-host.refresh", POST "vm-hosts/{}/" ? "refresh", Power, Once, Json, until (3, 8);
    VM_HOST_REMOVE_TAG = "vm-host.remove_tag", POST "vm-hosts/{}/" ? "remove_tag",
        Write, Converging, Json, until (3, 8) ["tag!"];

    VM_HOSTS_LIST = "vm-hosts.list", GET "vm-hosts/", Read, Read, Json, until (3, 8);
    VM_HOSTS_CREATE = "vm-hosts.create", POST "vm-hosts/", Write, Once, Json, until (3, 8) [
        "type!", "power_address!", "power_user!", "power_pass!", "name", "zone", "pool", "tags", "project",
        "certificate", "key",
    ];

    VIRTUAL_MACHINE_READ = "virtual-machine.read", GET "virtual-machines/{}", Read, Read, Json, until (3, 8);

    VIRTUAL_MACHINES_LIST = "virtual-machines.list", GET "virtual-machines/", Read, Read, Json, until (3, 8);
    VIRTUAL_MACHINES_CREATE = "virtual-machines.create", POST "virtual-machines/", Write, Once, Json, until (3, 8);

    VM_CLUSTER_UPDATE = "vm-cluster.update", PUT "vm-clusters/{}",
        Write, Converging, Json, until (3, 8) ["name", "pool", "zone"];
    VM_CLUSTER_DELETE = "vm-cluster.delete", DELETE "vm-clusters/{}", Write, Once, Nothing, until (3, 8) ["decompose"];

    VM_CLUSTERS_LIST = "vm-clusters.list", GET "vm-clusters/", Read, Read, Json, until (3, 8);

    TAG_READ = "tag.read", GET "tags/{}/", Read, Read, Json;
    TAG_UPDATE = "tag.update", PUT "tags/{}/", Write, Converging, Json ["name", "comment", "definition"];
    TAG_DELETE = "tag.delete", DELETE "tags/{}/", Write, Once, Nothing;
    TAG_DEVICES = "tag.devices", GET "tags/{}/" ? "devices", List, Read, Json;
    TAG_MACHINES = "tag.machines", GET "tags/{}/" ? "machines", List, Read, Json;
    TAG_NODES = "tag.nodes", GET "tags/{}/" ? "nodes", List, Read, Json;
    TAG_RACK_CONTROLLERS = "tag.rack_controllers", GET "tags/{}/" ? "rack_controllers", List, Read, Json;
    TAG_REGION_CONTROLLERS = "tag.region_controllers", GET "tags/{}/" ? "region_controllers", List, Read, Json;
    TAG_REBUILD = "tag.rebuild", POST "tags/{}/" ? "rebuild", Write, Converging, Json;
    TAG_UPDATE_NODES = "tag.update_nodes", POST "tags/{}/" ? "update_nodes",
        Write, Converging, Json ["add", "remove", "definition", "rack_controller"];

    TAGS_LIST = "tags.list", GET "tags/", Read, Read, Json;
    TAGS_CREATE = "tags.create", POST "tags/", Write, Once, Json ["name!", "comment", "definition", "kernel_opts"];

    COMMISSIONING_RESULTS_LIST = "commissioning-results.list", GET "commissioning-results/",
        List, Read, Json ["system_id", "name", "result_type"];

    INSTALLATION_RESULTS_LIST = "installation-results.list", GET "installation-results/",
        List, Read, Json ["system_id", "name", "result_type"];

    SCRIPTS_LIST = "scripts.list", GET "scripts/",
        List, Read, Json ["type", "hardware_type", "include_script", "filters"];
    SCRIPTS_CREATE = "scripts.create", POST "scripts/", Write, Once, Json [
        "name!", "title", "description", "tags", "type", "hardware_type", "parallel", "timeout", "destructive",
        "script", "comment", "for_hardware", "may_reboot", "recommission",
    ];

    SCRIPT_READ = "script.read", GET "scripts/{}", Read, Read, Json ["include_script"];
    SCRIPT_UPDATE = "script.update", PUT "scripts/{}", Write, Converging, Json [
        "title", "description", "tags", "type", "hardware_type", "parallel", "timeout", "destructive", "script",
        "comment", "for_hardware", "may_reboot", "recommission", "apply_configured_networking",
    ];
    SCRIPT_DELETE = "script.delete", DELETE "scripts/{}", Write, Once, Nothing;
    SCRIPT_DOWNLOAD = "script.download", GET "scripts/{}" ? "download", Read, Read, Bytes ["revision"];
    SCRIPT_ADD_TAG = "script.add_tag", POST "scripts/{}" ? "add_tag", Write, Converging, Json ["tag"];
    SCRIPT_REMOVE_TAG = "script.remove_tag", POST "scripts/{}" ? "remove_tag", Write, Converging, Json ["tag"];
    SCRIPT_REVERT = "script.revert", POST "scripts/{}" ? "revert", Write, Once, Json ["to"];

    COMMISSIONING_SCRIPTS_LIST = "commissioning-scripts.list", GET "commissioning-scripts/", Read, Read, Json;
    COMMISSIONING_SCRIPTS_CREATE = "commissioning-scripts.create", POST "commissioning-scripts/", Write, Once, Json;

    COMMISSIONING_SCRIPT_READ = "commissioning-script.read", GET "commissioning-scripts/{}", Read, Read, Bytes;
    COMMISSIONING_SCRIPT_UPDATE = "commissioning-script.update", PUT "commissioning-scripts/{}",
        Write, Converging, Json;
    COMMISSIONING_SCRIPT_DELETE = "commissioning-script.delete", DELETE "commissioning-scripts/{}",
        Write, Once, Nothing;
}
