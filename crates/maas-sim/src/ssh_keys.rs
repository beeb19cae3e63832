//! `account/prefs/sshkeys/?op=import`: keys of a person at Launchpad or GitHub.
//!
//! Nothing goes out to either: every person there has one key, made of the name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::region::Region;
use crate::reply::{Answer, Reply};
use crate::route::Call;

impl Region {
    pub(crate) fn import_ssh_keys(&mut self, call: &Call) -> Answer {
        let source = call.form.data.last("keysource").map(str::trim).filter(|s| !s.is_empty());
        let source = source.ok_or_else(|| Reply::text(400, "Importing SSH keys failed. Input required: keysource"))?;
        // Launchpad is meant when only a name is given.
        let (place, person) = source.split_once(':').unwrap_or(("lp", source));
        if !matches!(place, "lp" | "gh") {
            return Err(Reply::model_error("protocol", format!("Value '{place}' is not a valid choice.")));
        }
        let source = format!("{place}:{person}");
        let fields =
            Map::from_iter([("key".to_owned(), json!(key_of(&source))), ("keysource".to_owned(), json!(source))]);
        let id = self.put_on_shelf("sshkeys", &call.caller.user, fields);
        let shown: Vec<Value> = id.map(|id| self.shown_on_shelf("sshkeys", id, call)).into_iter().collect();
        Ok(Reply::list(shown))
    }
}

/// A key of the right form.
fn key_of(source: &str) -> String {
    let mut bytes = vec![0, 0, 0, 11];
    bytes.extend_from_slice(b"ssh-ed25519");
    bytes.extend_from_slice(&[0, 0, 0, 32]);
    bytes.extend(source.bytes().cycle().take(32));
    format!("ssh-ed25519 {} {source}", STANDARD.encode(bytes))
}
