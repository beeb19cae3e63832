//! As much HTTP/1.1 as the control endpoints of maas-sim and the health endpoints of managers need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// A server on loopback that does not answer for so long is broken.
const SILENCE: Duration = Duration::from_secs(10);

/// Sends one request; returns status and body.
pub(super) fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let what = || format!("{method} http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, SILENCE).with_context(what)?;
    stream.set_read_timeout(Some(SILENCE)).with_context(what)?;
    // HTTP/1.0: the body ends with the connection and is never chunked.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).with_context(what)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(what)?;
    let answer = String::from_utf8(answer).with_context(what)?;
    parse(&answer).with_context(|| format!("{}: not HTTP: {answer:?}", what()))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_told_apart() {
        let answer = "HTTP/1.0 404 Not Found\r\ncontent-length: 3\r\n\r\n{}\n";
        assert_eq!(parse(answer), Some((404, "{}\n".to_owned())));
        assert_eq!(parse("nonsense"), None);
    }
}
