//! Disks and networks of machines as a whole: layouts, restoring, cloning, special file systems.

use maas_sim::{Config, InterfaceSpec, MachineSpec};
use serde_json::{Value, json};

use crate::clients::{Lab, field, text};

fn numbers(list: &Value, name: &str) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|v| v[name].as_u64().unwrap()).collect()
}

#[test]
fn the_layout_of_lvm_puts_the_root_on_a_volume_of_the_first_disk() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.region.system_ids()[0].clone();
    let machine = lab.ok("POST", &format!("machines/{id}/?op=set_storage_layout"), "storage_layout=lvm&lv_size=50G");
    let (disk, volume) = (&machine["physicalblockdevice_set"][0], &machine["virtualblockdevice_set"][0]);
    assert_eq!(machine["blockdevice_set"], json!([disk, volume]));
    assert_eq!(disk["partitions"][0]["used_for"], "LVM volume for vgroot");
    assert_eq!((volume["name"].as_str(), volume["type"].as_str()), (Some("vgroot-lvroot"), Some("virtual")));
    assert_eq!(volume["filesystem"]["mount_point"], "/");
    let group = lab.ok("GET", &format!("nodes/{id}/volume-groups/"), "")[0].clone();
    assert_eq!(lab.ok("GET", &format!("nodes/{id}/volume-group/{}/", group["id"]), ""), group);
    assert_eq!(group["logical_volumes"][0]["size"], volume["size"]);
    assert_eq!(group["used_size"], volume["size"]);
    assert_eq!(machine["volume_groups"][0]["id"], group["id"]);
    let of_volume = format!("nodes/{id}/blockdevices/{}", volume["id"]);
    lab.ok("POST", &format!("{of_volume}/?op=unmount"), "");
    assert_eq!(lab.ok("GET", &format!("{of_volume}/"), "")["filesystem"]["mount_point"], Value::Null);
    assert_eq!(lab.admin("POST", &format!("{of_volume}/?op=set_boot_disk"), "").status(), 400);
    let restored = lab.ok("POST", &format!("machines/{id}/?op=restore_storage_configuration"), "");
    assert_eq!((&restored["volume_groups"], &restored["virtualblockdevice_set"]), (&json!([]), &json!([])));
    assert_eq!(restored["boot_disk"]["partitions"][0]["filesystem"]["mount_point"], "/");
    lab.deployed("");
    let refused = lab.admin("POST", &format!("machines/{id}/?op=restore_default_configuration"), "");
    assert_eq!(refused.status(), 409, "{}", text(&refused));
}

#[test]
fn restoring_the_network_takes_away_what_was_made_and_links_the_boot_interface() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.region.system_ids()[0].clone();
    let bridge = lab.ok("POST", &format!("nodes/{id}/interfaces/?op=create_bridge"), "name=br0&parent=eth0");
    lab.ok("POST", &format!("nodes/{id}/interfaces/{}/?op=set_default_gateway", bridge["id"]), "");
    let gateway = |machine: &Value| machine["default_gateways"]["ipv4"]["link_id"].clone();
    assert!(gateway(&lab.machine(&id)).is_u64());
    assert!(gateway(&lab.ok("POST", &format!("machines/{id}/?op=clear_default_gateways"), "")).is_null());
    let restored = lab.ok("POST", &format!("machines/{id}/?op=restore_networking_configuration"), "");
    assert_eq!(field(&restored["interface_set"], "name"), ["eth0"]);
    assert_eq!(restored["boot_interface"]["links"][0]["mode"], "auto");
    lab.deployed("");
}

#[test]
fn special_file_systems_are_mounted_once_each() {
    let mut lab = Lab::new(Config::lab(1));
    let id = lab.region.system_ids()[0].clone();
    let mount = format!("machines/{id}/?op=mount_special");
    let machine = lab.ok("POST", &mount, "fstype=tmpfs&mount_point=/fast&mount_options=size=1G");
    let special = &machine["special_filesystems"][0];
    assert_eq!((special["fstype"].as_str(), special["mount_options"].as_str()), (Some("tmpfs"), Some("size=1G")));
    for (form, fault) in [
        ("fstype=tmpfs&mount_point=/fast", "already mounted"),
        ("fstype=ext4&mount_point=/other", "not one of the available choices"),
        ("fstype=tmpfs&mount_point=other", "Enter a valid value"),
        ("", "required"),
    ] {
        let refused = lab.admin("POST", &mount, form);
        assert_eq!(refused.status(), 400, "{form}");
        assert!(text(&refused).contains(fault), "{form}: {}", text(&refused));
    }
    let unmount = format!("machines/{id}/?op=unmount_special");
    assert_eq!(lab.ok("POST", &unmount, "mount_point=/fast")["special_filesystems"], json!([]));
    assert_eq!(lab.admin("POST", &unmount, "mount_point=/fast").status(), 400);
}

#[test]
fn a_clone_has_the_disks_and_networks_of_its_source_under_its_own_ids() {
    let mut config = Config::lab(3);
    let nic = InterfaceSpec { name: "ens3".into(), mac: None, observed_ip: None, tags: vec![], links: vec![] };
    config.machines.push(MachineSpec { interfaces: vec![nic], ..MachineSpec::named("other") });
    let mut lab = Lab::new(config);
    let ids = lab.region.system_ids();
    lab.ok("POST", &format!("machines/{}/?op=set_storage_layout", ids[0]), "storage_layout=lvm");
    let nics = format!("nodes/{}/interfaces", ids[0]);
    let bridge = lab.ok("POST", &format!("{nics}/?op=create_bridge"), "name=br0&parent=eth0")["id"].clone();
    let fixed = "mode=STATIC&subnet=lab-net&ip_address=10.10.0.44";
    lab.ok("POST", &format!("{nics}/{bridge}/?op=link_subnet"), fixed);
    let form = |to: &str, what: &str| format!("source={}&destinations={to}&{what}", ids[0]);
    let done = lab.admin("POST", "machines/?op=clone", &form(&ids[1], "interfaces=true&storage=true"));
    assert_eq!(done.status(), 204, "{}", text(&done));
    let (source, clone) = (lab.machine(&ids[0]), lab.machine(&ids[1]));
    assert_eq!(field(&clone["interface_set"], "name"), ["eth0", "br0"]);
    assert_eq!(clone["interface_set"][1]["parents"], json!(["eth0"]));
    let links = |machine: &Value| machine["interface_set"][1]["links"].clone();
    assert_eq!(field(&links(&clone), "mode"), field(&links(&source), "mode"));
    assert_ne!(links(&clone)[1]["ip_address"], links(&source)[1]["ip_address"], "no address twice");
    for set in ["virtualblockdevice_set", "volume_groups"] {
        assert_eq!(clone[set].as_array().unwrap().len(), 1, "{set}");
        assert_ne!(numbers(&clone[set], "id"), numbers(&source[set], "id"), "{set}");
    }
    let deployed = lab.ok("POST", "machines/?op=allocate", &format!("system_id={}", ids[2]));
    let busy = deployed["system_id"].as_str().unwrap().to_owned();
    for (form, fault) in [
        (form(&ids[0], "storage=true"), "cannot be a destination"),
        (form(&ids[1], ""), "Either storage or interfaces"),
        (form(&busy, "storage=true"), "not one of the available choices"),
        (form(&ids[3], "interfaces=true"), "do not match the source nodes physical interfaces: eth0"),
        ("source=zzzzzz&storage=true".to_owned(), "not one of the available choices"),
    ] {
        let refused = lab.admin("POST", "machines/?op=clone", &form);
        assert_eq!(refused.status(), 400, "{form}");
        assert!(text(&refused).contains(fault), "{form}: {}", text(&refused));
    }
    lab.deployed(&format!("system_id={}", ids[1]));
}
