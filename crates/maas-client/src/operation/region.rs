//! The region: version, configuration, users, keys, images, files, events.

operations! {
    VERSION_READ = "version.read", GET "version/", Read, Read, Json;

    MAAS_GET_CONFIG = "maas.get_config", GET "maas/" ? "get_config", Read, Read, Json ["name!"];
    MAAS_SET_CONFIG = "maas.set_config", POST "maas/" ? "set_config", Write, Converging, Text ["value", "name!"];

    EVENTS_QUERY = "events.query", GET "events/" ? "query", List, Read, Json [
        "hostname", "mac_address", "id", "zone", "agent_name", "level", "limit", "before", "after", "owner",
    ];

    FILES_LIST = "files.list", GET "files/", Read, Read, Json ["prefix"];
    FILES_CREATE = "files.create", POST "files/", Write, Once, Nothing ["filename!", "file!"];
    FILES_DELETE = "files.delete", DELETE "files/", Write, Once, Nothing ["filename!"];
    FILES_GET_BY_KEY = "files.get_by_key", GET "files/" ? "get_by_key", Read, Read, Bytes;
    FILES_GET_BY_NAME = "files.get_by_name", GET "files/" ? "get_by_name", Read, Read, Bytes;

    FILE_READ = "file.read", GET "files/{}/", Read, Read, Json;
    FILE_DELETE = "file.delete", DELETE "files/{}/", Write, Once, Nothing;

    ACCOUNT_LIST_AUTHORISATION_TOKENS = "account.list_authorisation_tokens", GET "account/" ? "list_authorisation_tokens",
        Read, Read, Json;
    ACCOUNT_CREATE_AUTHORISATION_TOKEN = "account.create_authorisation_token", POST "account/" ? "create_authorisation_token",
        Write, Once, Json ["name"];
    ACCOUNT_DELETE_AUTHORISATION_TOKEN = "account.delete_authorisation_token", POST "account/" ? "delete_authorisation_token",
        Write, Once, Nothing ["token_key!"];
    ACCOUNT_UPDATE_TOKEN_NAME = "account.update_token_name", POST "account/" ? "update_token_name",
        Write, Converging, Text ["token!", "name!"];

    SSL_KEY_READ = "sslkey.read", GET "account/prefs/sslkeys/{}/", Read, Read, Json ["id!"];
    SSL_KEY_DELETE = "sslkey.delete", DELETE "account/prefs/sslkeys/{}/", Write, Once, Nothing ["id!"];

    SSL_KEYS_LIST = "sslkeys.list", GET "account/prefs/sslkeys/", Read, Read, Json;
    SSL_KEYS_CREATE = "sslkeys.create", POST "account/prefs/sslkeys/", Write, Once, Json ["key!"];

    SSH_KEY_READ = "sshkey.read", GET "account/prefs/sshkeys/{}/", Read, Read, Json ["id!"];
    SSH_KEY_DELETE = "sshkey.delete", DELETE "account/prefs/sshkeys/{}/", Write, Once, Nothing ["id!"];

    SSH_KEYS_LIST = "sshkeys.list", GET "account/prefs/sshkeys/", Read, Read, Json;
    SSH_KEYS_CREATE = "sshkeys.create", POST "account/prefs/sshkeys/", Write, Once, Json ["key!"];
    SSH_KEYS_IMPORT = "sshkeys.import", POST "account/prefs/sshkeys/" ? "import",
        Write, Converging, Json ["keysource!"];

    GROUP_READ = "group.read", GET "groups/{}/", Read, Read, Json, since (3, 8);
    GROUP_UPDATE = "group.update", PUT "groups/{}/", Write, Converging, Json, since (3, 8) ["name", "description"];
    GROUP_DELETE = "group.delete", DELETE "groups/{}/", Write, Once, Nothing, since (3, 8);
    GROUP_LIST_ENTITLEMENTS = "group.list_entitlements", GET "groups/{}/" ? "list_entitlements",
        Read, Read, Json, since (3, 8);
    GROUP_LIST_MEMBERS = "group.list_members", GET "groups/{}/" ? "list_members", Read, Read, Json, since (3, 8);
    GROUP_ADD_ENTITLEMENT = "group.add_entitlement", POST "groups/{}/" ? "add_entitlement",
        Write, Once, Json, since (3, 8) ["resource_type!", "resource_id!", "entitlement!"];
    GROUP_ADD_MEMBER = "group.add_member", POST "groups/{}/" ? "add_member",
        Write, Once, Json, since (3, 8) ["username!"];
    GROUP_REMOVE_ENTITLEMENT = "group.remove_entitlement", POST "groups/{}/" ? "remove_entitlement",
        Write, Once, Json, since (3, 8) ["resource_type!", "resource_id!", "entitlement!"];
    GROUP_REMOVE_MEMBER = "group.remove_member", POST "groups/{}/" ? "remove_member",
        Write, Once, Json, since (3, 8) ["username!"];

    GROUPS_LIST = "groups.list", GET "groups/", Read, Read, Json, since (3, 8);
    GROUPS_CREATE = "groups.create", POST "groups/", Write, Once, Json, since (3, 8) ["name!", "description"];

    USERS_LIST = "users.list", GET "users/", Read, Read, Json;
    USERS_CREATE = "users.create", POST "users/",
        Write, Once, Json ["username!", "email!", "password!", "is_superuser!"];
    USERS_WHOAMI = "users.whoami", GET "users/" ? "whoami", Read, Read, Json;

    USER_READ = "user.read", GET "users/{}/", Read, Read, Json;
    USER_DELETE = "user.delete", DELETE "users/{}/", Write, Once, Nothing ["transfer_resources_to"];

    BOOT_RESOURCES_LIST = "boot-resources.list", GET "boot-resources/", List, Read, Json ["type"];
    BOOT_RESOURCES_CREATE = "boot-resources.create", POST "boot-resources/",
        Write, Once, Json ["name!", "architecture!", "sha256!", "size!", "title", "filetype", "base_image", "content"];
    BOOT_RESOURCES_IS_IMPORTING = "boot-resources.is_importing", GET "boot-resources/" ? "is_importing",
        Read, Read, Json;
    BOOT_RESOURCES_IMPORT = "boot-resources.import", POST "boot-resources/" ? "import", Write, Converging, Text;
    BOOT_RESOURCES_STOP_IMPORT = "boot-resources.stop_import", POST "boot-resources/" ? "stop_import",
        Write, Converging, Text;

    BOOT_RESOURCE_READ = "boot-resource.read", GET "boot-resources/{}/", Read, Read, Json;
    BOOT_RESOURCE_DELETE = "boot-resource.delete", DELETE "boot-resources/{}/", Write, Once, Nothing;

    PACKAGE_REPOSITORIES_LIST = "package-repositories.list", GET "package-repositories/", Read, Read, Json;
    PACKAGE_REPOSITORIES_CREATE = "package-repositories.create", POST "package-repositories/", Write, Once, Json [
        "name!", "url!", "distributions", "disabled_pockets", "components", "arches", "key", "disable_sources",
        "enabled",
    ];

    PACKAGE_REPOSITORY_READ = "package-repository.read", GET "package-repositories/{}/", Read, Read, Json;
    PACKAGE_REPOSITORY_UPDATE = "package-repository.update", PUT "package-repositories/{}/",
        Write, Converging, Json [
        "name", "url", "distributions", "disabled_pockets", "disabled_components", "components", "arches", "key",
        "disable_sources", "enabled",
    ];
    PACKAGE_REPOSITORY_DELETE = "package-repository.delete", DELETE "package-repositories/{}/", Write, Once, Nothing;

    NOTIFICATIONS_LIST = "notifications.list", GET "notifications/", Read, Read, Json;
    NOTIFICATIONS_CREATE = "notifications.create", POST "notifications/",
        Write, Once, Json ["message!", "context", "category", "ident", "user", "users", "admins"];

    NOTIFICATION_READ = "notification.read", GET "notifications/{}/", Read, Read, Json;
    NOTIFICATION_UPDATE = "notification.update", PUT "notifications/{}/",
        Write, Converging, Json ["message!", "context", "category", "ident", "user", "users", "admins", "dismissable"];
    NOTIFICATION_DELETE = "notification.delete", DELETE "notifications/{}/", Write, Once, Nothing;
    NOTIFICATION_DISMISS = "notification.dismiss", POST "notifications/{}/" ? "dismiss", Write, Converging, Text;

    LICENSE_KEYS_LIST = "license-keys.list", GET "license-keys/", Read, Read, Json;
    LICENSE_KEYS_CREATE = "license-keys.create", POST "license-keys/",
        Write, Once, Json ["osystem!", "distro_series!", "license_key!"];

    LICENSE_KEY_READ = "license-key.read", GET "license-key/{}/{}", Read, Read, Json;
    LICENSE_KEY_UPDATE = "license-key.update", PUT "license-key/{}/{}", Write, Converging, Json ["license_key"];
    LICENSE_KEY_DELETE = "license-key.delete", DELETE "license-key/{}/{}", Write, Once, Nothing;

    BOOT_SOURCES_LIST = "boot-sources.list", GET "boot-sources/", Read, Read, Json;
    BOOT_SOURCES_CREATE = "boot-sources.create", POST "boot-sources/", Write, Once, Json [
        "url!", "name", "keyring_filename", "keyring_data", "priority", "enabled", "skip_keyring_verification",
    ];

    BOOT_SOURCE_READ = "boot-source.read", GET "boot-sources/{}/", Read, Read, Json;
    BOOT_SOURCE_UPDATE = "boot-source.update", PUT "boot-sources/{}/", Write, Converging, Json [
        "url", "name", "keyring_filename", "keyring_data", "priority", "enabled", "skip_keyring_verification",
    ];
    BOOT_SOURCE_DELETE = "boot-source.delete", DELETE "boot-sources/{}/", Write, Once, Nothing;

    BOOT_SELECTIONS_LIST = "boot-selections.list", GET "boot-sources/{}/selections/", Read, Read, Json;
    BOOT_SELECTIONS_CREATE = "boot-selections.create", POST "boot-sources/{}/selections/",
        Write, Once, Json ["os", "release", "arches", "subarches", "labels"];

    BOOT_SELECTION_READ = "boot-selection.read", GET "boot-sources/{}/selections/{}/", Read, Read, Json;
    BOOT_SELECTION_UPDATE = "boot-selection.update", PUT "boot-sources/{}/selections/{}/",
        Write, Converging, Json ["os", "release", "arches", "subarches", "labels"];
    BOOT_SELECTION_DELETE = "boot-selection.delete", DELETE "boot-sources/{}/selections/{}/", Write, Once, Nothing;

    OIDC_PROVIDERS_LIST = "oidc-providers.list", GET "oidc-providers/", Read, Read, Json, since (3, 8);
    OIDC_PROVIDERS_CREATE = "oidc-providers.create", POST "oidc-providers/", Write, Once, Json, since (3, 8) [
        "name!", "issuer_url!", "client_id!", "client_secret!", "enabled!", "token_type!", "vendor!", "redirect_uri!",
        "scopes!",
    ];
    OIDC_PROVIDERS_GET_ACTIVE = "oidc-providers.get_active", GET "oidc-providers/" ? "get_active",
        Read, Read, Json, since (3, 8);

    OIDC_PROVIDER_READ = "oidc-provider.read", GET "oidc-providers/{}/", Read, Read, Json, since (3, 8);
    OIDC_PROVIDER_UPDATE = "oidc-provider.update", PUT "oidc-providers/{}/", Write, Converging, Json, since (3, 8) [
        "name", "issuer_url", "client_id", "client_secret", "enabled", "token_type", "vendor", "redirect_uri",
        "scopes",
    ];
    OIDC_PROVIDER_DELETE = "oidc-provider.delete", DELETE "oidc-providers/{}/", Write, Once, Nothing, since (3, 8);

    BOOT_RESOURCE_UPLOAD = "boot-resource.upload", PUT "boot-resources/{}/upload/{}/", Upload, Once, Nothing;
}
