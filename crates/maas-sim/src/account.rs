//! Users, their API keys, and the settings of the region (reference §2.10).

use serde_json::{Value, json};

use crate::region::Region;
use crate::reply::{Answer, FieldErrors, Reply};
use crate::route::Call;
use crate::state::{Token, User};

/// Settings with what they are at first, in MAAS's order. `None` stands for what the inventory decides.
const SETTINGS: &[(&str, Option<&str>)] = &[
    ("maas_name", Some("\"sim\"")),
    ("theme", Some("\"\"")),
    ("kernel_opts", Some("\"\"")),
    ("enable_http_proxy", Some("true")),
    ("maas_proxy_port", Some("8000")),
    ("use_peer_proxy", Some("false")),
    ("prefer_v4_proxy", Some("false")),
    ("http_proxy", Some("null")),
    ("default_dns_ttl", Some("30")),
    ("upstream_dns", None),
    ("dnssec_validation", Some("\"auto\"")),
    ("maas_internal_domain", Some("\"maas-internal\"")),
    ("dns_trusted_acl", Some("null")),
    ("ntp_servers", Some("\"ntp.ubuntu.com\"")),
    ("ntp_external_only", Some("false")),
    ("allow_only_trusted_transfers", Some("true")),
    ("remote_syslog", Some("null")),
    ("maas_syslog_port", Some("5247")),
    ("network_discovery", Some("\"enabled\"")),
    ("active_discovery_interval", Some("10800")),
    ("default_boot_interface_link_type", Some("\"auto\"")),
    ("default_osystem", Some("\"ubuntu\"")),
    ("default_distro_series", None),
    ("default_min_hwe_kernel", Some("\"\"")),
    ("enable_kernel_crash_dump", Some("false")),
    ("default_storage_layout", Some("\"flat\"")),
    ("commissioning_distro_series", None),
    ("enable_third_party_drivers", Some("true")),
    ("windows_kms_host", Some("null")),
    ("enable_disk_erasing_on_release", Some("false")),
    ("disk_erase_with_secure_erase", Some("true")),
    ("disk_erase_with_quick_erase", Some("false")),
    ("boot_images_auto_import", Some("true")),
    ("boot_images_no_proxy", Some("false")),
    ("curtin_verbose", Some("true")),
    ("force_v1_network_yaml", Some("false")),
    ("enable_analytics", Some("true")),
    ("completed_intro", Some("true")),
    ("max_node_commissioning_results", Some("10")),
    ("max_node_testing_results", Some("10")),
    ("max_node_installation_results", Some("3")),
    ("max_node_release_results", Some("3")),
    ("subnet_ip_exhaustion_threshold_count", Some("16")),
    ("release_notifications", Some("true")),
    ("use_rack_proxy", Some("true")),
    ("node_timeout", None),
    ("prometheus_enabled", Some("false")),
    ("prometheus_push_gateway", Some("null")),
    ("prometheus_push_interval", Some("60")),
    ("promtail_enabled", Some("false")),
    ("promtail_port", Some("5238")),
    ("enlist_commissioning", Some("true")),
    ("maas_auto_ipmi_user", Some("\"maas\"")),
    ("maas_auto_ipmi_user_privilege_level", Some("\"ADMIN\"")),
    ("maas_auto_ipmi_k_g_bmc_key", Some("\"\"")),
    ("maas_auto_ipmi_cipher_suite_id", Some("\"3\"")),
    ("maas_auto_ipmi_workaround_flags", Some("[]")),
    ("vcenter_server", Some("\"\"")),
    ("vcenter_username", Some("\"\"")),
    ("vcenter_password", Some("\"\"")),
    ("vcenter_datacenter", Some("\"\"")),
    ("hardware_sync_interval", Some("\"15m\"")),
    ("tls_cert_expiration_notification_enabled", Some("false")),
    ("tls_cert_expiration_notification_interval", Some("30")),
    ("session_length", Some("1209600")),
    ("auto_vlan_creation", Some("true")),
];

impl Region {
    pub(crate) fn answer_settings(&mut self, call: &Call) -> Answer {
        let data = if call.method() == "GET" { &call.query } else { &call.form.data };
        let Some(name) = data.last("name") else {
            return Err(Reply::text(400, "No provided name!"));
        };
        let Some((_, first)) = SETTINGS.iter().find(|(n, _)| *n == name) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(n, _)| *n).collect();
            return Err(Reply::model_error(
                name,
                format!("{name} is not a valid config setting (valid settings are: {}).", known.join(", ")),
            ));
        };
        if call.method() != "GET" {
            call.admin_or(Reply::admins_only())?;
            let value = data.last("value").ok_or_else(|| Reply::text(400, "No provided value!"))?;
            self.settings.insert(name.to_owned(), value.to_owned());
            return Ok(Reply::text(200, "OK"));
        }
        let series = || {
            let image = self.images.iter().find(|i| !i.uploaded);
            json!(image.and_then(|i| i.release.split('/').next_back()).unwrap_or(""))
        };
        let value = match (self.settings.get(name), first) {
            (Some(set), _) => serde_json::from_str(set).unwrap_or_else(|_| json!(set)),
            (None, Some(first)) => serde_json::from_str(first).unwrap_or(Value::Null),
            (None, None) => match name {
                "node_timeout" => json!(self.durations.deploy_watchdog.as_secs() / 120),
                "upstream_dns" => json!(self.subnets.values().filter_map(|s| s.gateway).take(1).collect::<Vec<_>>()),
                _ => series(),
            },
        };
        Ok(Reply::json_plain(200, &value))
    }

    pub(crate) fn answer_users(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        match (call.resource(), call.method(), call.op()) {
            ("users", "GET", "whoami") => Ok(Reply::json(&self.user_json(&call.caller.user))),
            ("users", "GET", _) => Ok(Reply::list(self.users.keys().map(|u| self.user_json(u)).collect())),
            ("users", _, _) => {
                call.admin_or(Reply::admins_only())?;
                let name = data.last("username").unwrap_or("").to_owned();
                let mut errors = FieldErrors::default();
                for field in ["username", "email", "password"] {
                    if data.last(field).is_none_or(str::is_empty) {
                        errors.add(field, "This field is required.");
                    }
                }
                if self.users.contains_key(&name) {
                    errors.add("username", "A user with that username already exists.");
                }
                errors.check()?;
                let admin = data.checkbox("is_superuser") && data.last("is_superuser") != Some("0");
                let email = data.last("email").map(str::to_owned);
                self.users.insert(name.clone(), User { admin, email });
                Ok(Reply::json(&self.user_json(&name)))
            }
            (_, method, _) => {
                if !self.users.contains_key(&call.key) {
                    return if method == "DELETE" { Ok(Reply::no_content()) } else { Err(Reply::missing("User")) };
                }
                if method == "DELETE" {
                    call.admin_or(Reply::admins_only())?;
                    if let Some(heir) = call.query.last("transfer_resources_to") {
                        self.transfer_resources(&call.key, heir)?;
                    }
                    if self.machines.values().any(|m| m.owner.as_deref() == Some(call.key.as_str())) {
                        return Err(Reply::text(
                            400,
                            format!("User {} cannot be deleted: 1 node(s) are still allocated.", call.key),
                        ));
                    }
                    self.users.remove(&call.key);
                    self.tokens.retain(|_, t| t.user != call.key);
                    return Ok(Reply::no_content());
                }
                Ok(Reply::json(&self.user_json(&call.key)))
            }
        }
    }

    pub(crate) fn answer_account(&mut self, call: &Call) -> Answer {
        let data = &call.form.data;
        let user = call.caller.user.clone();
        // Keys are named by their middle part, or by the whole.
        let token_of = |text: &str| text.split(':').nth(1).unwrap_or(text).to_owned();
        match call.op() {
            "list_authorisation_tokens" => {
                let own = self.tokens.iter().filter(|(_, t)| t.user == user);
                let mut rows: Vec<(u64, Value)> = own
                    .map(|(key, t)| {
                        (t.number, json!({"name": t.name, "token": format!("{}:{key}:{}", t.consumer, t.secret)}))
                    })
                    .collect();
                rows.sort_by_key(|(number, _)| *number);
                Ok(Reply::list(rows.into_iter().map(|(_, row)| row).collect()))
            }
            "create_authorisation_token" => {
                let (consumer, key, secret) = (self.random_text(18), self.random_text(18), self.random_text(32));
                let name = data.last("name").filter(|n| !n.is_empty()).unwrap_or("MAAS consumer").to_owned();
                self.consumers.insert(consumer.clone());
                let number = self.next_id("token");
                let shown = json!({"token_key": key, "token_secret": secret, "consumer_key": consumer, "name": name});
                self.tokens.insert(key, Token { consumer, secret, user, name, number });
                Ok(Reply::json_compact(&shown))
            }
            "delete_authorisation_token" => {
                let key = token_of(data.last("token_key").unwrap_or(""));
                if self.tokens.get(&key).is_none_or(|t| t.user != user) {
                    return Err(Reply::missing("Token"));
                }
                self.tokens.remove(&key);
                self.consumers = self.tokens.values().map(|t| t.consumer.clone()).collect();
                Ok(Reply::no_content())
            }
            _ => {
                let key = token_of(data.last("token").unwrap_or(""));
                let name = data.last("name").unwrap_or("").to_owned();
                match self.tokens.get_mut(&key).filter(|t| t.user == user) {
                    Some(token) => {
                        token.name = name;
                        Ok(Reply::plain(202, "Accepted"))
                    }
                    None => Err(Reply::missing("Token")),
                }
            }
        }
    }

    /// What belongs to one user belongs to the other from now on.
    fn transfer_resources(&mut self, from: &str, to: &str) -> Result<(), Reply> {
        if !self.users.contains_key(to) {
            return Err(Reply::missing("User"));
        }
        let (owned, heir) = (|owner: &Option<String>| owner.as_deref() == Some(from), Some(to.to_owned()));
        let machines: Vec<u64> = self.machines.values().filter(|m| owned(&m.owner)).map(|m| m.id).collect();
        for id in machines {
            if let Some(m) = self.machine_mut(id) {
                m.owner.clone_from(&heir);
            }
        }
        self.ips.values_mut().filter(|r| owned(&r.user)).for_each(|r| r.user.clone_from(&heir));
        self.ranges.values_mut().filter(|r| owned(&r.user)).for_each(|r| r.user.clone_from(&heir));
        Ok(())
    }

    /// Text of the alphabet of API keys.
    fn random_text(&mut self, length: usize) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789";
        (0..length).map(|_| char::from(ALPHABET[self.rng.usize(..ALPHABET.len())])).collect()
    }
}
