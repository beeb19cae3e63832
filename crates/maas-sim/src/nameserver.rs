//! DNS over UDP and TCP: messages in, what [`Region::look_up`] says out.
//!
//! As MAAS's BIND, it is the authority of the region's domains; all else is refused. Queries of one question in class IN
//! are answered; other operations, zone transfers and queries for every type get NOTIMP, what cannot be read FORMERR.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable as _;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use crate::region::Region;
use crate::shell::SharedRegion;
use crate::zones::{NameAnswer, RecordKind, Zone};

/// What we take over UDP, and at most give: passes every usual network in one piece.
const UDP_LIMIT: u16 = 1232;

/// A TCP client may be silent that long, as with BIND.
const TCP_IDLE: Duration = Duration::from_secs(30);

/// Answers DNS from a region until the future is dropped, which also ends its connections. Both sockets should have the
/// same address: clients ask again over TCP what did not fit into a datagram.
///
/// # Errors
/// When a socket fails.
pub async fn serve_dns(udp: UdpSocket, tcp: TcpListener, shared: SharedRegion) -> std::io::Result<Infallible> {
    let mut connections = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            received = udp.recv_from(&mut buffer) => {
                let (length, from) = received?;
                let answer = shared.with(|region, now| answer(region, now, &buffer[..length], Some(UDP_LIMIT)));
                // A client that cannot be reached is no reason to leave the others.
                if let Some(answer) = answer && let Err(error) = udp.send_to(&answer, from).await {
                    tracing::debug!(%error, %from, "datagram not sent");
                }
            }
            accepted = tcp.accept() => {
                let (stream, from) = accepted?;
                let shared = shared.clone();
                connections.spawn(async move {
                    if let Err(error) = converse(stream, &shared).await {
                        tracing::debug!(%error, %from, "connection ended");
                    }
                });
            }
        }
    }
}

/// Serves one TCP connection until the client ends it, is silent for long, or sends what has no answer.
async fn converse(mut stream: TcpStream, shared: &SharedRegion) -> std::io::Result<()> {
    let mut message = Vec::new();
    while tokio::time::timeout(TCP_IDLE, receive(&mut stream, &mut message)).await?? {
        let Some(answer) = shared.with(|region, now| answer(region, now, &message, None)) else {
            break;
        };
        let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
        // In one piece: some clients read length and message at once.
        let framed = [&length.to_be_bytes(), answer.as_slice()].concat();
        tokio::time::timeout(TCP_IDLE, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// Reads one message behind its length; false when the client is done.
async fn receive(stream: &mut TcpStream, message: &mut Vec<u8>) -> std::io::Result<bool> {
    let length = match stream.read_u16().await {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
        length => length?,
    };
    message.resize(usize::from(length), 0);
    stream.read_exact(message).await?;
    Ok(true)
}

/// The answer to one message, cut to what the client takes in a datagram when there is a limit. `None` for what no
/// server answers: less than a header, and answers, to which answering could go on for ever.
fn answer(region: &mut Region, now: Timestamp, message: &[u8], datagram: Option<u16>) -> Option<Vec<u8>> {
    let asked = Header::from_bytes(message).ok()?.metadata;
    if asked.message_type == MessageType::Response {
        return None;
    }
    let mut reply = Message::response(asked.id, asked.op_code);
    reply.metadata = Metadata::response_from_request(&asked);
    let mut limit = 512;
    // Other operations are told by the header alone: their bodies may be of another shape.
    reply.metadata.response_code = if asked.op_code != OpCode::Query {
        ResponseCode::NotImp
    } else if let Ok(query) = Message::from_vec(message) {
        limit = query.max_payload();
        answer_query(region, now, query, &mut reply)
    } else {
        ResponseCode::FormErr
    };
    let whole = reply.to_vec();
    match (whole, datagram) {
        (Ok(whole), None) if whole.len() <= usize::from(u16::MAX) => Some(whole),
        (Ok(whole), Some(most)) if whole.len() <= usize::from(limit.min(most)) => Some(whole),
        (Ok(_), _) => reply.truncate().to_vec().ok(),
        (Err(error), _) => {
            tracing::debug!(%error, "answer cannot be written");
            Message::error_msg(asked.id, asked.op_code, ResponseCode::ServFail).to_vec().ok()
        }
    }
}

/// Fills in the sections; gives the code.
fn answer_query(region: &mut Region, now: Timestamp, mut query: Message, reply: &mut Message) -> ResponseCode {
    if let Some(theirs) = &query.edns {
        let mut ours = Edns::new();
        ours.set_max_payload(UDP_LIMIT);
        if theirs.version() > 0 {
            ours.set_rcode_high(ResponseCode::BADVERS.high());
            reply.set_edns(ours);
            return ResponseCode::BADVERS;
        }
        reply.set_edns(ours);
    }
    let (Some(question), true) = (query.queries.pop(), query.queries.is_empty()) else {
        return ResponseCode::FormErr;
    };
    reply.add_query(question.clone());
    let kind = match (question.query_class, question.query_type) {
        (_, RecordType::ANY | RecordType::AXFR | RecordType::IXFR) => return ResponseCode::NotImp,
        (DNSClass::IN, RecordType::A) => RecordKind::A,
        (DNSClass::IN, RecordType::AAAA) => RecordKind::Aaaa,
        (DNSClass::IN, RecordType::SOA) => RecordKind::Soa,
        (DNSClass::IN, RecordType::NS) => RecordKind::Ns,
        (DNSClass::IN, _) => RecordKind::Other,
        // As BIND, which has no view of other classes.
        _ => return ResponseCode::Refused,
    };
    let found = region.look_up(now, &question.name.to_ascii(), kind);
    reply.metadata.authoritative = found != NameAnswer::NotOurs;
    fill(question, kind, found, reply).unwrap_or_else(|| {
        // Names in our tables that DNS cannot have, such as one of 64 letters.
        reply.answers.clear();
        reply.authorities.clear();
        ResponseCode::ServFail
    })
}

fn fill(question: Query, kind: RecordKind, found: NameAnswer, reply: &mut Message) -> Option<ResponseCode> {
    // Owner names are as they were asked, in their case: some resolvers vary it against forgery, and check.
    let mut code = ResponseCode::NoError;
    match found {
        NameAnswer::Addresses { ttl, addresses } => {
            reply.add_answers(addresses.into_iter().map(|ip| {
                let data = match ip {
                    IpAddr::V4(ip) => RData::A(A(ip)),
                    IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
                };
                Record::from_rdata(question.name.clone(), ttl, data)
            }));
        }
        NameAnswer::Authority(zone) if kind == RecordKind::Ns => {
            let data = RData::NS(NS(name(&zone.name_server)?));
            reply.add_answer(Record::from_rdata(question.name, zone.ttl, data));
        }
        NameAnswer::Authority(zone) => {
            reply.add_answer(Record::from_rdata(question.name, zone.ttl, start_of_authority(&zone)?));
        }
        NameAnswer::NoData(zone) => {
            reply.add_authority(Record::from_rdata(name(&zone.name)?, zone.ttl, start_of_authority(&zone)?));
        }
        NameAnswer::NoName(zone) => {
            reply.add_authority(Record::from_rdata(name(&zone.name)?, zone.ttl, start_of_authority(&zone)?));
            code = ResponseCode::NXDomain;
        }
        NameAnswer::NotOurs => code = ResponseCode::Refused,
    }
    Some(code)
}

/// The fields that MAAS's template of zone files has.
fn start_of_authority(zone: &Zone) -> Option<RData> {
    let mailbox = name("nobody.example.com")?;
    Some(RData::SOA(SOA::new(name(&zone.name)?, mailbox, zone.serial, 600, 1800, 604_800, zone.ttl)))
}

/// An absolute name.
fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    /// A region whose name `many.maas` has that many addresses.
    fn region(addresses: u8) -> Region {
        let mut region = Region::new(Config::lab(2));
        let all: Vec<IpAddr> = (1..=addresses).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        region.add_dns_resource(now(), "many.maas", &all).unwrap();
        region
    }

    fn ask(region: &mut Region, query: &Message, datagram: Option<u16>) -> Message {
        let later = now() + Duration::from_secs(60);
        let bytes = answer(region, later, &query.to_vec().unwrap(), datagram).unwrap();
        if let Some(most) = datagram {
            assert!(bytes.len() <= usize::from(most), "{} bytes", bytes.len());
        }
        let reply = Message::from_vec(&bytes).unwrap();
        assert_eq!((reply.id, reply.message_type), (query.id, MessageType::Response));
        reply
    }

    fn query(name: &str, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    #[test]
    fn an_answer_carries_the_name_as_it_was_asked() {
        let reply = ask(&mut region(3), &query("MaNy.maas.", RecordType::A), None);
        assert_eq!(reply.answers.len(), 3);
        for record in &reply.answers {
            assert_eq!((record.name.to_ascii().as_str(), record.ttl), ("MaNy.maas.", 30));
        }
        assert!(reply.authoritative && !reply.recursion_available && !reply.truncation);
    }

    #[test]
    fn what_does_not_fit_into_the_datagram_comes_truncated() {
        let mut region = region(100);
        let mut query = query("many.maas.", RecordType::A);
        let cut = |reply: &Message| (reply.truncation, reply.answers.len(), reply.queries.len());
        assert_eq!(cut(&ask(&mut region, &query, None)), (false, 100, 1), "a connection has room for all");
        assert_eq!(cut(&ask(&mut region, &query, Some(UDP_LIMIT))), (true, 0, 1));
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        query.set_edns(edns);
        let reply = ask(&mut region, &query, Some(UDP_LIMIT));
        assert_eq!(cut(&reply), (true, 0, 1), "more than any network surely takes");
        assert_eq!(reply.edns.map(|edns| edns.max_payload()), Some(UDP_LIMIT));

        let mut region = self::region(40);
        assert_eq!(cut(&ask(&mut region, &query, Some(UDP_LIMIT))), (false, 40, 1), "between 512 and the limit");
        query.edns = None;
        assert_eq!(cut(&ask(&mut region, &query, Some(UDP_LIMIT))), (true, 0, 1), "512 without a larger offer");
    }

    #[test]
    fn what_is_not_served_gets_its_code() {
        let mut region = region(1);
        let usual = query("many.maas.", RecordType::A);
        let mut code = |change: &dyn Fn(&mut Message)| {
            let mut message = usual.clone();
            change(&mut message);
            let reply = ask(&mut region, &message, Some(UDP_LIMIT));
            assert!(reply.answers.is_empty(), "{reply}");
            reply.response_code
        };
        for op_code in [OpCode::Status, OpCode::Notify, OpCode::Update, OpCode::Unknown(9)] {
            assert_eq!(code(&|m| m.metadata.op_code = op_code), ResponseCode::NotImp);
        }
        for kind in [RecordType::ANY, RecordType::AXFR, RecordType::IXFR] {
            assert_eq!(code(&|m| m.queries[0].query_type = kind), ResponseCode::NotImp);
        }
        assert_eq!(code(&|m| m.queries[0].query_class = DNSClass::CH), ResponseCode::Refused);
        assert_eq!(code(&|m| m.queries.clear()), ResponseCode::FormErr);
        assert_eq!(code(&|m| m.queries.push(m.queries[0].clone())), ResponseCode::FormErr);
        let (mut newer, mut edns) = (usual.clone(), Edns::new());
        edns.set_version(1);
        newer.set_edns(edns);
        let reply = ask(&mut region, &newer, Some(UDP_LIMIT));
        assert_eq!((reply.edns.unwrap().rcode_high(), reply.answers.len()), (1, 0), "BADVERS is 16");
    }

    #[test]
    fn no_bytes_bring_it_down_and_answers_get_no_answer() {
        let mut region = region(2);
        let mut message = query("many.maas.", RecordType::A);
        let whole = message.to_vec().unwrap();
        for length in 0..whole.len() {
            let reply = answer(&mut region, now(), &whole[..length], Some(UDP_LIMIT));
            let code = reply.map(|bytes| Message::from_vec(&bytes).unwrap().response_code);
            assert_eq!(code, (length >= 12).then_some(ResponseCode::FormErr), "{length} bytes");
        }
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(rng.usize(..=bytes.len()));
            if let Some(reply) = answer(&mut region, now(), &bytes, Some(UDP_LIMIT)) {
                assert_eq!(reply[..2], bytes[..2], "{bytes:?}");
            }
        }
        message.metadata.message_type = MessageType::Response;
        assert_eq!(answer(&mut region, now(), &message.to_vec().unwrap(), None), None);
    }
}
