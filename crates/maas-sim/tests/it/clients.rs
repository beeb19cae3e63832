//! A minimal signed client for tests.

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use maas_sim::{ADMIN_KEY, Config, Happening, Region, USER_KEY};
use serde_json::Value;

/// A region with a time of its own and callers that sign.
pub(crate) struct Lab {
    pub(crate) region: Region,
    pub(crate) now: Timestamp,
    nonce: u64,
}

pub(crate) fn sign(key: &str, now: Timestamp, nonce: u64) -> String {
    let key: Vec<&str> = key.split(':').collect();
    format!(
        "OAuth oauth_version=\"1.0\", oauth_signature_method=\"PLAINTEXT\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", oauth_signature=\"%26{}\", oauth_nonce=\"n{nonce}\", oauth_timestamp=\"{}\"",
        key[0],
        key[1],
        key[2],
        now.as_second()
    )
}

pub(crate) fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap_or_else(|e| panic!("{e}: {}", text(response)))
}

pub(crate) fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

impl Lab {
    pub(crate) fn new(config: Config) -> Self {
        Self::at("2026-11-23T12:00:00Z".parse().unwrap(), Region::new(config))
    }

    pub(crate) fn at(now: Timestamp, region: Region) -> Self {
        Self { region, now, nonce: 0 }
    }

    pub(crate) fn with_key(&mut self, key: &str, method: &str, path: &str, form: &str) -> Response<Bytes> {
        self.nonce += 1;
        let request = Request::builder()
            .method(method)
            .uri(format!("/MAAS/api/2.0/{path}"))
            .header("authorization", sign(key, self.now, self.nonce))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::copy_from_slice(form.as_bytes()))
            .unwrap();
        self.region.handle(self.now, request)
    }

    pub(crate) fn admin(&mut self, method: &str, path: &str, form: &str) -> Response<Bytes> {
        self.with_key(ADMIN_KEY, method, path, form)
    }

    pub(crate) fn alice(&mut self, method: &str, path: &str, form: &str) -> Response<Bytes> {
        self.with_key(USER_KEY, method, path, form)
    }

    /// An administrator's request that must succeed.
    pub(crate) fn ok(&mut self, method: &str, path: &str, form: &str) -> Value {
        let response = self.admin(method, path, form);
        assert!(response.status().is_success(), "{method} {path} {form}: {} {}", response.status(), text(&response));
        if response.body().is_empty() { Value::Null } else { json(&response) }
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += jiff::SignedDuration::from_secs(seconds);
        self.region.tick(self.now);
    }

    pub(crate) fn machine(&mut self, id: &str) -> Value {
        self.ok("GET", &format!("machines/{id}/"), "")
    }

    pub(crate) fn allocate(&mut self, form: &str) -> String {
        self.ok("POST", "machines/?op=allocate", form)["system_id"].as_str().unwrap().to_owned()
    }

    /// Allocates, deploys and waits until Deployed.
    pub(crate) fn deployed(&mut self, form: &str) -> String {
        let id = self.allocate(form);
        self.ok(
            "POST",
            &format!("machines/{id}/?op=deploy"),
            "user_data=I2Nsb3VkLWNvbmZpZwo=&distro_series=ubuntu/noble",
        );
        self.wait(3500);
        assert_eq!(self.machine(&id)["status_name"], "Deployed");
        id
    }

    pub(crate) fn booted(&mut self) -> Vec<Happening> {
        self.region.take_happenings().into_iter().filter(|h| matches!(h, Happening::Booted { .. })).collect()
    }
}

/// Values of one field over a list answer.
pub(crate) fn field(list: &Value, name: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|m| m[name].as_str().unwrap_or("").to_owned()).collect()
}
