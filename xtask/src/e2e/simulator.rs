//! maas-sim as a process, and its knobs over HTTP.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::child::{Daemon, bound};
use super::http;
use super::patience::until;

/// How fast its time runs: a deployment of 7 minutes takes 7 seconds.
const SPEED: &str = "60";

/// Machines in the region.
const MACHINES: &str = "14";

/// Where a region is: on loopback, so that each machine has an address that others reach.
pub(super) struct Place {
    /// Addresses of machines.
    subnet: &'static str,
    /// Where the name server answers, on the port that resolvers ask.
    pub(super) name_server: &'static str,
}

/// The region of all scenarios.
pub(super) const FIRST: Place = Place { subnet: "127.10.0.0/16", name_server: "127.10.0.2" };

/// Another one, for scenarios with two.
pub(super) const SECOND: Place = Place { subnet: "127.11.0.0/16", name_server: "127.11.0.2" };

/// A simulated MAAS region.
pub(super) struct Simulator {
    process: Daemon,
    /// Where its control endpoints are.
    pub(super) address: SocketAddr,
    /// For `MAAS_ENDPOINT`.
    pub(super) endpoint: String,
    /// For `MAAS_API_KEY`.
    pub(super) api_key: String,
}

impl Simulator {
    /// Starts it and waits until it says where it is.
    pub(super) fn start(capmaasctl: &Path, place: &Place, folder: &Path) -> Result<Self> {
        let mut command = bound(capmaasctl);
        command.args(["maas-sim", "--listen", "127.0.0.1:0", "--speed", SPEED, "--machines", MACHINES]);
        command.args(["--subnet", place.subnet, "--dns-listen", &format!("{}:53", place.name_server)]);
        let mut process = Daemon::start("maas-sim", folder, &mut command)?;
        let (endpoint, api_key) = until("maas-sim", Duration::from_secs(20), || {
            process.check()?;
            let text = fs::read_to_string(&process.log).context("log of maas-sim")?;
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
            Ok(value("MAAS_ENDPOINT=").zip(value("MAAS_API_KEY=")).ok_or(text))
        })?;
        let host = endpoint.trim_start_matches("http://").trim_end_matches("/MAAS");
        let address = host.parse().with_context(|| endpoint.clone())?;
        Ok(Self { process, address, endpoint, api_key })
    }

    /// An error when the process has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let (status, text) = http::call(self.address, method, &format!("/MAAS/sim/{path}"), body)?;
        ensure!(status == 200, "maas-sim {method} {path}: {status}: {text}");
        serde_json::from_str(&text).with_context(|| format!("maas-sim {method} {path}: {text}"))
    }

    /// Reads a control endpoint.
    pub(super) fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, "")
    }

    /// Takes something away.
    pub(super) fn delete(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("DELETE", path, &body.to_string())
    }

    /// Turns a knob.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("POST", path, &body.to_string())
    }

    /// All machines.
    pub(super) fn machines(&self) -> Result<Vec<Value>> {
        Ok(self.get("machines")?.as_array().cloned().unwrap_or_default())
    }

    /// Requests that write, so far.
    pub(super) fn writes(&self) -> Result<u64> {
        self.get("counters")?["writes"].as_u64().context("maas-sim counts no writes")
    }

    /// Requests of one operation, such as `POST machine deploy`, so far.
    pub(super) fn count(&self, operation: &str) -> Result<u64> {
        Ok(self.get("counters")?["counters"][operation].as_u64().unwrap_or_default())
    }

    /// It has a DNS resource of that name, with addresses or without.
    pub(super) fn has_name(&self, name: &str) -> Result<bool> {
        let names = self.get("dns")?["names"].as_array().cloned().context("maas-sim lists no names")?;
        Ok(names.iter().any(|known| known == name))
    }

    /// The addresses that its DNS gives for a name.
    pub(super) fn resolve(&self, name: &str) -> Result<Vec<String>> {
        let answer = self.get(&format!("resolve?name={name}"))?;
        let addresses = answer["addresses"].as_array().cloned().unwrap_or_default();
        Ok(addresses.iter().filter_map(|address| address.as_str().map(str::to_owned)).collect())
    }
}
