use super::*;

#[test]
fn the_header_is_set_once() {
    let mut fields: Fields = [("X-{{Header}}", "no"), ("A", "b")].into_iter().collect();
    {{Type}} { value: "yes".to_owned() }.edit(&mut fields);
    assert_eq!(fields.iter().filter(|(_, value)| *value == b"yes").count(), 1);
    assert_eq!(fields.iter().filter(|(_, value)| *value == b"no").count(), 0);
}
