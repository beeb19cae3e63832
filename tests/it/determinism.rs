//! Same seed, same trace: in two processes.

use std::process::Command;

fn trace(seed: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_seed-trace")).arg(seed).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn two_processes_one_seed_one_trace() {
    let first = trace("1");
    assert_eq!(first, trace("1"), "number and digest of all calls");
    assert_ne!(first, trace("2"), "another seed is another world");
}
