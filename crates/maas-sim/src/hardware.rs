//! The `storage` and `interfaces` constraints: their little languages, and disks that fit.

use crate::filter::Matched;
use crate::state::Machine;

/// A label and the keys that one interface must satisfy.
pub(crate) type InterfaceItem = (String, Vec<(String, String)>);

/// One disk that is asked for.
#[derive(Debug)]
pub(crate) struct StorageItem {
    pub(crate) label: Option<String>,
    pub(crate) bytes: u64,
    tags: Vec<String>,
}

/// `[label:]sizeGB[(tag,tag)],…`
pub(crate) fn parse_storage(text: &str) -> Result<Vec<StorageItem>, String> {
    let malformed = || format!("Malformed storage constraint, \"{text}\".");
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let head = &rest[..end];
        let (label, size) = match head.split_once(':') {
            Some((label, size)) => (Some(label.to_owned()), size),
            None => (None, head),
        };
        let gigabytes: f64 = size.trim().parse().map_err(|_| malformed())?;
        rest = &rest[end..];
        let mut tags = Vec::new();
        if let Some(inner) = rest.strip_prefix('(') {
            let close = inner.find(')').ok_or_else(malformed)?;
            tags = inner[..close].split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect();
            rest = &inner[close + 1..];
        }
        rest = match rest.strip_prefix(',') {
            Some(next) if !next.is_empty() => next,
            None if rest.is_empty() => "",
            _ => return Err(malformed()),
        };
        if !gigabytes.is_finite() || gigabytes < 0.0 {
            return Err(malformed());
        }
        // A size of terabytes in bytes is exact enough in 52 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let bytes = (gigabytes * 1e9) as u64;
        items.push(StorageItem { label, bytes, tags });
    }
    Ok(items)
}

/// `key=value,…` of the `devices` constraint.
pub(crate) fn parse_devices(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match crate::specs::DeviceSpec::default().get(key.trim()) {
            Some(_) if !value.is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
            _ => Err(format!("Unknown devices constraint: '{}'", key.trim())),
        }
    });
    pairs.collect()
}

/// Whether one device of the machine has all of them.
pub(crate) fn match_devices(m: &Machine, wanted: &[(String, String)]) -> bool {
    m.devices.iter().any(|device| wanted.iter().all(|(key, value)| device.get(key) == Some(value)))
}

/// The first item needs the disk with the root file system, each other one a disk of its own.
pub(crate) fn match_storage(m: &Machine, items: &[StorageItem], matched: &mut Matched) -> bool {
    let fits = |disk: &crate::disks::Disk, item: &StorageItem| {
        disk.size >= item.bytes && item.tags.iter().all(|t| disk.tags.contains(t))
    };
    let mut used: Vec<u64> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let found = m
            .disks
            .iter()
            .enumerate()
            .filter(|(n, d)| (at == 0) == (*n == 0) && !used.contains(&d.id))
            .find(|(_, d)| fits(d, item));
        let Some((_, disk)) = found else { return false };
        used.push(disk.id);
    }
    matched.storage = items.iter().zip(&used).filter_map(|(item, id)| Some((item.label.clone()?, *id))).collect();
    true
}

/// `label:key=v[,key=v];label2:…`
pub(crate) fn parse_interfaces(text: &str) -> Result<Vec<InterfaceItem>, String> {
    const KEYS: &[&str] = &[
        "id",
        "fabric",
        "fabric_class",
        "ip",
        "mode",
        "name",
        "hostname",
        "subnet",
        "space",
        "subnet_cidr",
        "type",
        "vlan",
        "vid",
        "tag",
        "link_speed",
    ];
    let mut items = Vec::new();
    for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let malformed = || {
            format!("Malformed constraint: '{part}' (required format: '<label>:<key>=<value>[,<key2>=<value2>[,...]]')")
        };
        let (label, list) = part.split_once(':').ok_or_else(malformed)?;
        let mut keys = Vec::new();
        for pair in list.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
            if !KEYS.contains(&key.strip_prefix("not_").unwrap_or(key)) {
                return Err(format!("Unknown interfaces constraint: '{key}'"));
            }
            keys.push((key.to_owned(), value.to_owned()));
        }
        items.push((label.to_owned(), keys));
    }
    Ok(items)
}
