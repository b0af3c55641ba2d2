//! `docs/causes.md` is what the catalogue says today. `VPNSCOPE_BLESS=1` writes it anew.

#![allow(clippy::disallowed_methods, reason = "the test reads its environment")]

use std::path::Path;

#[test]
fn the_page_of_causes_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/causes.md");
    let wanted = vpnscope::explain::causes_markdown();
    if std::env::var("VPNSCOPE_BLESS").is_ok() {
        std::fs::write(&path, &wanted).expect("docs/causes.md can be written");
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == wanted,
        "docs/causes.md is stale: run VPNSCOPE_BLESS=1 cargo test --test docs"
    );
}
