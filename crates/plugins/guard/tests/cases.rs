//! The scenarios of this family's plugins.

#[test]
fn cases_play() {
    testkit::play_family(env!("CARGO_MANIFEST_DIR"));
}
