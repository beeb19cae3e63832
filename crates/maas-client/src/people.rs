//! Users, their keys and tokens, notifications, configuration (fact sheet §2.10).

use serde::Deserialize;

use crate::define::{reply, request, service};
use crate::error::Result;
use crate::ids::{KeyId, NotificationId};
use crate::key::ApiKey;
use crate::region::User;

service! {
    /// Users: `users/`. With feature `mock` there is `MockUsers`.
    Users by UsersClient;

    /// `GET users/?op=whoami`: who the key belongs to; the cheapest test of a key.
    fn whoami() -> User = USERS_WHOAMI;

    /// `GET users/`.
    fn list() -> Vec<User> = USERS_LIST;

    /// `GET users/{username}/`.
    fn read(&username: str) -> User = USER_READ [username];

    /// `POST users/` (admin).
    fn create(&request: CreateUser) -> User = USERS_CREATE, request.form();

    /// `DELETE users/{username}/` (admin): `Validation` while the user owns something, unless it goes to
    /// somebody else.
    fn delete(&username: str, &request: DeleteUser) -> () = USER_DELETE [username], request.form();
}

service! {
    /// The caller's ssh keys, which every machine deployed by the caller gets: `account/prefs/sshkeys/`.
    /// With feature `mock` there is `MockSshKeys`.
    SshKeys by SshKeysClient;

    /// `GET account/prefs/sshkeys/`.
    fn list() -> Vec<SshKey> = SSH_KEYS_LIST;

    /// `GET account/prefs/sshkeys/{id}/`.
    fn read(id: KeyId) -> SshKey = SSH_KEY_READ [id];

    /// `POST account/prefs/sshkeys/`.
    fn create(&request: CreateSshKey) -> SshKey = SSH_KEYS_CREATE, request.form();

    /// `POST account/prefs/sshkeys/?op=import`: all keys of an account elsewhere.
    fn import(&request: ImportSshKeys) -> Vec<SshKey> = SSH_KEYS_IMPORT, request.form();

    /// `DELETE account/prefs/sshkeys/{id}/`.
    fn delete(id: KeyId) -> () = SSH_KEY_DELETE [id];
}

service! {
    /// API keys of the caller: `account/`. With feature `mock` there is `MockAccount`.
    Account by AccountClient;

    /// `GET account/?op=list_authorisation_tokens`.
    fn list_keys() -> Vec<NamedKey> = ACCOUNT_LIST_AUTHORISATION_TOKENS;

    /// `POST account/?op=create_authorisation_token`: the only time MAAS is asked for a new key. To rotate
    /// keys add the new one first, then delete the old.
    fn create_key(&request: CreateKey) -> NewKey = ACCOUNT_CREATE_AUTHORISATION_TOKEN, request.form();

    /// `POST account/?op=delete_authorisation_token`: the token is the middle part of a key.
    fn delete_key(&request: DeleteKey) -> () = ACCOUNT_DELETE_AUTHORISATION_TOKEN, request.form();

    /// `POST account/?op=update_token_name`; MAAS answers in words.
    fn rename_key(&request: RenameKey) -> String = ACCOUNT_UPDATE_TOKEN_NAME, request.form();
}

service! {
    /// Notices in the web interface: `notifications/`. With feature `mock` there is `MockNotifications`.
    Notifications by NotificationsClient;

    /// `GET notifications/`: those the caller sees.
    fn list() -> Vec<Notification> = NOTIFICATIONS_LIST;

    /// `GET notifications/{id}/`.
    fn read(id: NotificationId) -> Notification = NOTIFICATION_READ [id];

    /// `POST notifications/` (admin).
    fn create(&request: CreateNotification) -> Notification = NOTIFICATIONS_CREATE, request.form();

    /// `PUT notifications/{id}/` (admin): what is left out stays.
    fn update(id: NotificationId, &request: CreateNotification) -> Notification
        = NOTIFICATION_UPDATE [id], request.form();

    /// `POST notifications/{id}/?op=dismiss`: for the caller only.
    fn dismiss(id: NotificationId) -> String = NOTIFICATION_DISMISS [id];

    /// `DELETE notifications/{id}/` (admin).
    fn delete(id: NotificationId) -> () = NOTIFICATION_DELETE [id];
}

service! {
    /// Settings of the region: `maas/`. With feature `mock` there is `MockConfig`.
    Config by ConfigClient;

    /// `GET maas/?op=get_config`: a bare JSON value. `Validation` for names MAAS does not have.
    fn get(&name: ConfigName) -> serde_json::Value = MAAS_GET_CONFIG, name.form();

    /// `POST maas/?op=set_config` (admin); MAAS answers `OK`.
    fn set(&request: SetConfig) -> String = MAAS_SET_CONFIG, request.form();
}

reply! {
    /// An ssh key.
    SshKey {
        /// Number.
        id: KeyId,
        /// The public key.
        key: String,
        /// Where it came from, e.g. `gh:somebody`.
        keysource: String,
    }

    /// A notice.
    Notification {
        /// Number.
        id: NotificationId,
        /// Name for programs; unique.
        ident: Option<String>,
        /// Text with `{name}` for values of the context; may hold HTML.
        message: String,
        /// `error`, `warning`, `success` or `info`.
        category: String,
        /// Values for the message.
        context: serde_json::Value,
        /// User who sees it.
        user: Option<User>,
        /// All users see it.
        users: bool,
        /// All administrators see it.
        admins: bool,
        /// People can make it go away.
        dismissable: bool,
    }
}

/// A key of the caller and its name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NamedKey {
    /// Name.
    #[serde(default)]
    pub name: String,
    /// The key.
    #[serde(rename = "token", deserialize_with = "api_key")]
    pub key: ApiKey,
}

fn api_key<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ApiKey, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct KeyParts {
    #[serde(default)]
    name: String,
    consumer_key: String,
    token_key: String,
    token_secret: String,
}

/// A key that was just made.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "KeyParts")]
pub struct NewKey {
    /// Name.
    pub name: String,
    /// The key.
    pub key: ApiKey,
}

impl TryFrom<KeyParts> for NewKey {
    type Error = crate::key::ApiKeyError;

    fn try_from(parts: KeyParts) -> Result<Self, Self::Error> {
        let key = format!("{}:{}:{}", parts.consumer_key, parts.token_key, parts.token_secret).parse()?;
        Ok(Self { name: parts.name, key })
    }
}

/// Parameters of `POST users/`.
#[derive(Clone, Default, PartialEq)]
pub struct CreateUser {
    /// Name.
    pub username: String,
    /// Address.
    pub email: String,
    /// Password; not shown in Debug.
    pub password: String,
    /// Administrator.
    pub is_superuser: bool,
}

impl std::fmt::Debug for CreateUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateUser")
            .field("username", &self.username)
            .field("email", &self.email)
            .field("is_superuser", &self.is_superuser)
            .finish_non_exhaustive()
    }
}

impl CreateUser {
    fn form(&self) -> crate::form::Form {
        let mut form = crate::form::Form::default();
        form.push("username", &self.username);
        form.push("email", &self.email);
        form.push("password", &self.password);
        // required, also when false
        form.opt("is_superuser", Some(self.is_superuser));
        form
    }
}

request! {
    /// Parameters of `DELETE users/{username}/`.
    DeleteUser {
        /// User who gets what the deleted one owns.
        transfer_resources_to: Option<String>,
    }

    /// Parameters of `POST account/prefs/sshkeys/`.
    CreateSshKey {
        /// The public key.
        key: String,
    }

    /// Parameters of `POST account/prefs/sshkeys/?op=import`.
    ImportSshKeys {
        /// `lp:NAME` (Launchpad) or `gh:NAME` (GitHub).
        keysource: String,
    }

    /// Parameters of `POST account/?op=create_authorisation_token`.
    CreateKey {
        /// Name for people.
        name: Option<String>,
    }

    /// Parameters of `POST account/?op=delete_authorisation_token`.
    DeleteKey {
        /// Middle part of the key.
        token_key: String,
    }

    /// Parameters of `POST account/?op=update_token_name`.
    RenameKey {
        /// Middle part of the key.
        token: String,
        /// Name for people.
        name: String,
    }

    /// Parameters of `POST notifications/` (where `message` is required) and `PUT notifications/{id}/`.
    CreateNotification {
        /// Text.
        message: Option<String>,
        /// Values for it, as JSON.
        context: Option<String>,
        /// `error`, `warning`, `success` or `info`.
        category: Option<String>,
        /// Name for programs.
        ident: Option<String>,
        /// User who sees it, by number.
        user: Option<u64>,
        /// All users see it.
        users: bool,
        /// All administrators see it.
        admins: bool,
    }

    /// Which setting.
    ConfigName {
        /// e.g. `default_distro_series`, `node_timeout`.
        name: String,
    }

    /// Parameters of `POST maas/?op=set_config`.
    SetConfig {
        /// Which setting.
        name: String,
        /// Its value.
        value: String,
    }
}
