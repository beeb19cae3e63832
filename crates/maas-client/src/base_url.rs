//! Where the API is: what people paste, made into the one URL calls are built on (fact sheet §1.1).

use std::fmt;
use std::str::FromStr;

use url::Url;

/// What is wrong with a MAAS URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL.
    #[error("{text:?} is not a URL ({fault}); write http://HOST:5240/MAAS")]
    Malformed {
        /// As given.
        text: String,
        /// What is wrong.
        fault: String,
    },
    /// Neither http nor https.
    #[error("{text:?} has scheme {scheme}; http or https is needed")]
    Scheme {
        /// As given.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// User or password inside the URL.
    #[error("the MAAS URL contains a user or password; MAAS takes an API key only")]
    Credentials,
}

/// The root of the REST API, ending in `/api/2.0/`.
///
/// ```
/// use maas_client::BaseUrl;
/// let url: BaseUrl = "http://maas.example:5240".parse()?;
/// assert_eq!(url.to_string(), "http://maas.example:5240/MAAS/api/2.0/");
/// # Ok::<(), maas_client::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Absolute URL of a path below the API root.
    pub(crate) fn join(&self, path: &str, query: &str) -> String {
        let mut text = self.0.to_string();
        text.push_str(path);
        if !query.is_empty() {
            text.push('?');
            text.push_str(query);
        }
        text
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it leads to this host itself.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    }

    /// Whether keys go over the wire encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str())
    }
}

impl FromStr for BaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let mut url = Url::parse(text)
            .map_err(|fault| UrlError::Malformed { text: text.to_owned(), fault: fault.to_string() })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme { text: text.to_owned(), scheme: url.scheme().to_owned() });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        url.set_query(None);
        url.set_fragment(None);
        let path = api_path(url.path());
        url.set_path(&path);
        Ok(Self(url))
    }
}

fn api_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let api = parts.windows(2).position(|pair| pair == ["api", "2.0"]);
    let kept = match (api, parts.iter().position(|part| *part == "MAAS")) {
        // any prefix in front of api/2.0 is the owner's business
        (Some(at), _) => &parts[..at],
        // an address copied from the browser goes on after /MAAS
        (None, Some(at)) => &parts[..=at],
        (None, None) => &parts[..],
    };
    let mut path: String = kept.iter().flat_map(|part| ["/", part]).collect();
    if api.is_none() && kept.last() != Some(&"MAAS") {
        path.push_str("/MAAS");
    }
    path.push_str("/api/2.0/");
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_people_paste_becomes_the_api_root() {
        for (pasted, root) in [
            ("http://h:5240/MAAS", "http://h:5240/MAAS/api/2.0/"),
            ("http://h:5240/MAAS/", "http://h:5240/MAAS/api/2.0/"),
            ("http://h:5240", "http://h:5240/MAAS/api/2.0/"),
            (" http://h:5240/ ", "http://h:5240/MAAS/api/2.0/"),
            ("http://h:5240/MAAS/api/2.0", "http://h:5240/MAAS/api/2.0/"),
            ("http://h:5240/MAAS/api/2.0/", "http://h:5240/MAAS/api/2.0/"),
            ("http://h:5240//MAAS//api//2.0//", "http://h:5240/MAAS/api/2.0/"),
            ("http://h:5240/MAAS/api/2.0/machines/?op=x#y", "http://h:5240/MAAS/api/2.0/"),
            ("https://h/MAAS/r/machines", "https://h/MAAS/api/2.0/"),
            ("https://h/MAAS/r/#/machines", "https://h/MAAS/api/2.0/"),
            ("https://proxy/lab/api/2.0/", "https://proxy/lab/api/2.0/"),
            ("https://proxy/lab/MAAS", "https://proxy/lab/MAAS/api/2.0/"),
            ("https://proxy/lab", "https://proxy/lab/MAAS/api/2.0/"),
            ("http://[2001:db8::1]:5240/MAAS", "http://[2001:db8::1]:5240/MAAS/api/2.0/"),
        ] {
            let url: BaseUrl = pasted.parse().unwrap_or_else(|error| panic!("{pasted}: {error}"));
            assert_eq!(url.as_str(), root, "{pasted}");
            assert_eq!(root.parse::<BaseUrl>().unwrap(), url, "{pasted} is a fixed point");
        }
    }

    #[test]
    fn a_bad_url_is_refused_with_its_fault() {
        for (pasted, words) in [
            ("${MAAS_ENDPOINT}", "not a URL"),
            ("maas.example/MAAS", "not a URL"),
            ("", "not a URL"),
            ("maas.example:5240/MAAS", "scheme"),
            ("ftp://h/MAAS", "scheme ftp"),
            ("http://u:p@h/MAAS", "API key only"),
        ] {
            let error = pasted.parse::<BaseUrl>().unwrap_err().to_string();
            assert!(error.contains(words), "{pasted}: {error}");
        }
    }
}
