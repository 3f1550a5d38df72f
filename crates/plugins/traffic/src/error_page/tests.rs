use super::*;

#[test]
fn only_errors_that_are_not_an_upstreams_have_a_page() {
    let page = |body: &str| Some(Page { body: body.to_owned(), content_type: "text/html".to_owned() });
    let mut metadata =
        Metadata { enable: true, error_404: page("a"), error_500: page("b"), error_502: page(""), error_503: None };
    for (status, source, expected) in [
        (404, Source::Gateway, Some("a")),
        (500, Source::Plugin, Some("b")),
        (404, Source::Upstream, None),
        (502, Source::Gateway, None),
        (503, Source::Gateway, None),
        (403, Source::Gateway, None),
    ] {
        let page = metadata.page(&ResponseHead::new(status, source)).map(|page| page.body.as_str());
        assert_eq!(page, expected, "{status} {source:?}");
    }
    metadata.enable = false;
    assert!(metadata.page(&ResponseHead::new(404, Source::Gateway)).is_none());
}
