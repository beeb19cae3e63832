//! The region's name server over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use jiff::Timestamp;
use maas_sim::{Config, Outage, Region, SharedRegion, serve_dns};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::clients::Lab;

/// A region behind a name server, whose clock stands until it is moved.
struct Served {
    region: SharedRegion,
    clock: Arc<Mutex<Timestamp>>,
    at: SocketAddr,
    udp: UdpSocket,
    tasks: JoinSet<std::io::Result<std::convert::Infallible>>,
}

async fn served(region: Region, now: Timestamp) -> Served {
    let clock = Arc::new(Mutex::new(now));
    let read = clock.clone();
    let region = SharedRegion::new(region, Arc::new(move || *read.lock().unwrap()));
    let (socket, tcp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // A test beside this one may hold that port for UDP.
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let at = tcp.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_dns(socket, tcp, region.clone()));
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    udp.connect(at).await.unwrap();
    Served { region, clock, at, udp, tasks }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("an answer within 20 s")
}

impl Served {
    fn wait(&self, seconds: u64) {
        *self.clock.lock().unwrap() += Duration::from_secs(seconds);
    }

    async fn send(&self, bytes: &[u8]) -> Message {
        self.udp.send(bytes).await.unwrap();
        let mut buffer = [0; 4096];
        let length = soon(self.udp.recv(&mut buffer)).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    /// Code, answers and authority in short, over UDP.
    async fn ask(&self, name: &str, kind: RecordType) -> String {
        let message = query(name, kind);
        let reply = self.send(&message.to_vec().unwrap()).await;
        assert_eq!(reply.id, message.id);
        short(&reply)
    }
}

fn short(reply: &Message) -> String {
    let mut parts = vec![match reply.response_code {
        ResponseCode::NoError => "ok".to_owned(),
        other => format!("{other:?}"),
    }];
    parts.extend(reply.answers.iter().chain(&reply.authorities).map(|record| match &record.data {
        RData::SOA(soa) => format!("{} {} SOA min {}", record.name, record.ttl, soa.minimum),
        other => format!("{} {} {other}", record.name, record.ttl),
    }));
    parts.join(" | ")
}

async fn tcp_exchange(stream: &mut TcpStream, message: &Message) -> Message {
    let bytes = message.to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = vec![0; usize::from(soon(stream.read_u16()).await.unwrap())];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

#[tokio::test]
async fn names_answer_over_udp_when_they_are_published_with_their_ttl() {
    use RecordType::{A, AAAA, NS, SOA, TXT};
    let mut lab = Lab::new(Config::lab(3));
    let form = "name=api&domain=maas.sc&ip_addresses=10.10.1.2+10.10.1.1+2001:db8::1&address_ttl=10";
    let id = lab.ok("POST", "dnsresources/", form)["id"].as_u64().unwrap();
    let dns = served(std::mem::replace(&mut lab.region, Region::new(Config::lab(1))), lab.now).await;

    let absent = "NXDomain | maas.sc. 30 SOA min 30";
    assert_eq!(dns.ask("api.maas.sc.", A).await, absent, "not before it is published");
    dns.wait(2);
    assert_eq!(dns.ask("api.maas.sc.", A).await, absent);
    dns.wait(1);
    for (name, kind, expected) in [
        ("api.maas.sc.", A, "ok | api.maas.sc. 10 10.10.1.1 | api.maas.sc. 10 10.10.1.2"),
        ("API.maas.SC.", AAAA, "ok | API.maas.SC. 10 2001:db8::1"),
        ("api.maas.sc.", TXT, "ok | maas.sc. 30 SOA min 30"),
        ("other.maas.sc.", A, absent),
        ("maas.sc.", A, "ok | maas.sc. 30 SOA min 30"),
        ("maas.sc.", NS, "ok | maas.sc. 30 maas."),
        ("maas.", SOA, "ok | maas. 30 SOA min 30"),
        ("node01.maas.", A, "ok | node01.maas. 30 10.10.192.1"),
        ("node01.maas.", AAAA, "ok | maas. 30 SOA min 30"),
        ("node01.maas.sc.", A, absent),
        ("example.com.", A, "Refused"),
        (".", NS, "Refused"),
    ] {
        assert_eq!(dns.ask(name, kind).await, expected, "{name} {kind}");
    }

    // The resource's own TTL goes, the domain's comes into force, for what does not exist, too.
    let put = |lab: &mut Lab, path: &str, form: &str| {
        // Signed requests go to the region itself: only its name server is behind a socket here.
        dns.region.with(|region, now| {
            std::mem::swap(region, &mut lab.region);
            lab.now = now;
            lab.ok("PUT", path, form);
            std::mem::swap(region, &mut lab.region);
        });
    };
    put(&mut lab, "domains/maas.sc/", "ttl=120");
    put(&mut lab, &format!("dnsresources/{id}/"), "address_ttl=&ip_addresses=10.10.1.3");
    assert_eq!(dns.ask("api.maas.sc.", AAAA).await, "ok | api.maas.sc. 10 2001:db8::1", "what was published stays");
    dns.wait(3);
    assert_eq!(dns.ask("api.maas.sc.", A).await, "ok | api.maas.sc. 120 10.10.1.3");
    assert_eq!(dns.ask("other.maas.sc.", A).await, "NXDomain | maas.sc. 120 SOA min 120");

    // MAAS's BIND is not the region: it goes on while that is down.
    dns.region.with(|region, now| region.set_outage(now, Some(Outage::Refuse)));
    assert_eq!(dns.ask("api.maas.sc.", A).await, "ok | api.maas.sc. 120 10.10.1.3");
}

#[tokio::test]
async fn a_connection_carries_many_questions_and_answers_too_long_for_a_datagram() {
    let mut lab = Lab::new(Config::lab(1));
    let many: Vec<String> = (1..=200).map(|n| format!("10.10.2.{n}")).collect();
    lab.ok("POST", "dnsresources/", &format!("name=many&domain=maas&ip_addresses={}", many.join("+")));
    lab.wait(10);
    let mut dns = served(lab.region, lab.now).await;

    let message = query("many.maas.", RecordType::A);
    let cut = dns.send(&message.to_vec().unwrap()).await;
    assert!(cut.truncation && cut.answers.is_empty());
    let mut stream = TcpStream::connect(dns.at).await.unwrap();
    let whole = tcp_exchange(&mut stream, &message).await;
    assert_eq!((whole.truncation, whole.answers.len()), (false, 200));
    let next = tcp_exchange(&mut stream, &query("none.maas.", RecordType::A)).await;
    assert_eq!(short(&next), "NXDomain | maas. 30 SOA min 30");

    // Dropping the server ends what it serves.
    dns.tasks.shutdown().await;
    assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap_or_default(), 0);
    assert!(TcpStream::connect(dns.at).await.is_err());
}

#[tokio::test]
async fn malformed_bytes_get_an_error_and_the_server_goes_on() {
    let dns = served(Region::new(Config::lab(1)), "2026-11-23T12:00:00Z".parse().unwrap()).await;
    let whole = query("node01.maas.", RecordType::A).to_vec().unwrap();
    dns.udp.send(&[1, 2, 3]).await.unwrap();
    assert_eq!(dns.send(&whole[..whole.len() - 2]).await.response_code, ResponseCode::FormErr);
    let mut update = whole.clone();
    update[2] |= 5 << 3;
    assert_eq!(dns.send(&update).await.response_code, ResponseCode::NotImp);

    let mut stream = TcpStream::connect(dns.at).await.unwrap();
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    assert_eq!(soon(stream.read(&mut [0; 1])).await.unwrap_or_default(), 0, "not even a header: the end");
    assert_eq!(dns.ask("node01.maas.", RecordType::A).await, "ok | node01.maas. 30 10.10.192.1");
}
