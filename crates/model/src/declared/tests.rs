use super::*;
use serde_json::json;

fn env(name: &str) -> Option<String> {
    (name == "PORT").then(|| "9080".to_owned())
}

fn yaml(text: &str) -> Result<Vec<Declared>, Refused> {
    read(text, Format::Yaml, false, &env).map(|contents| contents.documents)
}

fn lines(declared: &[Declared]) -> Vec<(String, usize)> {
    declared.iter().map(|declared| (declared.key.path(), declared.line)).collect()
}

fn at(key: &str, line: usize) -> (String, usize) {
    (key.to_owned(), line)
}

#[test]
fn documents_have_keys_and_lines() {
    let text = "\
routes:
  - uri: /a
    upstream: {nodes: {'127.0.0.1:80': 1}}
  -
    id: two
    uri: /b
  - {id: 3, uri: /c}
consumers:
- username: jack
- id: jack/credentials/c1
  plugins: {}
plugin_metadata:
- id: prometheus
secrets: [{id: vault/1}]
services: &empty []
upstreams: *empty
ssls:
routes_conf_version: 7
x-shared: {a: 1}
#END
";
    let declared = yaml(text).unwrap();
    let want = [
        at("/routes/arr_1", 2),
        at("/routes/two", 5),
        at("/routes/3", 7),
        at("/consumers/jack", 9),
        at("/consumers/jack/credentials/c1", 10),
        at("/plugin_metadata/prometheus", 13),
        at("/secrets/vault/1", 14),
    ];
    assert_eq!(lines(&declared), want);
    assert!(declared.iter().all(|declared| declared.problem.is_none()));
    assert_eq!(declared[2].value(), json!({ "id": "3", "uri": "/c" }));
    assert_eq!(declared[3].value(), json!({ "username": "jack" }));
    assert_eq!(declared[4].value()["id"], "c1");
    assert!(declared[0].key.is_positional() && !declared[1].key.is_positional());
}

#[test]
fn json_has_the_same_meaning() {
    let text = "{\n\"routes\": [\n{\"uri\": \"/a\",\n\"x\": \"${{PORT}}\"}, {\"id\": 2},\n\n{\"id\": \"3\"}], \"ssls\": null,\n\
                \"consumers\": [ {\"username\": \"jack\"} ] }\n";
    let declared = read(text, Format::Json, false, &env).unwrap().documents;
    let want = [at("/routes/arr_1", 3), at("/routes/2", 4), at("/routes/3", 6), at("/consumers/jack", 7)];
    assert_eq!(lines(&declared), want);
    assert_eq!(declared[0].value()["x"], 9080);
}

#[test]
fn what_cannot_be_used_is_declared_with_its_problem() {
    let declared =
        yaml("routes:\n- no\n- id: a b\n- id: a/b\n- id: {}\nconsumers: [{id: x/credentials/}]\n#END").unwrap();
    let problems: Vec<_> = declared.iter().map(|d| (d.key.path(), d.problem.clone().unwrap())).collect();
    let row = |n: usize, id: &str| (format!("/routes/arr_{n}"), format!("invalid route id \"{id}\""));
    assert_eq!(problems[0], ("/routes/arr_1".to_owned(), "invalid item, it should be an object".to_owned()));
    assert_eq!(problems[1..3], [row(2, "a b"), row(3, "a/b")]);
    assert_eq!(problems[3], row(4, "{}"));
    assert_eq!(problems[4].0, "/consumers/arr_1");
}

#[test]
fn a_file_that_could_be_read_in_two_ways_is_refused() {
    let bomb: String = std::iter::once("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned())
        .chain((1..9).map(|n| {
            let alias = format!("*a{}", n - 1);
            format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(","))
        }))
        .collect();
    for (text, want) in [
        ("routes: []\n", "missing valid end flag: the last line must be #END"),
        ("", "missing valid end flag: the last line must be #END"),
        ("routes:\n- id: 1\n  id: 2\n#END", "line 3, column 3: duplicate key \"id\""),
        ("routes: []\nroutes: []\n#END", "line 2, column 1: duplicate key \"routes\""),
        ("routes:\n- id: 1\n\n- id: '1'\n#END", "line 4: found duplicate id 1 in routes, it is also on line 2"),
        (
            "consumers:\n- username: a\n- username: a\n#END",
            "line 3: found duplicate username a in consumers, it is also on line 2",
        ),
        ("routes: {}\n#END", "line 1: routes must be a list"),
        ("- routes\n#END", "line 1: the file must be a mapping of lists such as routes"),
        (
            "routes: []\nplugins:\n- name: a\n- cors\n#END",
            "line 4: plugins: an item needs a name, and stream is true or false",
        ),
        ("plugins: [{name: a, stream: 1}]\n#END", "line 1: plugins: an item needs a name, and stream is true or false"),
        ("plugins: {}\n#END", "line 1: plugins must be a list"),
        ("secrets: [{uri: x}]\n#END", "line 1: missing secret id"),
        ("routes: [{uri: '${{NOPE}}'}]\n#END", "failed to handle configuration: can't find environment variable NOPE"),
    ] {
        assert_eq!(yaml(text).err().map(|refused| refused.to_string()).as_deref(), Some(want), "{text}");
    }
    let unknown = yaml("global_rule: []\n#END").err().unwrap().to_string();
    assert!(unknown.starts_with("line 1: unknown section \"global_rule\": there are routes, services"), "{unknown}");
    let unknown = yaml("global_rule: [{id: 1}]\n#END").err().unwrap().to_string();
    assert!(unknown.contains("unknown section"), "{unknown}");
    let tab = yaml("routes:\n\t- id: 1\n#END").err().unwrap().to_string();
    assert!(tab.starts_with("line 2"), "{tab}");
    let bomb = yaml(&format!("{bomb}#END")).err().unwrap().to_string();
    assert!(bomb.ends_with("too many values"), "{bomb}");
}

#[test]
fn json_is_refused_with_its_line() {
    for (text, want) in [
        ("", "line 1: EOF while parsing a value"),
        ("{\"routes\": [", "line 1: EOF while parsing a list"),
        ("{\"routes\": [\n{}\n,\n{\"id\":1,\n\"id\":2}]}", "line 5: duplicate key \"id\""),
        ("{\"routes\": [],\n\"routes\": []}", "line 2: duplicate key \"routes\""),
        ("{}\n{}", "line 2: trailing characters"),
        ("[]", "line 1: invalid type: sequence, expected an object of lists such as routes"),
    ] {
        let refused = read(text, Format::Json, false, &env).err().map(|refused| refused.to_string());
        assert_eq!(refused.as_deref(), Some(want), "{text}");
    }
    let deep = format!("{{\"routes\": [{}", "[".repeat(100_000));
    assert!(read(&deep, Format::Json, false, &env).is_err());
    let deep = format!("{{\"routes\": [{}{}]}}", "[".repeat(1000), "]".repeat(1000));
    let refused = read(&deep, Format::Json, false, &env).err().unwrap().to_string();
    assert_eq!(refused, "line 1: nested deeper than 127 levels");
}

#[test]
fn lenient_as_apisix() {
    let text = "global_rule: [{id: 1}]\nroutes:\n- {id: 1, uri: /a}\n- {id: 2}\n- {id: 1, uri: /b}\n#END";
    let declared = read(text, Format::Yaml, true, &env).unwrap().documents;
    assert_eq!(lines(&declared), [at("/routes/1", 5), at("/routes/2", 4)]);
    assert_eq!(declared[0].value()["uri"], "/b");
}

#[test]
fn enabled_plugins_are_listed() {
    for (format, text, want) in [
        (Format::Yaml, "routes: []\n#END", None),
        (
            Format::Yaml,
            "plugins:\n- name: a\n- {name: b, stream: true}\n- {name: c, stream: false}\n#END",
            Some(&["a", "c"][..]),
        ),
        (Format::Yaml, "plugins: [{name: a, stream: true}]\n#END", Some(&[])),
        (Format::Yaml, "x: &x [{name: a}]\nplugins: *x\n#END", Some(&["a"])),
        (Format::Yaml, "plugins: []\n#END", Some(&[])),
        (Format::Yaml, "plugins:\n#END", Some(&[])),
        (Format::Json, r#"{"plugins": null}"#, None),
        (Format::Json, r#"{"plugins": [{"name": "a"}]}"#, Some(&["a"])),
    ] {
        let contents = read(text, format, true, &env).unwrap();
        assert_eq!(
            contents.plugins.as_deref(),
            want.map(|names| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).as_deref(),
            "{text}"
        );
    }
}

#[test]
fn a_plugin_may_have_nothing_behind_its_name() {
    let declared = yaml("routes: [{uri: /a, plugins: {key-auth: , b: {c: null}}, upstream: null}]\n#END").unwrap();
    let want =
        json!({ "uri": "/a", "plugins": { "key-auth": {}, "b": { "c": null } }, "upstream": null, "id": "arr_1" });
    assert_eq!(declared[0].value(), want);
    let json = r#"{"routes": [{"plugins": {"a": null}}]}"#;
    let declared = read(json, Format::Json, false, &env).unwrap().documents;
    assert_eq!(declared[0].value()["plugins"], json!({ "a": null }));
}

/// Path, text, line and problem of a document.
type Shown = (String, String, usize, Option<String>);

/// What a file says, in a form that can be compared; the reason when it is refused.
fn shown(contents: &Result<Contents, Refused>) -> Result<Vec<Shown>, String> {
    let contents = contents.as_ref().map_err(ToString::to_string)?;
    let documents = contents.documents.iter();
    let mut shown: Vec<_> = documents.map(|d| (d.key.path(), d.text.to_string(), d.line, d.problem.clone())).collect();
    shown.push((format!("{:?}", contents.plugins), String::new(), 0, None));
    Ok(shown)
}

/// A file that is read again and again, and what it said last.
#[derive(Default)]
struct Followed {
    known: Known,
    documents: Vec<Declared>,
    plugins: Option<Vec<String>>,
    /// How many versions were the one before with some documents changed.
    changed: usize,
}

impl Followed {
    /// Item by item comes to the same as all at once, or is not tried.
    fn compare(&mut self, text: &str) -> bool {
        let piecewise = self.known.read(text, false);
        let whole = read_yaml(text, false);
        let is_piecewise = piecewise.is_some();
        let now = match piecewise {
            Some(Ok(Version::Whole(contents))) => Ok(contents),
            Some(Ok(Version::Changed(changed))) => {
                self.changed += 1;
                for declared in changed {
                    let old = self.documents.iter_mut().find(|old| old.key == declared.key).expect("it was there");
                    *old = declared;
                }
                Ok(Contents { documents: self.documents.clone(), plugins: self.plugins.clone() })
            }
            Some(Err(refused)) => Err(refused),
            None => {
                let again = read_again(&format!("{text}#END"), Format::Yaml, false, &env, &mut self.known);
                assert_eq!(again.is_ok(), whole.is_ok(), "{text}");
                read_yaml(text, false)
            }
        };
        assert_eq!(shown(&now), shown(&whole), "{text}");
        match now {
            Ok(Contents { documents, plugins }) => (self.documents, self.plugins) = (documents, plugins),
            Err(_) => self.known = Known::default(),
        }
        is_piecewise
    }
}

#[test]
fn files_of_the_plainest_shape_are_read_item_by_item() {
    for (text, is_piecewise) in [
        (
            "routes:\n- id: 1\n  uri: /a\n- {id: 2}\nupstreams:\n  -\n    id: u\n  - id: v\nplugins:\n- name: a\nssls:\n",
            true,
        ),
        ("# one\nroutes: \n\n- id: 1\n# two\n  uri: /a # three\n\n- id: 2\n  uri: |\n   - no\n   # item\n", true),
        ("routes:\r\n- id: 1\r\n  uri: /a\r\n- id: 2\r\n", true),
        ("routes:\n- id: 1\n- id: 1\n", true),
        ("routes:\n- 7\n- id: a b\n", true),
        ("routes:\n- id: \"a\n- b\"\n", false),
        ("routes:\n- &a {id: 1}\n- {id: 2}\n", false),
        ("x-a:\n- &a {uri: /}\nroutes:\n- {id: 1, <<: *a}\n", false),
        ("routes: [{id: 1}]\n", false),
        ("routes:\n- id: 1\n routes: 2\n", false),
        ("routes:\n  - id: 1\n - id: 2\n", false),
        ("routes:\n- id: 1\nroutes:\n- id: 2\n", false),
        ("routes:\n\t- id: 1\n", false),
        ("routes:\n- id: 1\n---\n- id: 2\n", false),
        ("routes:\n  id: 1\n", false),
        ("routes\n:\n- id: 1\n", false),
        ("- id: 1\n", false),
        ("", true),
    ] {
        assert_eq!(Followed::default().compare(text), is_piecewise, "{text}");
    }
}

#[test]
fn an_item_that_moved_is_the_same_unless_its_place_is_its_name() {
    let mut followed = Followed::default();
    let item = |id: &str| format!("- {{{id}uri: /a}}\n");
    for order in [[item("id: 1, "), item(""), item("id: 2, ")], [item("id: 2, "), item("id: 1, "), item("")]] {
        assert!(followed.compare(&format!("routes:\n{}", order.concat())));
        assert!(followed.compare(&format!("\n\nroutes:\n{}services:\n{}", order.concat(), item("id: 1, "))));
    }
}

#[test]
fn of_a_file_with_another_line_only_that_document_is_read() {
    let mut followed = Followed::default();
    let file = |a: &str, b: &str, c: &str| {
        format!("routes:\n- id: 1\n  uri: {a}\n- uri: {b}\nservices:\n- id: s\n  name: {c}\n")
    };
    assert!(followed.compare(&file("/a", "/b", "c")));
    for (desc, text, changed) in [
        ("the same", file("/a", "/b", "c"), 1),
        ("one", file("/x", "/b", "c"), 2),
        ("without an id", file("/x", "/y", "c"), 3),
        ("two, and one back", file("/a", "/y", "d"), 4),
        ("a comment more", file("/a # note\n  # another", "/y", "d"), 4),
        ("another id", file("/a", "/y", "d").replace("id: s", "id: t"), 4),
        ("another line before the first", file("/a", "/y", "d").replace("routes:\n", "routes:\n\n"), 4),
        ("no document", file("/a", "/y", "d").replace("- uri: /y", "- uri: [}"), 4),
        ("again", file("/a", "/y", "d"), 4),
        ("an item that cannot be used", file("/a", "/y", "d").replace("- uri: /y", "- 7"), 5),
        ("one that can", file("/a", "/z", "d"), 6),
        ("one that stands there already", file("/a", "/z", "d").replace("- uri: /z", "- id: 1"), 6),
    ] {
        let _ = followed.compare(&text);
        assert_eq!(followed.changed, changed, "{desc}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_lines_mean_the_same_item_by_item(
        versions in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(&LINES[..]), 0..9), 1..4)
    ) {
        let mut followed = Followed::default();
        for lines in versions {
            followed.compare(&lines.concat());
        }
    }
}

const LINES: [&str; 22] = [
    "routes:\n",
    "routes:\n",
    "upstreams:\n",
    "x-a:\n",
    "plugins:\n",
    "- id: 1\n",
    "- id: 2\n",
    "-\n",
    "- {id: 3}\n",
    "  uri: /a\n",
    "  uri: |\n",
    "   text\n",
    "  uri: 'a\n",
    "  b'\n",
    "  - id: 4\n",
    "    uri: /b\n",
    "# note\n",
    "\n",
    "- &a {id: 5}\n",
    "- [\n",
    "  ]\n",
    "- name: x\n",
];
