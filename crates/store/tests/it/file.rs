//! Files that somebody else writes.

use crate::{key, load, run};
use futures_util::{FutureExt, StreamExt};
use model::declared::Format;
use parking_lot::Mutex;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Change, Documents, Expect, File, FileOptions, Reload, Revision, Store, StoreError};
use tempfile::TempDir;

/// A store over a file in a folder of its own, and all that it reported.
struct Fixture {
    dir: TempDir,
    store: File,
    reports: Arc<Mutex<Vec<Option<String>>>>,
}

impl Fixture {
    fn new(text: Option<&str>) -> Self {
        Self::of(Format::Yaml, text)
    }

    fn of(format: Format, text: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            std::fs::write(path(dir.path()), text).unwrap();
        }
        let reports = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&reports);
        let store = File::open(FileOptions {
            path: path(dir.path()),
            format,
            is_lenient: false,
            env: Arc::new(|name| (name == "SET").then(|| "from-env".to_owned())),
            interval: Duration::from_millis(5),
            report: Arc::new(move |reload| {
                told.lock().push(match reload {
                    Reload::Taken => None,
                    Reload::Refused(reason) => Some(reason.to_owned()),
                });
            }),
        });
        Self { dir, store: store.unwrap(), reports }
    }

    /// Puts another file in its place, and waits until it was looked at.
    fn replace(&self, text: &str) {
        let before = self.reports.lock().len();
        let new = self.dir.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path(self.dir.path())).unwrap();
        self.wait_for_reports(before + 1);
    }

    fn wait_for_reports(&self, count: usize) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.reports.lock().len() < count {
            assert!(Instant::now() < until, "the file was not looked at");
            std::thread::yield_now();
        }
    }

    fn keys(&self) -> Vec<String> {
        keys(&load(&self.store))
    }

    fn last_report(&self) -> Option<String> {
        self.reports.lock().last().cloned().unwrap()
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("apisix.yaml")
}

fn keys(documents: &Documents) -> Vec<String> {
    documents.entries.iter().map(|entry| entry.key.to_string()).collect()
}

const TWO: &str = "routes:\n- {id: b, uri: /b}\n- {id: a, uri: '/${{SET}}'}\n#END\n";

#[test]
fn documents_are_read_in_the_order_of_the_file_and_have_a_place() {
    let fixture = Fixture::new(Some(TWO));
    let documents = load(&fixture.store);
    assert_eq!(keys(&documents), ["/routes/b", "/routes/a"]);
    assert_eq!(documents.find(&key("/routes/a")).unwrap().value(), json!({ "id": "a", "uri": "/from-env" }));
    assert_eq!(documents.revision, Revision(2));
    let place = fixture.store.place(&key("/routes/a")).unwrap();
    assert!(place.ends_with("apisix.yaml:3"), "{place}");
    assert_eq!(fixture.store.place(&key("/routes/c")), None);
    assert_eq!(*fixture.reports.lock(), [None]);
}

#[test]
fn json_is_read_too() {
    let fixture = Fixture::of(Format::Json, Some(r#"{"routes":[{"uri":"/a"}],"consumers":[{"username":"jack"}]}"#));
    assert_eq!(fixture.keys(), ["/routes/arr_1", "/consumers/jack"]);
    fixture.replace(r#"{"routes":[{"uri":"/a"}"#);
    assert!(fixture.last_report().unwrap().contains("line 1: EOF"), "{:?}", fixture.last_report());
    assert_eq!(fixture.keys(), ["/routes/arr_1", "/consumers/jack"]);
}

#[test]
fn it_cannot_be_written() {
    let fixture = Fixture::new(Some(TWO));
    let before = load(&fixture.store);
    let put = run(fixture.store.put(key("/routes/c"), json!({}), Expect::Any));
    let delete = run(fixture.store.delete(key("/routes/a"), Expect::Any));
    for result in [put, delete] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
        assert!(error.to_string().ends_with("apisix.yaml and cannot be written here: change that file"), "{error}");
    }
    assert!(matches!(run(fixture.store.next_id()), Err(StoreError::ReadOnly(_))));
    assert_eq!(load(&fixture.store), before);
}

#[test]
fn only_what_changed_is_told() {
    let fixture = Fixture::new(Some(TWO));
    let before = load(&fixture.store);
    let mut changes = fixture.store.watch(before.revision);
    fixture.replace("routes:\n- {id: b, uri: /b}\n- {id: a, uri: /new}\n- {id: c, uri: /c}\n#END\n");
    let told: Vec<Change> = std::iter::from_fn(|| changes.next().now_or_never().flatten()).collect();
    let [Change::Put(a), Change::Put(c)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((a.key.as_str(), c.key.as_str()), ("/routes/a", "/routes/c"));
    let after = load(&fixture.store);
    let times = |documents: &Documents, path: &str| {
        let entry = documents.find(&key(path)).unwrap();
        (entry.created, entry.modified)
    };
    assert_eq!(times(&after, "/routes/b"), times(&before, "/routes/b"));
    assert_eq!(times(&after, "/routes/a").0, times(&before, "/routes/a").0);
    assert!(times(&after, "/routes/a").1 > before.revision);
    fixture.replace("routes:\n- {id: b, uri: /b}\n- {id: c, uri: /c}\n#END");
    assert!(matches!(run(changes.next()), Some(Change::Delete(gone, _)) if gone == key("/routes/a")));
    assert!(changes.next().now_or_never().is_none());
    // Nothing but places changed.
    fixture.replace("routes:\n\n- {id: b, uri: /b}\n- {id: c, uri: /c}\n#END");
    assert!(changes.next().now_or_never().is_none());
    assert!(fixture.store.place(&key("/routes/c")).unwrap().ends_with(":4"));
}

#[test]
fn a_watcher_that_cannot_follow_loads_again() {
    let fixture = Fixture::new(Some("#END"));
    let from = load(&fixture.store).revision;
    let mut changes = fixture.store.watch(from);
    let many: String = (0..5000).map(|n| format!("- {{id: {n}, uri: /{n}}}\n")).collect();
    fixture.replace(&format!("routes:\n{many}#END"));
    assert_eq!(run(changes.next()), Some(Change::Resync));
    assert_eq!(load(&fixture.store).entries.len(), 5000);
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_told_once() {
    let fixture = Fixture::new(Some(TWO));
    let before = load(&fixture.store);
    let bomb = "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\n\
                g: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nroutes: [*g,*g,*g,*g,*g,*g,*g,*g]\n#END";
    for (text, reason) in [
        ("routes: []\n", "missing valid end flag"),
        ("routes:\n- id: 1\n  id: 2\n#END", "line 3, column 3: duplicate key \"id\""),
        ("routes:\n\t- id: 1\n#END", "line 2"),
        ("routes: [{uri: '${{UNSET}}'}]\n#END", "can't find environment variable UNSET"),
        ("route: []\n#END", "unknown section \"route\""),
        (bomb, "too many values"),
    ] {
        fixture.replace(text);
        let report = fixture.last_report().unwrap();
        assert!(report.contains(reason) && report.contains("apisix.yaml: "), "{report}");
        assert_eq!(load(&fixture.store), before, "{text:.40}");
    }
    std::fs::write(path(fixture.dir.path()), b"routes: []\n# \xff\n#END").unwrap();
    fixture.wait_for_reports(8);
    assert!(fixture.last_report().unwrap().ends_with("line 2: it is not UTF-8"));
    // The next version is the next thing that it says.
    fixture.replace("#END");
    assert_eq!((fixture.last_report(), fixture.reports.lock().len()), (None, 9));
    assert_eq!(fixture.keys(), Vec::<String>::new());
}

#[test]
fn a_bad_object_is_declared_with_its_problem() {
    let fixture = Fixture::new(Some("routes:\n- {id: a b, uri: /a}\n- {id: c, uri: /c}\n#END"));
    let documents = load(&fixture.store);
    assert_eq!(keys(&documents), ["/routes/arr_1", "/routes/c"]);
    assert_eq!(documents.entries[0].problem.as_deref(), Some("invalid route id \"a b\""));
    assert_eq!(documents.entries[1].problem, None);
}

#[test]
fn a_file_is_waited_for_and_may_go_away() {
    let fixture = Fixture::new(None);
    assert_eq!(load(&fixture.store).revision, Revision(0));
    assert!(fixture.last_report().unwrap().contains("cannot be read"));
    fixture.replace(TWO);
    assert_eq!((fixture.last_report(), fixture.keys().len()), (None, 2));
    let before = fixture.reports.lock().len();
    std::fs::remove_file(path(fixture.dir.path())).unwrap();
    fixture.wait_for_reports(before + 1);
    assert!(fixture.last_report().unwrap().contains("cannot be read"));
    assert_eq!(fixture.keys().len(), 2);
    // As it was before.
    fixture.replace(TWO);
    assert_eq!((fixture.last_report(), fixture.keys().len()), (None, 2));
    std::fs::remove_file(path(fixture.dir.path())).unwrap();
    let before = fixture.reports.lock().len();
    std::fs::create_dir(path(fixture.dir.path())).unwrap();
    fixture.wait_for_reports(before + 1);
    assert!(fixture.last_report().unwrap().contains("cannot be read"));
}

#[test]
fn an_empty_configuration_is_one() {
    let fixture = Fixture::new(Some("#END"));
    assert_eq!(load(&fixture.store).revision, Revision(1));
}

/// The file is written in place, in small pieces: never is a part taken.
#[test]
fn a_file_that_is_being_written_is_never_taken_in_part() {
    let version = |n: usize| -> String {
        let routes: String = (0..200).map(|route| format!("- {{id: {route}, uri: /{n}}}\n")).collect();
        format!("routes:\n{routes}#END")
    };
    let fixture = Fixture::new(Some(&version(0)));
    let target = path(fixture.dir.path());
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        for n in 1..20 {
            let mut file = std::fs::File::create(&target).unwrap();
            for line in version(n).split_inclusive('\n') {
                file.write_all(line.as_bytes()).unwrap();
            }
        }
    });
    while !writer.is_finished() {
        let documents = load(&fixture.store);
        assert_eq!(documents.entries.len(), 200);
        let first = documents.entries[0].value()["uri"].clone();
        assert!(documents.entries.iter().all(|entry| entry.value()["uri"] == first));
    }
    writer.join().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while load(&fixture.store).entries[0].value()["uri"] != "/19" {
        assert!(Instant::now() < until, "the last version was not taken");
        std::thread::yield_now();
    }
}

/// A change in the same tick of the clock and of the same size is seen, too.
#[test]
fn versions_that_look_the_same_from_outside_are_told_apart() {
    let fixture = Fixture::new(Some("routes: [{id: 1, uri: /0}]\n#END"));
    let file = std::fs::File::options().write(true).open(path(fixture.dir.path())).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    for n in 1..5 {
        let before = fixture.reports.lock().len();
        std::os::unix::fs::FileExt::write_all_at(&file, format!("routes: [{{id: 1, uri: /{n}}}]\n#END").as_bytes(), 0)
            .unwrap();
        file.set_modified(modified).unwrap();
        fixture.wait_for_reports(before + 1);
        assert_eq!(load(&fixture.store).entries[0].value()["uri"], format!("/{n}"));
    }
}

#[test]
fn the_order_of_the_file_is_told() {
    let fixture = Fixture::new(Some(TWO));
    let order = || {
        let mut entries = load(&fixture.store).entries;
        entries.sort_by_key(|entry| entry.order);
        entries.into_iter().map(|entry| entry.key.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(order(), ["/routes/b", "/routes/a"]);
    let watched = load(&fixture.store).revision;
    let mut changes = fixture.store.watch(watched);
    fixture.replace("routes:\n- {id: c, uri: /c}\n- {id: b, uri: /b}\n- {id: a, uri: '/${{SET}}'}\n#END\n");
    assert_eq!(order(), ["/routes/c", "/routes/b", "/routes/a"]);
    // Nobody else has moved.
    assert!(matches!(run(changes.next()), Some(Change::Put(entry)) if entry.key == key("/routes/c")));
    assert!(changes.next().now_or_never().is_none());
    fixture.replace("routes:\n- {id: c, uri: /c}\n- {id: a, uri: '/${{SET}}'}\n- {id: b, uri: /b}\n#END\n");
    assert_eq!(order(), ["/routes/c", "/routes/a", "/routes/b"]);
}

#[test]
fn enabled_plugins_are_loaded_and_others_are_a_reason_to_load_again() {
    let fixture = Fixture::new(Some("routes: [{id: a, uri: /a}]\n#END"));
    let plugins = || load(&fixture.store).plugins.map(|names| names.to_vec());
    assert_eq!(plugins(), None);
    let before = load(&fixture.store).revision;
    let mut changes = fixture.store.watch(before);
    fixture.replace("routes: [{id: a, uri: /a}]\nplugins: [{name: cors}]\n#END");
    assert_eq!(plugins(), Some(vec!["cors".to_owned()]));
    assert!(matches!(run(changes.next()), Some(Change::Resync)));
    assert!(load(&fixture.store).revision > before);
    fixture.replace("routes: [{id: b, uri: /b}]\nplugins: [{name: cors}]\n#END");
    assert!(matches!(run(changes.next()), Some(Change::Put(_))));
    assert!(matches!(run(changes.next()), Some(Change::Delete(..))));
    fixture.replace("routes: [{id: b, uri: /b}]\n#END");
    assert_eq!(plugins(), None);
    assert!(matches!(run(changes.next()), Some(Change::Resync)));
}

#[test]
#[ignore = "a measurement: run it in release"]
fn one_line_among_100_000() {
    let version = |moved: usize| {
        let routes: String = (0..100_000)
            .map(|at| {
                let uri = if at == 50_000 { format!("/moved/{moved}") } else { format!("/r/{at:06}") };
                format!("- {{id: {at}, uri: {uri}, upstream: {{type: roundrobin, nodes: {{'127.0.0.1:1980': 1}}}}}}\n")
            })
            .collect();
        format!("routes:\n{routes}#END\n")
    };
    let fixture = Fixture::new(Some(&version(0)));
    let mut best = Duration::MAX;
    for moved in 1..8 {
        let text = version(moved);
        let before = load(&fixture.store).revision;
        let started = Instant::now();
        fixture.replace(&text);
        best = best.min(started.elapsed());
        assert_eq!(load(&fixture.store).revision, Revision(before.0 + 1));
    }
    assert!(best < Duration::from_millis(150), "{best:?}");
}
