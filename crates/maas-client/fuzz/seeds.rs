//! Writes the recorded answers as first inputs: `cargo run --bin seeds -- corpus`.

use std::io::Read as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("where to?")?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&include_bytes!("../tests/recordings.jsonl.gz")[..]).read_to_string(&mut text)?;
    for (number, line) in text.lines().enumerate() {
        let recording: serde_json::Value = serde_json::from_str(line)?;
        let status = recording["response"]["status"].as_u64().unwrap_or_default();
        let body = recording["response"]["body"].as_str().unwrap_or_default();
        let (target, head): (_, &[u8]) = match status {
            200 if body.len() < 60_000 => ("machine_json", b"\x20"),
            400.. => ("error_body", b"\x01\x01\x00"),
            _ => continue,
        };
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("recorded-{number}")), [head, body.as_bytes()].concat())?;
    }
    let folder = Path::new(&folder).join("api_key");
    std::fs::create_dir_all(&folder)?;
    for (name, seed) in [("key", "LabConsumerA000000:LabTokenKeyA000000:LabTokenSecretA00000000000000000"), ("url", "https://proxy/lab//MAAS/api/2.0/machines/?op=x#y"), ("hole", "${MAAS_API_KEY}")] {
        std::fs::write(folder.join(name), seed)?;
    }
    Ok(())
}
