//! ip-restriction with lists in files that change while the gateway runs.

use e2e::{Gateway, Upstream, route_to, wait_for};
use serde_json::json;
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::Path,
};

struct World {
    gateway: Gateway,
    _upstream: Upstream,
}

impl World {
    /// Two routes with a file in the gateway's folder, one by each kind of list, and one without.
    fn new() -> Self {
        let upstream = Upstream::hello();
        let gateway = Gateway::start(json!({}));
        let file = gateway.dir.path().join("addresses").display().to_string();
        for (name, config) in [
            ("allowed", json!({ "ip-restriction": { "allowlist_file": file } })),
            ("denied", json!({ "ip-restriction": { "denylist_file": file } })),
            ("free", json!({})),
        ] {
            let mut route = route_to(upstream.addr);
            (route["uri"], route["plugins"]) = (json!(format!("/{name}")), config);
            gateway.put(&format!("routes/{name}"), &route);
        }
        Self { gateway, _upstream: upstream }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.gateway.dir.path().join(name)
    }

    /// What a client of 127.0.0.1 gets by each kind of list.
    fn statuses(&self) -> (u16, u16) {
        assert_eq!(self.gateway.get("/free").status(), 200, "nobody else is touched");
        (self.gateway.get("/allowed").status(), self.gateway.get("/denied").status())
    }

    fn wait(&self, what: &str, expected: (u16, u16)) {
        wait_for(what, || (self.statuses() == expected).then_some(()));
    }

    fn wait_log(&self, text: &str) {
        wait_for(text, || (self.gateway.file("error.log") + &self.gateway.file("stderr")).contains(text).then_some(()));
    }

    /// Writes beside the file and renames onto it.
    fn replace(&self, text: &str) {
        fs::write(self.path("next"), text).unwrap();
        fs::rename(self.path("next"), self.path("addresses")).unwrap();
    }
}

const LISTED: (u16, u16) = (200, 403);
const UNLISTED: (u16, u16) = (403, 200);
const CLOSED: (u16, u16) = (503, 503);

#[test]
fn a_list_follows_its_file_and_keeps_what_was_good() {
    let world = World::new();
    assert_eq!(world.statuses(), CLOSED, "there is no file yet");
    world.wait_log("a file cannot be used, what needs it is closed");
    world.replace("# us\n127.0.0.0/8\n");
    world.wait("the first version", LISTED);
    world.replace("10.0.0.0/8\n");
    world.wait("one that is renamed onto it", UNLISTED);

    // It is truncated, written in pieces, and its last line is there only at the end.
    let mut file = File::create(world.path("addresses")).unwrap();
    world.wait_log("it is empty");
    assert_eq!(world.statuses(), UNLISTED);
    file.write_all(b"127.0.0.1\n128.0.0.0/1").unwrap();
    world.wait_log("its last line does not end");
    assert_eq!(world.statuses(), UNLISTED);
    file.write_all(b"6\n").unwrap();
    world.wait("the whole file", LISTED);

    world.replace("10.0.0.1\n10.0.0.2\nten\n");
    world.wait_log("line 3: it is neither an address nor a network");
    assert_eq!(world.statuses(), LISTED);
    fs::remove_file(world.path("addresses")).unwrap();
    world.wait_log("No such file");
    assert_eq!(world.statuses(), LISTED, "what was good stays");
    world.replace("10.0.0.1\n");
    world.wait("the file is there again", UNLISTED);
    let log = world.gateway.file("error.log") + &world.gateway.file("stderr");
    assert_eq!(log.matches("line 3: it is neither").count(), 1, "{log}");
}

#[test]
fn a_link_is_followed_to_where_it_leads_now() {
    let world = World::new();
    for (name, text) in [("one", "127.0.0.1\n"), ("two", "10.0.0.1\n")] {
        fs::create_dir(world.path(name)).unwrap();
        fs::write(world.path(name).join("addresses"), text).unwrap();
    }
    // As a cluster's volumes are: a link to a file below a link that is swapped.
    let swap = |to: &str| {
        symlink(to, world.path("next")).unwrap();
        fs::rename(world.path("next"), world.path("current")).unwrap();
    };
    swap("one");
    symlink(Path::new("current/addresses"), world.path("addresses")).unwrap();
    world.wait("the first", LISTED);
    swap("two");
    world.wait("the second", UNLISTED);
    swap("one");
    world.wait("the first again", LISTED);
}

#[test]
fn a_long_list_is_taken_whole_and_nobody_waits_for_it() {
    let mut world = World::new();
    let long = |last: &str| {
        let mut text: String =
            (0..100_000_u32).map(|n| format!("{}.{}.{}.0/25\n", 10 + n / 65_536, n / 256 % 256, n % 256)).collect();
        text.push_str(last);
        text
    };
    world.replace(&long("127.0.0.1\n"));
    world.wait("the list", LISTED);
    world.replace(&long("127.0.0.2\n"));
    // What is seen meanwhile is one of both.
    wait_for("the next list", || match world.statuses() {
        UNLISTED => Some(()),
        (allowed, denied) => {
            assert!(matches!((allowed, denied), LISTED | (200, 200) | (403, 403)), "{allowed} {denied}");
            None
        }
    });
    // A file is there from the first request on when the gateway starts with it.
    world.replace("127.0.0.0/8\n");
    world.wait("a short list", LISTED);
    world.gateway.signal("QUIT");
    assert!(world.gateway.wait().success());
    world.gateway.run();
    assert_eq!(world.statuses(), LISTED);
}
