use super::*;
use std::{fs, os::unix::fs::symlink};

/// Words, one on a line.
#[derive(Debug, PartialEq)]
struct Words(Vec<String>);

impl FileContent for Words {
    const MAX_BYTES: u64 = 100;

    fn parse(bytes: &[u8]) -> Result<Self, BadLine> {
        let text = std::str::from_utf8(bytes).map_err(|_| BadLine { line: 0, reason: "no text" })?;
        match text.lines().position(|line| line == "bad") {
            Some(at) => Err(BadLine { line: at + 1, reason: "it is bad" }),
            None => Ok(Self(text.lines().map(str::to_owned).collect())),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A file that is looked at by hand, at a time at which every version is at rest.
struct World {
    dir: PathBuf,
    file: FollowedFile<Words>,
    later: SystemTime,
}

impl World {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("portcullis-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = FollowedFile {
            path: dir.join("words"),
            content: RwLock::new(None),
            is_looked_at: AtomicBool::new(false),
            looking: Mutex::default(),
        };
        Self { dir, file, later: SystemTime::now() + Duration::from_secs(3600) }
    }

    /// What is in force after a look, and what is wrong.
    fn look(&self) -> (Vec<String>, String) {
        self.file.look(self.later);
        let words = self.file.content().map(|words| words.0.clone()).unwrap_or_default();
        (words, self.file.looking.lock().complaint.clone().unwrap_or_default())
    }

    fn write(&self, text: &str) {
        fs::write(&self.file.path, text).unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn what_was_good_stays_until_something_better_comes() {
    let world = World::new("good");
    let (nothing, complaint) = world.look();
    assert!(nothing.is_empty() && complaint.contains("cannot be read"), "{complaint}");
    assert!(world.file.is_looked_at() && world.file.content().is_none());
    world.write("a\nb\n");
    assert_eq!(world.look(), (words(&["a", "b"]), String::new()));
    world.write("a\nb\nbad\n");
    assert_eq!(world.look(), (words(&["a", "b"]), "line 3: it is bad".to_owned()));
    assert_eq!(world.look(), (words(&["a", "b"]), "line 3: it is bad".to_owned()), "it is not forgotten");
    world.write("c\n");
    assert_eq!(world.look(), (words(&["c"]), String::new()));
    world.write(&"long\n".repeat(21));
    assert_eq!(world.look(), (words(&["c"]), "it has more than 100 bytes".to_owned()));
    fs::remove_file(&world.file.path).unwrap();
    let (kept, complaint) = world.look();
    assert!(kept == words(&["c"]) && complaint.contains("No such file"), "{complaint}");
    fs::create_dir(&world.file.path).unwrap();
    assert_eq!(world.look(), (words(&["c"]), "it is no regular file".to_owned()));
    fs::remove_dir(&world.file.path).unwrap();
    world.write("c\n");
    assert_eq!(world.look(), (words(&["c"]), String::new()), "the same again is good again");
}

#[test]
fn files_are_replaced_by_names_that_lead_elsewhere() {
    let world = World::new("links");
    for (name, text) in [("one", "a\n"), ("two", "b\n")] {
        fs::write(world.dir.join(name), text).unwrap();
    }
    symlink("one", &world.file.path).unwrap();
    assert_eq!(world.look().0, words(&["a"]));
    symlink("two", world.dir.join("next")).unwrap();
    fs::rename(world.dir.join("next"), &world.file.path).unwrap();
    assert_eq!(world.look().0, words(&["b"]));
    fs::write(world.dir.join("new"), "c\n").unwrap();
    fs::rename(world.dir.join("new"), &world.file.path).unwrap();
    assert_eq!(world.look().0, words(&["c"]));
}

#[test]
fn a_file_that_may_still_be_written_is_looked_at_twice() {
    let world = World::new("rest");
    world.write("a\n");
    let now = fs::metadata(&world.file.path).unwrap().modified().unwrap();
    world.file.look(now);
    assert!(!world.file.is_looked_at() && world.file.content().is_none(), "it was written just now");
    world.write("a\nb\n");
    world.file.look(now);
    assert!(world.file.content().is_none(), "and again");
    world.file.look(now);
    assert_eq!(world.file.content().unwrap().0, words(&["a", "b"]));
}

#[test]
fn a_file_whose_times_were_set_back_is_found_after_a_while() {
    let world = World::new("times");
    world.write("a\n");
    assert_eq!(world.look().0, words(&["a"]));
    let modified = fs::metadata(&world.file.path).unwrap().modified().unwrap();
    world.write("b\n");
    File::options().write(true).open(&world.file.path).unwrap().set_modified(modified).unwrap();
    assert_eq!(world.look().0, words(&["a"]), "it looks the same");
    for _ in 0..READ_ANYWAY {
        world.look();
    }
    assert_eq!(world.look().0, words(&["b"]));
}

#[test]
fn the_thread_ends_with_the_last_file() {
    let world = World::new("thread");
    world.write("a\n");
    let shared = Shared::default();
    assert!(shared.follow::<Words>("words").is_err() && shared.follow::<Words>("/a\0b").is_err());
    let path = world.file.path.to_str().unwrap();
    let wait = |what: &dyn Fn() -> bool| {
        let until = SystemTime::now() + Duration::from_secs(20);
        while !what() {
            assert!(SystemTime::now() < until, "waited in vain");
            thread::sleep(Duration::from_millis(5));
        }
    };
    for _ in 0..2 {
        let file = shared.follow::<Words>(path).unwrap();
        assert!(Arc::ptr_eq(&file, &shared.follow::<Words>(path).unwrap()), "one for all");
        wait(&|| file.content().is_some());
        drop(file);
        let files = shared.kept(Files::default);
        wait(&|| !files.followed.lock().has_thread);
    }
}
