//! Secrets are not in the files, and a sealed value opens only where it was sealed.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::{Value, json};
use store::{
    ApisixKeyring, Change, Expect, JsonPath, Memory, SealError, SealedStore, Sealer, Sealing, Store, StoreError,
};

use crate::{key, load, open, run};

/// A store that seals `plugins.key-auth.key`, `users[].password` and everything in `headers`.
pub(crate) fn sealed(inner: Arc<dyn Store>, dir: &Path) -> SealedStore {
    run(SealedStore::open(inner, dir, sealing())).unwrap()
}

fn sealing() -> Sealing {
    let fields = |_: &_, _: &Value| {
        vec![
            JsonPath::new(["plugins", "key-auth", "key"]),
            JsonPath::new(["users", "password"]),
            JsonPath::new(["headers"]),
            JsonPath::new(["headers", "Authorization"]),
        ]
    };
    let keyring = ApisixKeyring::new(["edd1c9f0985e76a2"]).unwrap();
    let fields = Arc::new(fields);
    Sealing { seal: fields.clone(), open: fields, keyring: Some(keyring) }
}

fn document() -> Value {
    json!({
        "plugins": { "key-auth": { "key": "hunter2-a", "header": "apikey" } },
        "users": [{ "password": "hunter2-b" }, { "name": "no password" }, { "password": 7 }],
        "headers": { "Authorization": "hunter2-c", "X/~": ["hunter2-d"] },
    })
}

#[test]
fn no_secret_is_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = sealed(Arc::new(open(dir.path())), dir.path());
    run(store.put(key("/consumers/jack"), document(), Expect::Any)).unwrap();
    assert_eq!(load(&store).entries[0].value(), document());
    drop(store);
    let store = sealed(Arc::new(open(dir.path())), dir.path());
    assert_eq!(load(&store).entries[0].value(), document());
    assert_eq!(load(&store).entries[0].problem, None);

    let mut names = Vec::new();
    for file in fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        let bytes = fs::read(file.path()).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!has(b"hunter2"), "{:?}", file.path());
        if has(b"\"apikey\"") && has(b"pcv1:") {
            names.push(file.file_name().into_string().unwrap());
        }
    }
    names.sort();
    assert_eq!(names, ["last-good.json.sealed", "store.redb"]);
}

#[test]
fn a_watcher_sees_secrets_opened() {
    let dir = tempfile::tempdir().unwrap();
    let store = sealed(Arc::new(Memory::new()), dir.path());
    let mut changes = store.watch(load(&store).revision);
    run(store.put(key("/consumers/jack"), document(), Expect::Any)).unwrap();
    match run(changes.next()) {
        Some(Change::Put(entry)) => assert_eq!(entry.value(), document()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_opened_is_a_problem_of_its_document_only() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(Memory::new());
    let store = sealed(inner.clone(), dir.path());
    let with = |secret: &str| json!({ "plugins": { "key-auth": { "key": secret } } });
    run(store.put(key("/consumers/good"), with("s3"), Expect::Any)).unwrap();
    let text = load(inner.as_ref()).entries[0].value()["plugins"]["key-auth"]["key"].clone();
    let text = text.as_str().unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let foreign = Sealer::open_or_create(elsewhere.path()).unwrap().seal(b"", "x").unwrap();
    let rows = [
        ("/consumers/moved", text.to_owned()),
        ("/consumers/foreign", foreign),
        ("/consumers/malformed", "pcv1:".to_owned()),
        ("/consumers/short", format!("{}AAAA", &text[..14])),
    ];
    for (path, secret) in &rows {
        run(inner.put(key(path), with(secret), Expect::Any)).unwrap();
    }
    let documents = load(&store);
    assert_eq!(documents.entries.len(), 1 + rows.len());
    for entry in &documents.entries {
        let good = entry.key == key("/consumers/good");
        assert_eq!(entry.problem.is_none(), good, "{}", entry.key);
        let secret = &entry.value()["plugins"]["key-auth"]["key"];
        assert_eq!(*secret, if good { json!("s3") } else { Value::Null });
    }
}

#[test]
fn a_secret_that_looks_sealed_is_sealed_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(Memory::new());
    let store = sealed(inner.clone(), dir.path());
    let value = json!({ "headers": "pcv1:0000:AAAA" });
    run(store.put(key("/a/1"), value.clone(), Expect::Any)).unwrap();
    assert_ne!(load(inner.as_ref()).entries[0].value(), value);
    assert_eq!(load(&store).entries[0].value(), value);
}

#[test]
fn values_of_apisix_and_plain_values_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(Memory::new());
    let store = sealed(inner.clone(), dir.path());
    for (stored, read) in [("3KxZfy/YIZ/ejJTEIbS09g==", "secret"), ("plain", "plain")] {
        run(inner.put(key("/a/1"), json!({ "headers": stored }), Expect::Any)).unwrap();
        assert_eq!(load(&store).entries[0].value(), json!({ "headers": read }));
    }
}

#[test]
fn sealing_is_random_bound_to_its_place_and_detects_changes() {
    let dir = tempfile::tempdir().unwrap();
    let sealer = Sealer::open_or_create(dir.path()).unwrap();
    let sealed = sealer.seal(b"here", "secret").unwrap();
    assert_ne!(sealed, sealer.seal(b"here", "secret").unwrap());
    assert_eq!(sealer.open(b"here", &sealed).unwrap(), "secret");
    assert!(matches!(sealer.open(b"there", &sealed), Err(SealError::Refused)));
    let at = sealed.len() - 6;
    let other = if sealed.as_bytes()[at] == b'A' { "B" } else { "A" };
    let changed = format!("{}{other}{}", &sealed[..at], &sealed[at + 1..]);
    assert!(matches!(sealer.open(b"here", &changed), Err(SealError::Refused)));

    let again = Sealer::open_or_create(dir.path()).unwrap();
    assert_eq!(again.open(b"here", &sealed).unwrap(), "secret");
}

#[test]
fn the_key_file_is_private_and_a_damaged_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Sealer::open_or_create(dir.path()).unwrap();
    let path = dir.path().join("seal.key");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for text in ["", "short\n", "not base64 !\n"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(Sealer::open_or_create(dir.path()), Err(SealError::MalformedKeyFile(_))));
    }
}

#[test]
fn a_lost_key_is_not_made_anew_while_something_is_sealed_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(Memory::new());
    run(sealed(inner.clone(), dir.path()).put(key("/a/1"), json!({ "headers": "s" }), Expect::Any)).unwrap();
    let path = dir.path().join("seal.key");
    fs::remove_file(&path).unwrap();
    // Not even when the settings do not know the field as a secret any more.
    for open in [sealing().open, Arc::new(|_: &_, _: &_| Vec::new())] {
        let sealing = Sealing { open, ..sealing() };
        match run(SealedStore::open(inner.clone(), dir.path(), sealing)) {
            Err(StoreError::Seal(SealError::LostKey { path: named, document })) => {
                assert_eq!((named, document), (path.clone(), key("/a/1")));
            }
            other => panic!("{:?}", other.err()),
        }
        assert!(!path.exists(), "a key was made");
    }
    // Where nothing is sealed a key may be made.
    run(inner.put(key("/a/1"), json!({ "headers": "plain" }), Expect::Any)).unwrap();
    assert_eq!(load(&sealed(inner, dir.path())).entries[0].value(), json!({ "headers": "plain" }));
}

#[test]
fn what_is_not_to_be_sealed_stays_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(Memory::new());
    let value = |secret: &str| json!({ "headers": secret });
    run(sealed(inner.clone(), dir.path()).put(key("/a/old"), value("s"), Expect::Any)).unwrap();
    let off = Sealing { seal: Arc::new(|_: &_, _: &_| Vec::new()), keyring: None, ..sealing() };
    let store = run(SealedStore::open(inner.clone(), dir.path(), off)).unwrap();
    run(store.put(key("/a/new"), value("3KxZfy/YIZ/ejJTEIbS09g=="), Expect::Any)).unwrap();
    let read: Vec<_> = load(&store).entries.into_iter().map(|entry| entry.value()).collect();
    assert_eq!(read, [value("s"), value("3KxZfy/YIZ/ejJTEIbS09g==")]);
    assert_eq!(load(inner.as_ref()).find(&key("/a/new")).unwrap().value(), read[1]);
}
